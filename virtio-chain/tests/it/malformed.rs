//! Chains that break a rule: a typed error where they do, everything before it, and nothing after.

use virtio_chain::{
    IncompleteError, IoVec, ReadableChain, Reader, Remaining, TransferCause, TransferError, TransferFailed,
    WritableChain, Writer,
};
use virtio_queue_core::{ChainElements, ChainError, ChainErrorKind, QueueLimits};

use super::bad::{Bad, IN_EITHER_HALF, IN_WRITABLE_HALF, Place};
use super::rig::{Message, Rig, RigChain, gather, refused, scatter};

const NOTHING: Remaining = Remaining { bytes: 0, descriptors: 0 };

/// Adds a chain in which the third readable element is bad.
fn bad_readable(rig: &mut Rig, bad: &Bad) -> ChainError {
    let id = rig.add(&Message::new(&[b"good", b"byte", b"more", b"tail"], &[4]));
    ChainError { id, kind: (bad.spoil)(&Place::find(rig, id, 2)) }
}

/// Adds a chain in which the third writable element is bad.
fn bad_writable(rig: &mut Rig, bad: &Bad) -> ChainError {
    let id = rig.add(&Message::new(&[b"good"], &[4, 4, 4, 4]));
    ChainError { id, kind: (bad.spoil)(&Place::find(rig, id, 3)) }
}

/// Checks that the queue has taken no harm.
fn check_next_is_served(rig: &mut Rig) {
    let answer = rig.serve(&Message::new(&[b"next"], &[4]), |chain| {
        let mut chain = ReadableChain::new(chain);
        assert_eq!(chain.read_obj(), Ok(*b"next"));
        chain.into_writable().unwrap().write_all(b"fine").unwrap();
    });
    answer.check(4, &[(0, b"fine")]);
}

#[track_caller]
fn check_reader_is_finished(reader: &mut Reader<impl ChainElements>) {
    assert_eq!(reader.read(&mut [0; 4]), Ok(0));
    assert_eq!(reader.read_obj::<u32>(), Err(TransferError::Short { wanted: 4, available: 0 }));
    assert!(matches!(reader.next_with_limit(4), Ok(None)));
    assert_eq!(reader.skip(4), Ok(0));
    assert_eq!(reader.transfer(4, |_| Err("never called")), Ok(0));
    assert!(reader.lend(4).unwrap().is_empty());
    assert_eq!(reader.remaining(), Ok(NOTHING));
}

#[track_caller]
fn check_writer_is_finished(writer: &mut Writer<impl ChainElements>) {
    assert_eq!(writer.write(&[0; 4]), Ok(0));
    assert_eq!(writer.write_obj(&0_u32), Err(TransferError::Short { wanted: 4, available: 0 }));
    assert_eq!(writer.fill(4, 0), Ok(0));
    assert_eq!(writer.skip(4), Ok(0));
    assert_eq!(writer.next_with_limit(4, |_| Err("never called")), Ok(0));
    assert_eq!(writer.transfer(4, |_| Err("never called")), Ok(0));
    assert!(writer.lend(4).unwrap().is_empty());
    assert_eq!(writer.remaining(), Ok(NOTHING));
}

/// DRV-DESC-1, DRV-DESC-2, HOST-2, HOST-7, HOST-9, HOST-11, HOST-12, HOST-14, HOST-17, INV-12: what comes before the
/// fault is read, the fault is reported once with its numbers, and nothing is made of what comes after.
#[test]
fn readable_half_malformed_reported_after_what_is_sound() {
    for bad in IN_EITHER_HALF {
        let mut rig = Rig::new();
        let error = bad_readable(&mut rig, bad);
        let mut chain = ReadableChain::new(rig.fetch());
        assert_eq!(chain.remaining().err(), bad.in_descriptors.then_some(error), "{}", bad.name);

        let (mut buf, sound) = ([0; 16], 8 + bad.sound);
        assert_eq!(chain.read(&mut buf), Err(error), "{}", bad.name);
        assert_eq!(buf[..sound], b"goodbytemoretail"[..sound], "{}", bad.name);
        assert!(buf[sound..].iter().all(|byte| *byte == 0), "{}", bad.name);
        check_reader_is_finished(&mut chain);

        // The chain is not taken for one that ends there.
        let chain = refused(chain.try_return_complete(), IncompleteError::Chain(error));
        let chain = refused(chain.try_into_writable(), IncompleteError::Chain(error));
        let mut chain = WritableChain::from_incomplete_readable(chain);
        // Where the chain can be walked, its other half does not suffer.
        let room = if bad.in_descriptors { 0 } else { 4 };
        assert_eq!(chain.write(b"four and more"), Ok(room), "{}", bad.name);
        check_writer_is_finished(&mut chain);

        // It is given back all the same (HOST-29).
        if bad.in_descriptors {
            drop(refused(chain.try_return_complete(), IncompleteError::Chain(error)));
        } else {
            chain.return_complete().unwrap();
        }
        rig.reap().check(room as u32, &[(0, &b"four"[..room])]);
        check_next_is_served(&mut rig);
    }
}

/// DRV-FRM-1, HOST-2, HOST-9, HOST-11, HOST-12, HOST-17, INV-12: as for reading; what was written before the fault
/// counts.
#[test]
fn writable_half_malformed_reported_after_what_is_sound() {
    for bad in IN_EITHER_HALF.iter().chain(IN_WRITABLE_HALF) {
        let mut rig = Rig::new();
        let error = bad_writable(&mut rig, bad);
        let mut chain = ReadableChain::new(rig.fetch());
        assert_eq!(chain.read_obj(), Ok(*b"good"), "{}", bad.name);
        let mut chain = chain.into_writable().unwrap();
        assert_eq!(chain.remaining().err(), bad.in_descriptors.then_some(error), "{}", bad.name);

        let sound = 8 + bad.sound;
        assert_eq!(chain.write(b"goodbytemore"), Err(error), "{}", bad.name);
        assert_eq!((chain.prefix(), chain.written()), (sound as u32, sound as u64), "{}", bad.name);
        check_writer_is_finished(&mut chain);
        let chain = refused(chain.try_return_complete(), IncompleteError::Chain(error));
        let (claimed, written) = (sound as u32 + 1, sound as u64);
        let chain = refused(chain.try_return_written(claimed), IncompleteError::NotWritten { claimed, written });
        drop(chain);
        rig.reap().check(sound as u32, &[(0, &b"goodbytemore"[..sound])]);
        check_next_is_served(&mut rig);
    }
}

/// A way to go over a fault, by the error that comes of it.
type Operation = for<'c> fn(&mut Reader<&'c RigChain<'c>>) -> TransferError;

/// Moves all bytes, to nowhere.
#[expect(clippy::unnecessary_wraps, reason = "work can fail")]
fn all(pieces: &[IoVec]) -> Result<usize, ()> {
    Ok(pieces.iter().map(IoVec::len).sum())
}

/// INV-12: whichever way a device reads what is bad, it is told. HOST-11: what is only passed over need not be there.
#[test]
fn readable_half_malformed_reported_by_every_operation() {
    let operations: [(&str, Operation); 8] = [
        ("read", |chain| chain.read(&mut [0; 12]).unwrap_err().into()),
        ("read_exact", |chain| chain.read_exact(&mut [0; 12]).unwrap_err()),
        ("read_obj", |chain| chain.read_obj::<[u8; 12]>().unwrap_err()),
        ("next_with_limit", |chain| {
            loop {
                match chain.next_with_limit(3) {
                    Ok(piece) => assert!(piece.is_some(), "the fault is not the end"),
                    Err(error) => break error.into(),
                }
            }
        }),
        ("transfer", |chain| match chain.transfer(12, all).unwrap_err() {
            TransferFailed { cause: TransferCause::Chain(error), .. } => error.into(),
            failed => panic!("the work does not fail: {failed:?}"),
        }),
        ("lend", |chain| {
            loop {
                match chain.lend(12) {
                    Ok(lent) => {
                        assert!(!lent.is_empty(), "the fault is not the end");
                        let count = lent.len();
                        chain.settle(lent, count).unwrap();
                    }
                    Err(error) => break error.into(),
                }
            }
        }),
        ("skip", |chain| chain.skip(12).unwrap_err().into()),
        ("split_at", |chain| chain.split_at(12).unwrap_err()),
    ];
    for bad in IN_EITHER_HALF {
        for (name, operation) in &operations[..if bad.in_descriptors { 8 } else { 6 }] {
            let mut rig = Rig::new();
            let error = bad_readable(&mut rig, bad);
            let chain = rig.fetch();
            let mut reader = Reader::new(&chain);
            assert_eq!(operation(&mut reader), TransferError::Chain(error), "{name}: {}", bad.name);
            if *name == "split_at" {
                // Nothing has changed: what is sound is still there.
                assert_eq!(reader.read_obj(), Ok(*b"goodbyte"), "{name}: {}", bad.name);
            } else {
                check_reader_is_finished(&mut reader);
            }
        }
        if !bad.in_descriptors {
            let mut rig = Rig::new();
            bad_readable(&mut rig, bad);
            let chain = rig.fetch();
            let mut reader = Reader::new(&chain);
            assert_eq!(reader.skip(5), Ok(5), "{}", bad.name);
            assert_eq!(reader.split_at(7).unwrap().read_obj(), Ok(*b"tail"), "{}", bad.name);
            assert_eq!(reader.skip(20), Ok(7), "{}", bad.name);
        }
    }
}

/// INV-12, SPLIT-USED-2: what was moved before a fault is in the error, and counts.
#[test]
fn half_malformed_transferred_up_to_the_fault() {
    for bad in IN_EITHER_HALF {
        let (sound, mut rig) = (8 + bad.sound, Rig::new());
        let failed = |error| Err(TransferFailed { moved: sound as u64, cause: TransferCause::Chain(error) });
        let (error, mem) = (bad_readable(&mut rig, bad), rig.mem.clone());
        let (mut chain, mut bytes) = (ReadableChain::new(rig.fetch()), Vec::new());
        let result = chain.transfer(u64::MAX, |pieces| {
            bytes.append(&mut gather(&mem, pieces, usize::MAX));
            all(pieces)
        });
        assert_eq!(result, failed(error), "{}", bad.name);
        assert_eq!(bytes, b"goodbytemore"[..sound], "{}", bad.name);
        assert_eq!(chain.position(), sound as u64, "{}", bad.name);

        let mut rig = Rig::new();
        let (error, mem) = (bad_writable(&mut rig, bad), rig.mem.clone());
        let mut chain = WritableChain::new(rig.fetch());
        let mut rest = &b"goodbytemoretail"[..];
        let result = chain.transfer(u64::MAX, |pieces| {
            let count = scatter(&mem, pieces, rest);
            rest = &rest[count..];
            Ok::<_, ()>(count)
        });
        assert_eq!(result, failed(error), "{}", bad.name);
        check_writer_is_finished(&mut chain);
        drop(chain);
        rig.reap().check(sound as u32, &[(0, &b"goodbytemore"[..sound])]);
    }
}

/// DRV-DESC-2, INV-2: a loop delivers as many elements as a chain may have.
#[test]
fn loop_with_bytes_ends_at_the_limit() {
    let mut rig = Rig::new();
    let id = rig.add(&Message::new(&[b"round", b"and"], &[1]));
    Place::find(&rig, id, 1).go_on_at(0);
    let error = ChainError { id, kind: ChainErrorKind::TooManyElements { limit: 256 } };
    let mut chain = ReadableChain::new(rig.fetch());
    let mut buf = [0; 2000];
    assert_eq!(chain.read(&mut buf), Err(error));
    assert_eq!(buf[..1024], *b"roundand".repeat(128));
    assert!(buf[1024..].iter().all(|byte| *byte == 0));
    drop(chain);
    rig.reap().check(0, &[]);
}

/// FRAME-2, DRV-FRM-2: a chain of as many elements as the device allows is read, one more is an error.
#[test]
fn chain_longer_than_allowed_reported_where_it_is_too_long() {
    for (len, too_long) in [(3, false), (4, true)] {
        let limits = QueueLimits { chain_len: Some(3), ..QueueLimits::default() };
        let mut rig = Rig::with(8, 0, limits);
        let id = rig.add(&Message::new(&vec![&b"."[..]; len], &[]));
        let mut chain = ReadableChain::new(rig.fetch());
        let error = ChainError { id, kind: ChainErrorKind::TooManyElements { limit: 3 } };
        let expected = if too_long { Err(error) } else { Ok(3) };
        assert_eq!(chain.read(&mut [0; 8]), expected);
        assert_eq!(chain.return_complete().is_err(), too_long);
        rig.reap().check(0, &[]);
    }
}

/// HOST-29: a chain that is malformed behind all that is wanted of it is served; who asks for the end, is told.
#[test]
fn fault_after_what_is_wanted_does_no_harm() {
    let mut rig = Rig::new();
    let error = bad_writable(&mut rig, &IN_WRITABLE_HALF[0]);
    let mut chain = WritableChain::new(rig.fetch());
    chain.write_all(b"goodbyte").unwrap();
    let chain = refused(chain.try_return_complete(), IncompleteError::Chain(error));
    chain.return_prefix().unwrap();
    rig.reap().check(8, &[(0, b"goodbyte")]);
}

/// HOST-11: a part that was cut off before the fault ends where it was cut.
#[test]
fn fault_behind_a_cut_is_not_seen_before_it() {
    for bad in IN_EITHER_HALF {
        let mut rig = Rig::new();
        let error = bad_readable(&mut rig, bad);
        let chain = rig.fetch();
        let mut head = Reader::new(&chain);
        let mut tail = head.split_at(8).unwrap();
        let mut buf = [0; 12];
        assert_eq!(head.read(&mut buf), Ok(8), "{}", bad.name);
        assert_eq!(head.remaining(), Ok(NOTHING), "{}", bad.name);
        assert!(matches!(head.next_with_limit(1), Ok(None)), "{}", bad.name);
        assert_eq!(tail.read(&mut buf), Err(error), "{}", bad.name);
        check_reader_is_finished(&mut tail);

        let mut rig = Rig::new();
        let error = bad_writable(&mut rig, bad);
        let chain = rig.fetch();
        let mut head = Writer::new(&chain);
        let mut tail = head.split_at(8).unwrap();
        assert_eq!(head.write(&[1; 12]), Ok(8), "{}", bad.name);
        assert_eq!(head.remaining(), Ok(NOTHING), "{}", bad.name);
        assert_eq!(tail.write(&[2; 12]), Err(error), "{}", bad.name);
        head.join(tail).unwrap();
        let written = head.prefix();
        chain.return_written(written).unwrap();
        rig.reap().check(8 + bad.sound as u32, &[(0, &[1; 8]), (8, &vec![2; bad.sound])]);
    }
}

/// HOST-29: an error that is not looked at gives the chain back with nothing written.
#[test]
fn refused_chain_dropped_comes_back_empty() {
    let mut rig = Rig::new();
    for bad in IN_EITHER_HALF {
        let error = bad_readable(&mut rig, bad);
        let chain = rig.fetch();
        assert_eq!(chain.id(), error.id);
        let chain = ReadableChain::new(chain);
        if bad.in_descriptors {
            assert_eq!(chain.into_writable().unwrap_err(), IncompleteError::Chain(error), "{}", bad.name);
        } else {
            drop(chain);
        }
        rig.reap().check(0, &[]);
    }
    check_next_is_served(&mut rig);
}
