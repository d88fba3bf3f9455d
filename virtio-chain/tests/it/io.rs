//! The traits of `std::io`.

use std::io::{self, ErrorKind, Read, Write};

use virtio_chain::{
    IncompleteError, ReadableChain, Reader, TransferCause, TransferError, TransferFailed, WritableChain, Writer,
};
use virtio_queue_core::{ChainError, FatalError, ReturnError};

use super::bad::{Bad, IN_EITHER_HALF, Place};
use super::rig::{Message, Rig, RigChain};

/// Checks that `error` is made of `expected`.
#[track_caller]
fn check_error(error: &io::Error, expected: ChainError) {
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let source = error.get_ref().unwrap().downcast_ref::<ChainError>();
    assert_eq!(source, Some(&expected));
}

/// FRAME-1.
#[test]
fn reader_and_writer_in_any_cut_are_streams() {
    for parts in [&[&b"line one\nline two"[..]][..], &[b"line", b"", b" one\nli", b"ne two"]] {
        let answer = Rig::new().serve(&Message::new(parts, &[3, 0, 1, 60]), |chain| {
            let mut chain = ReadableChain::new(chain);
            let mut text = String::new();
            assert_eq!(Read::read_to_string(&mut chain, &mut text).unwrap(), 17);
            assert_eq!(text, "line one\nline two");
            let mut chain = chain.into_writable().unwrap();
            write!(&mut chain as &mut dyn Write, "{} lines", text.lines().count()).unwrap();
            Write::flush(&mut chain).unwrap();
        });
        answer.check(7, &[(0, b"2 lines")]);
    }
}

#[test]
fn copy_ends_where_the_chain_does() {
    let answer = Rig::new().serve(&Message::new(&[b"abc", b"defgh"], &[2, 3]), |chain| {
        let (mut input, mut output) = (Reader::new(&chain), Writer::new(&chain));
        let mut rest = input.split_at(3).unwrap();
        assert_eq!(io::copy(&mut input, &mut output).unwrap(), 3);
        let error = io::copy(&mut rest, &mut output).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        let written = output.prefix();
        chain.return_written(written).unwrap();
    });
    answer.check(5, &[(0, b"abcde")]);
}

/// FRAME-1: out of a chain, and into one.
#[test]
fn copy_of_many_pieces_copies_all_in_either_direction() {
    let bytes: Vec<u8> = (0..20_000_u32).map(|index| index as u8).collect();
    let parts: Vec<&[u8]> = bytes.chunks(777).collect();
    let room: Vec<usize> = bytes.rchunks(999).map(<[u8]>::len).collect();
    let answer = Rig::new().serve(&Message::new(&parts, &room), |chain| {
        let (mut chain, mut copy) = (ReadableChain::new(chain), Vec::new());
        assert_eq!(io::copy(&mut chain, &mut copy).unwrap(), 20_000);
        let mut chain = chain.into_writable().unwrap();
        assert_eq!(io::copy(&mut &copy[..], &mut chain).unwrap(), 20_000);
        chain.return_complete().unwrap();
    });
    answer.check(20_000, &[(0, &bytes)]);
}

/// FRAME-1: a call fills what it is given, from as many pieces as that takes.
#[test]
fn call_goes_on_across_pieces() {
    let answer = Rig::new().serve(&Message::new(&[b"ab", b"", b"cde", b"f"], &[1, 0, 2, 9]), |chain| {
        let (mut chain, mut buf) = (ReadableChain::new(chain), [0; 5]);
        for (expected, bytes) in [(5, &b"abcde"[..]), (1, b"f"), (0, b"")] {
            assert_eq!(Read::read(&mut chain, &mut buf).unwrap(), expected);
            assert_eq!(&buf[..expected], bytes);
        }
        let mut chain = chain.into_writable().unwrap();
        for (bytes, expected) in [(&b"12345"[..], 5), (b"", 0), (b"67890abcdef", 7), (b"g", 0)] {
            assert_eq!(Write::write(&mut chain, bytes).unwrap(), expected);
        }
    });
    answer.check(12, &[(0, b"1234567890ab")]);
}

#[test]
fn read_exact_beyond_the_end_is_an_unexpected_one() {
    Rig::new().serve(&Message::new(&[b"abc"], &[]), |chain| {
        let mut chain = ReadableChain::new(chain);
        assert_eq!(Read::read_exact(&mut chain, &mut [0; 4]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
    let short = TransferError::Short { wanted: 4, available: 3 };
    let error = io::Error::from(short);
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(error.get_ref().unwrap().downcast_ref::<TransferError>(), Some(&short));
}

fn add(rig: &mut Rig, bad: &Bad, message: &Message, at: usize) -> ChainError {
    let id = rig.add(message);
    ChainError { id, kind: (bad.spoil)(&Place::find(rig, id, at)) }
}

/// INV-12: what comes before a fault is delivered, and the fault by the next call, whichever that is; after it comes
/// the end.
#[test]
fn readable_half_malformed_delivered_up_to_the_fault() {
    for bad in IN_EITHER_HALF {
        for len in [1, 3, 4, 8, 9, 11, 12, 100] {
            let (mut rig, sound) = (Rig::new(), 8 + bad.sound);
            let error = add(&mut rig, bad, &Message::new(&[b"good", b"byte", b"more"], &[]), 2);
            let mut chain = ReadableChain::new(rig.fetch());
            let (mut bytes, mut buf) = (Vec::new(), vec![0; len]);
            let found = loop {
                match Read::read(&mut chain, &mut buf) {
                    Ok(count) => {
                        assert_eq!(count, len.min(sound - bytes.len()), "{}, by {len}", bad.name);
                        bytes.extend_from_slice(&buf[..count]);
                    }
                    Err(error) => break error,
                }
            };
            check_error(&found, error);
            assert_eq!(bytes, b"goodbytemore"[..sound], "{}, by {len}", bad.name);
            assert_eq!(Read::read(&mut chain, &mut buf).unwrap(), 0, "{}, by {len}", bad.name);
            assert_eq!(chain.position(), sound as u64);
        }
    }
}

/// INV-12: the error that is still to come is not lost on the chain's own methods.
#[test]
fn fault_put_off_is_reported_by_any_method() {
    type Next = fn(&mut ReadableChain<RigChain<'_>>) -> io::Error;
    let nexts: [Next; 5] = [
        |chain| chain.read(&mut [0; 1]).unwrap_err(),
        |chain| Reader::read(chain, &mut [0; 1]).unwrap_err().into(),
        |chain| Reader::read_obj::<u8>(chain).unwrap_err().into(),
        |chain| chain.skip(1).unwrap_err().into(),
        |chain| chain.lend(1).unwrap_err().into(),
    ];
    for bad in IN_EITHER_HALF {
        for next in nexts {
            let (mut rig, sound) = (Rig::new(), 8 + bad.sound);
            let error = add(&mut rig, bad, &Message::new(&[b"good", b"byte", b"more"], &[]), 2);
            let mut chain = ReadableChain::new(rig.fetch());
            assert_eq!(Read::read(&mut chain, &mut [0; 20]).unwrap(), sound, "{}", bad.name);
            check_error(&next(&mut chain), error);
            assert_eq!(Read::read(&mut chain, &mut [0; 20]).unwrap(), 0, "{}", bad.name);
            assert_eq!(chain.return_complete(), Err(IncompleteError::Chain(error)), "{}", bad.name);
        }
    }
}

/// INV-12, SPLIT-USED-2: the same in the other direction, and all that was taken counts.
#[test]
fn writable_half_malformed_taken_up_to_the_fault() {
    for bad in IN_EITHER_HALF {
        for len in [1, 5, 8, 9, 12] {
            let mut rig = Rig::new();
            let error = add(&mut rig, bad, &Message::new(&[], &[4, 4, 4]), 2);
            let mut chain = WritableChain::new(rig.fetch());
            let mut rest = &b"goodbytemore"[..];
            let found = loop {
                match Write::write(&mut chain, &rest[..len.min(rest.len())]) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) => break error,
                }
            };
            check_error(&found, error);
            let taken = 12 - rest.len();
            assert_eq!(taken, 8 + bad.sound, "{}, by {len}", bad.name);
            assert_eq!(Write::write(&mut chain, b"more").unwrap(), 0);
            drop(chain);
            rig.reap().check(taken as u32, &[(0, &b"goodbytemore"[..taken])]);
        }
    }
}

/// Every error of a chain can be one of the standard library, and says what kind it is.
#[test]
fn errors_turn_into_errors_of_the_standard_library() {
    let broken = ReturnError::Broken(FatalError::Panicked);
    let work = |kind| TransferFailed { moved: 1, cause: TransferCause::Work(io::Error::from(kind)) };
    let too_much = TransferFailed { moved: 1, cause: TransferCause::TooMuch { claimed: 2, lent: 1 } };
    let errors: [(io::Error, ErrorKind); 8] = [
        (IncompleteError::NotWritten { claimed: 3, written: 1 }.into(), ErrorKind::InvalidInput),
        (IncompleteError::Unread(Default::default()).into(), ErrorKind::InvalidData),
        (IncompleteError::Return(broken).into(), ErrorKind::InvalidData),
        (ReturnError::Stale { id: 1 }.into(), ErrorKind::InvalidInput),
        (FatalError::Panicked.into(), ErrorKind::InvalidData),
        (work(ErrorKind::Interrupted).into(), ErrorKind::Interrupted),
        (work(ErrorKind::StorageFull).into(), ErrorKind::StorageFull),
        (too_much.into(), ErrorKind::InvalidInput),
    ];
    for (error, kind) in errors {
        assert_eq!(error.kind(), kind, "{error}");
    }
}
