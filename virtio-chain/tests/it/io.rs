//! The traits of `std::io`.

use std::io::{self, ErrorKind, Read, Write};

use virtio_chain::{ReadableChain, TransferError, WritableChain};
use virtio_queue_core::ChainError;

use super::bad::{Bad, IN_EITHER_HALF, Place};
use super::rig::{Message, Rig};

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
            assert_eq!(Read::read_to_string(&mut *chain, &mut text).unwrap(), 17);
            assert_eq!(text, "line one\nline two");
            let mut chain = chain.into_writable().unwrap();
            write!(&mut *chain as &mut dyn Write, "{} lines", text.lines().count()).unwrap();
            Write::flush(&mut *chain).unwrap();
        });
        answer.check(7, &[(0, b"2 lines")]);
    }
}

#[test]
fn copy_ends_where_the_chain_does() {
    let answer = Rig::new().serve(&Message::new(&[b"abc", b"defgh"], &[2, 3]), |chain| {
        let (mut input, mut output) = ReadableChain::new(chain).split();
        let mut rest = input.split_at(3).unwrap();
        assert_eq!(io::copy(&mut input, &mut *output).unwrap(), 3);
        let error = io::copy(&mut rest, &mut *output).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        output.return_complete().unwrap();
    });
    answer.check(5, &[(0, b"abcde")]);
}

#[test]
fn read_exact_beyond_the_end_is_an_unexpected_one() {
    Rig::new().serve(&Message::new(&[b"abc"], &[]), |chain| {
        let mut chain = ReadableChain::new(chain);
        assert_eq!(Read::read_exact(&mut *chain, &mut [0; 4]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
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

/// INV-12: what comes before a fault is delivered by calls of their own; `std::io` allows no error with bytes.
#[test]
fn readable_half_malformed_delivered_up_to_the_fault() {
    for bad in IN_EITHER_HALF {
        let mut rig = Rig::new();
        let error = add(&mut rig, bad, &Message::new(&[b"good", b"byte", b"more"], &[]), 2);
        let mut chain = ReadableChain::new(rig.fetch());
        let mut bytes = Vec::new();
        check_error(&Read::read_to_end(&mut *chain, &mut bytes).unwrap_err(), error);
        assert_eq!(bytes, b"goodbytemore"[..8 + bad.sound], "{}", bad.name);
        assert_eq!(Read::read(&mut *chain, &mut [0; 4]).unwrap(), 0, "{}", bad.name);
    }
}

/// INV-12, SPLIT-USED-2: the same in the other direction, and all that was taken counts.
#[test]
fn writable_half_malformed_taken_up_to_the_fault() {
    for bad in IN_EITHER_HALF {
        let mut rig = Rig::new();
        let error = add(&mut rig, bad, &Message::new(&[], &[4, 4, 4]), 2);
        let mut chain = WritableChain::new(rig.fetch());
        let mut rest = &b"goodbytemore"[..];
        let found = loop {
            match Write::write(&mut *chain, rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => break error,
            }
        };
        check_error(&found, error);
        let taken = 12 - rest.len();
        assert_eq!(taken, 8 + bad.sound, "{}", bad.name);
        drop(chain);
        rig.reap().check(taken as u32, &[(0, &b"goodbytemore"[..taken])]);
    }
}
