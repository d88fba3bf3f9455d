//! Reading, where it depends on the cut or on the end.

use virtio_chain::{Reader, Remaining, TransferError};

use super::rig::{Message, Rig, RigChain};

const CUT: &[&[u8]] = &[b"one", b"", b"three", b"seventh", b""];

/// Lets `device` read a chain of three elements with 15 bytes, and two without.
#[track_caller]
fn check(device: impl for<'c> FnOnce(Reader<&'c RigChain<'c>>)) {
    Rig::new().serve(&Message::new(CUT, &[2, 3]), |chain| device(Reader::new(&chain))).check(0, &[]);
}

/// HOST-14: elements without bytes are not counted.
#[test]
fn remaining_counts_what_lies_ahead() {
    check(|mut chain| {
        let mut expect = |read, bytes, descriptors| {
            assert_eq!(chain.read(&mut vec![0; read]), Ok(read));
            assert_eq!(chain.remaining(), Ok(Remaining { bytes, descriptors }));
        };
        expect(0, 15, 3);
        expect(1, 14, 3);
        // The next one is not begun yet.
        expect(2, 12, 2);
        expect(6, 6, 1);
        expect(6, 0, 0);
    });
}

#[test]
fn remaining_of_a_part_counts_the_elements_in_it() {
    check(|mut chain| {
        let mut rest = chain.split_at(4).unwrap();
        let last = rest.split_at(4).unwrap();
        assert_eq!(chain.remaining(), Ok(Remaining { bytes: 4, descriptors: 2 }));
        assert_eq!(rest.remaining(), Ok(Remaining { bytes: 4, descriptors: 1 }));
        assert_eq!(last.remaining(), Ok(Remaining { bytes: 7, descriptors: 1 }));
        // At the end of a part in the middle of an element, there is nothing left.
        assert_eq!(chain.skip(9), Ok(4));
        assert_eq!(chain.remaining(), Ok(Remaining::default()));
    });
}

#[test]
fn read_beyond_the_end_returns_what_there_is() {
    check(|mut chain| {
        let mut buf = [0; 20];
        assert_eq!(chain.read(&mut buf), Ok(15));
        assert_eq!(buf, *b"onethreeseventh\0\0\0\0\0");
        assert_eq!(chain.read(&mut buf), Ok(0));
        assert_eq!(chain.read(&mut []), Ok(0));
    });
}

/// INV-2: nothing is accessed for nothing, not even the next descriptor.
#[test]
fn read_of_no_bytes_accesses_nothing() {
    let mut rig = Rig::new();
    let mem = rig.mem.clone();
    rig.add(&Message::new(CUT, &[]));
    let chain = rig.fetch();
    let mut reader = Reader::new(&chain);
    for read in [3, 5, 7] {
        mem.start_log();
        assert_eq!((reader.read(&mut []), reader.read_exact(&mut []), reader.skip(0)), (Ok(0), Ok(()), Ok(0)));
        assert_eq!(mem.take_log(), []);
        assert_eq!(reader.skip(read), Ok(read));
    }
}

/// USER-2: what is missing of a command counts as zeros.
#[test]
fn read_padded_beyond_the_end_is_zero() {
    check(|mut chain| {
        let mut buf = [0xee; 20];
        assert_eq!(chain.read_padded(&mut buf[..4]), Ok(4));
        assert_eq!(buf[..5], *b"onet\xee");
        assert_eq!(chain.read_padded(&mut buf), Ok(11));
        assert_eq!(buf, *b"hreeseventh\0\0\0\0\0\0\0\0\0");
    });
}

#[test]
fn read_exact_beyond_the_end_says_how_much_there_was() {
    check(|mut chain| {
        chain.read_exact(&mut [0; 11]).unwrap();
        let short = TransferError::Short { wanted: 8, available: 4 };
        assert_eq!(chain.clone().read_obj::<u64>(), Err(short));
        assert_eq!(chain.read_exact(&mut [0; 8]), Err(short));
        assert_eq!(short.to_string(), "the chain must have 8 bytes left, and has 4");
    });
}

#[test]
fn next_with_limit_returns_pieces_of_elements() {
    check(|mut chain| {
        let mut next = |limit| chain.next_with_limit(limit).unwrap().map(|piece| piece.len());
        assert_eq!(next(2), Some(2));
        assert_eq!(next(usize::MAX), Some(1));
        assert_eq!(next(5), Some(5));
        assert_eq!(next(6), Some(6));
        assert_eq!(next(6), Some(1));
        assert_eq!(next(6), None);
    });
}

/// A part counts from the beginning of its half as well.
#[test]
fn position_says_how_much_lies_before() {
    check(|mut chain| {
        let mut tail = chain.split_at(5).unwrap();
        assert_eq!((chain.position(), tail.position()), (0, 5));
        chain.read_obj::<[u8; 2]>().unwrap();
        tail.skip(1).unwrap();
        assert_eq!((chain.position(), tail.position()), (2, 6));
        assert!(chain.read_obj::<[u8; 9]>().is_err());
        assert_eq!(tail.read(&mut [0; 50]), Ok(9));
        assert_eq!((chain.position(), tail.position()), (5, 15));
    });
}

/// A clone looks at the same bytes on its own.
#[test]
fn clone_does_not_move_the_original() {
    check(|mut chain| {
        chain.skip(1).unwrap();
        let mut ahead = chain.clone();
        assert_eq!(ahead.read_obj(), Ok(*b"nethree"));
        assert_eq!(chain.read_obj(), Ok(*b"nethrees"));
    });
}

#[test]
fn split_at_more_than_there_is_changes_nothing() {
    check(|mut chain| {
        chain.skip(3).unwrap();
        let error = chain.split_at(13).unwrap_err();
        assert_eq!(error, TransferError::Short { wanted: 13, available: 12 });
        assert_eq!(chain.split_at(u64::MAX).unwrap_err(), TransferError::Short { wanted: u64::MAX, available: 12 });
        assert_eq!(chain.remaining(), Ok(Remaining { bytes: 12, descriptors: 2 }));
        assert_eq!(chain.read_obj(), Ok(*b"threeseventh"));
    });
}

/// A part ends where it was cut, whatever is asked of it.
#[test]
fn part_ends_where_it_was_cut() {
    check(|mut chain| {
        let mut tail = chain.split_at(5).unwrap();
        assert_eq!(chain.read_obj::<[u8; 6]>(), Err(TransferError::Short { wanted: 6, available: 5 }));
        assert!(chain.next_with_limit(1).unwrap().is_none());
        assert_eq!(chain.split_at(1).unwrap_err(), TransferError::Short { wanted: 1, available: 0 });
        assert!(chain.split_at(0).unwrap().next_with_limit(1).unwrap().is_none());
        assert_eq!(tail.read_obj(), Ok(*b"reeseventh"));
    });
}

#[test]
fn split_last_cuts_from_the_end() {
    for len in 0..=15 {
        check(|mut chain| {
            let mut tail = chain.split_last(len as u64).unwrap();
            let mut buf = [0; 20];
            assert_eq!(chain.read(&mut buf), Ok(15 - len));
            assert_eq!(buf[..15 - len], b"onethreeseventh"[..15 - len]);
            assert_eq!(tail.read(&mut buf), Ok(len));
            assert_eq!(buf[..len], b"onethreeseventh"[15 - len..]);
        });
    }
    check(|mut chain| {
        chain.skip(2).unwrap();
        assert_eq!(chain.split_last(14).unwrap_err(), TransferError::Short { wanted: 14, available: 13 });
        // The last ones of a part are those before its end.
        let _rest = chain.split_at(6).unwrap();
        assert_eq!(chain.split_last(7).unwrap_err(), TransferError::Short { wanted: 7, available: 6 });
        assert_eq!(chain.split_last(2).unwrap().read_obj(), Ok(*b"ee"));
        assert_eq!(chain.read_obj(), Ok(*b"ethr"));
    });
}

#[test]
fn reader_shows_chain_and_position() {
    check(|mut chain| {
        chain.skip(4).unwrap();
        let shown = format!("{chain:?}");
        assert!(
            shown.starts_with("Reader { id: Some(0), cursor: Cursor {") && shown.contains("position: 4,"),
            "{shown}"
        );
    });
}
