//! Writing, where it depends on the cut or on the end.

use virtio_chain::{ReadableChain, Remaining, TransferCause, TransferError, TransferFailed, WritableChain, Writer};

use super::rig::{Message, Part, Rig};

/// Lets `device` write a chain with 12 bytes in three elements, and checks what the driver gets.
#[track_caller]
fn check(len: u32, runs: &[(usize, &[u8])], device: impl for<'c> FnOnce(&mut Part<'c>)) {
    let message = Message::new(&[b"not", b"read"], &[3, 0, 5, 4, 0]);
    let answer = Rig::new().serve(&message, |chain| {
        let mut writer = Writer::new(&chain);
        device(&mut writer);
        let written = writer.prefix();
        chain.return_written(written).unwrap();
    });
    answer.check(len, runs);
}

/// HOST-14: elements without bytes are not counted.
#[test]
fn remaining_counts_what_lies_ahead() {
    check(12, &[(0, &[7; 12])], |chain| {
        let mut expect = |written, bytes, descriptors| {
            assert_eq!(chain.fill(written, 7), Ok(written));
            assert_eq!(chain.remaining(), Ok(Remaining { bytes, descriptors }));
        };
        expect(0, 12, 3);
        expect(1, 11, 3);
        expect(2, 9, 2);
        expect(6, 3, 1);
        expect(3, 0, 0);
    });
}

#[test]
fn remaining_of_a_part_counts_the_elements_in_it() {
    check(0, &[], |chain| {
        let tail = chain.split_at(5).unwrap();
        assert_eq!(chain.remaining(), Ok(Remaining { bytes: 5, descriptors: 2 }));
        assert_eq!(tail.remaining(), Ok(Remaining { bytes: 7, descriptors: 2 }));
        assert_eq!(chain.skip(9), Ok(5));
        assert_eq!(chain.remaining(), Ok(Remaining::default()));
    });
}

/// USER-2: what does not fit of an answer is cut off, and the used length says what was written.
#[test]
fn write_beyond_the_end_writes_what_fits() {
    check(12, &[(0, b"0123456789ab")], |chain| {
        assert_eq!(chain.write(b""), Ok(0));
        assert_eq!(chain.write(b"0123456789abcdef"), Ok(12));
        assert_eq!(chain.write(b"g"), Ok(0));
    });
}

#[test]
fn write_all_beyond_the_end_says_how_much_fitted() {
    check(12, &[(0, b"0123456701234567".split_at(12).0)], |chain| {
        let object = u64::from_le_bytes(*b"01234567").to_le();
        chain.write_obj(&object).unwrap();
        assert_eq!(chain.write_obj(&object), Err(TransferError::Short { wanted: 8, available: 4 }));
        assert_eq!(chain.write_all(b"more"), Err(TransferError::Short { wanted: 4, available: 0 }));
        chain.write_all(b"").unwrap();
    });
}

#[test]
fn fill_beyond_the_end_fills_what_there_is() {
    check(12, &[(0, &[0xee; 12])], |chain| {
        assert_eq!(chain.fill(4, 0xee), Ok(4));
        assert_eq!(chain.fill(u64::MAX, 0xee), Ok(8));
        assert_eq!(chain.fill(1, 0), Ok(0));
    });
}

/// Longer than any buffer on the way.
#[test]
fn fill_of_many_bytes_fills_all() {
    let message = Message::new(&[], &[1000, 1, 999]);
    let answer = Rig::new().serve(&message, |chain| {
        let mut chain = WritableChain::new(chain);
        assert_eq!(chain.fill(1777, 0x11), Ok(1777));
    });
    answer.check(1777, &[(0, &[0x11; 1777])]);
}

/// SPLIT-USED-2: what is written piece by piece counts as far as it was.
#[test]
fn next_with_limit_counts_what_was_written() {
    check(10, &[(0, &[1; 7]), (7, b"xyz")], |chain| {
        let lens = [(3, 3), (100, 4)].map(|(limit, most)| {
            let written = chain.next_with_limit(limit, |piece| {
                let len = piece.len().min(most);
                piece.fill(0, len, 1).map(|()| len)
            });
            written.unwrap()
        });
        assert_eq!(lens, [3, 4]);
        // Nothing is, that was only looked at.
        assert_eq!(chain.next_with_limit(100, |piece| Ok::<_, ()>(piece.len() - piece.len())), Ok(0));
        assert_eq!((chain.prefix(), chain.written(), chain.position()), (7, 7, 7));
        chain.write_all(b"xyz").unwrap();
    });
}

/// SPLIT-USED-4: what failed, or claims too much, does not count, and can be done again.
#[test]
fn next_with_limit_that_fails_changes_nothing() {
    check(12, &[(0, &[2; 12])], |chain| {
        let failed = |cause| Err(TransferFailed { moved: 0, cause });
        assert_eq!(chain.next_with_limit(9, |_| Err("disk")), failed(TransferCause::Work("disk")));
        let too_much = TransferCause::TooMuch { claimed: 4, lent: 3 };
        assert_eq!(chain.next_with_limit(9, |piece| Ok::<_, &str>(piece.len() + 1)), failed(too_much));
        assert_eq!((chain.prefix(), chain.written(), chain.position()), (0, 0, 0));
        assert_eq!(chain.fill(12, 2), Ok(12));
        assert_eq!(chain.next_with_limit(9, |_| Err("never called")), Ok(0));
    });
}

#[test]
fn split_at_more_than_there_is_changes_nothing() {
    check(12, &[(0, b"abcdefghijkl")], |chain| {
        chain.write_all(b"abcd").unwrap();
        assert_eq!(chain.split_at(9).unwrap_err(), TransferError::Short { wanted: 9, available: 8 });
        assert_eq!(chain.split_at(u64::MAX).unwrap_err(), TransferError::Short { wanted: u64::MAX, available: 8 });
        chain.write_all(b"efghijkl").unwrap();
    });
}

/// SPLIT-USED-2: a status at the end, wherever that is.
#[test]
fn split_last_cuts_from_the_end() {
    for len in 0..=12 {
        let (head, tail) = b"abcdefghijkl".split_at(12 - len);
        check(12, &[(0, b"abcdefghijkl")], |chain| {
            let mut last = chain.split_last(len as u64).unwrap();
            last.write_all(tail).unwrap();
            assert_eq!(chain.write(b"abcdefghijkl"), Ok(head.len()));
            chain.join(last).unwrap();
        });
    }
    check(0, &[], |chain| {
        assert_eq!(chain.split_last(13).unwrap_err(), TransferError::Short { wanted: 13, available: 12 });
        assert_eq!(chain.remaining().unwrap().bytes, 12);
    });
}

/// SPLIT-DESC-1: a writer that follows a reader in the middle of an element begins with the first writable one.
#[test]
fn write_after_reading_in_part_reaches_writable_bytes_alone() {
    for read in 0..=7 {
        let message = Message::new(&[b"not", b"read"], &[4]);
        let mut rig = Rig::new();
        let id = rig.add(&message);
        let readable = rig.last_placed().readable.clone();
        let mut chain = ReadableChain::new(rig.fetch());
        chain.skip(read).unwrap();
        let mut chain = WritableChain::from_incomplete_readable(chain);
        assert_eq!(chain.id(), id);
        assert_eq!(chain.write(&[0x55; 20]), Ok(4));
        drop(chain);
        rig.reap().check(4, &[(0, &[0x55; 4])]);
        assert_eq!(rig.mem.view().peek(readable[0].start(), 3), b"not");
        assert_eq!(rig.mem.view().peek(readable[1].start(), 4), b"read");
    }
}

#[test]
fn writer_shows_chain_and_what_was_written() {
    check(4, &[(0, &[7; 4])], |chain| {
        chain.fill(4, 7).unwrap();
        let shown = format!("{chain:?}");
        assert!(shown.starts_with("Writer { id: Some(0), cursor: Cursor {") && shown.contains("prefix: 4,"), "{shown}");
    });
}
