//! Pieces that are lent to work that ends later, and settled then.

use virtio_chain::{IoVec, Lent, ReadableChain, Reader, SettleError, WritableChain, Writer};
use virtio_fake_driver::MemEvent;
use virtio_mem_traits::{DriverAddr, DriverRange};

use super::bad::{IN_EITHER_HALF, Place, set_element};
use super::rig::{Message, Rig, Writable, gather, scatter};

fn lens(lent: &Lent) -> Vec<usize> {
    lent.io_vecs().iter().map(IoVec::len).collect()
}

/// FRAME-1: the reader moves on when the pieces are settled, and by as much as was moved.
#[test]
fn lent_and_settled_moves_on_by_the_count() {
    let message = Message::new(&[b"abc", b"", b"defgh", b"ij"], &[]);
    for (limit, expected) in
        [(0, &[][..]), (1, &[1]), (3, &[3]), (4, &[3, 1]), (9, &[3, 5, 1]), (10, &[3, 5, 2]), (u64::MAX, &[3, 5, 2])]
    {
        let total: usize = expected.iter().sum();
        for count in 0..=total {
            Rig::new().serve(&message, |chain| {
                let mem = std::rc::Rc::clone(chain.mem());
                let mut chain = ReadableChain::new(chain);
                let lent = chain.lend(limit).unwrap();
                assert_eq!((lens(&lent), lent.len(), lent.is_empty()), (expected.to_vec(), total, total == 0));
                assert_eq!(gather(&mem, lent.io_vecs(), total), b"abcdefghij"[..total]);
                assert_eq!(chain.position(), 0);
                chain.settle(lent, count).unwrap();
                assert_eq!(chain.position(), count as u64);
                let mut rest = vec![0; 10 - count];
                chain.read_exact(&mut rest).unwrap();
                assert_eq!(rest, b"abcdefghij"[count..]);
            });
        }
    }
}

/// A box that is used again has the pieces of the last time only, and is settled as it is.
#[test]
fn lent_into_a_box_again_forgets_the_pieces_before() {
    let message = Message::new(&[b"abc", b"defgh", b"ij"], &[1; 3]);
    let answer = Rig::new().serve(&message, |chain| {
        let mem = std::rc::Rc::clone(chain.mem());
        let (mut chain, mut lent) = (ReadableChain::new(chain), Box::new(Lent::new()));
        assert!(lent.is_empty());
        for (limit, expected, count) in [(u64::MAX, &[3, 5, 2][..], 2), (7, &[1, 5, 1], 7), (2, &[1], 1)] {
            chain.lend_into(limit, &mut lent).unwrap();
            assert_eq!(lens(&lent), expected);
            chain.settle(&*lent, count).unwrap();
        }
        chain.lend_into(u64::MAX, &mut lent).unwrap();
        assert_eq!((lens(&lent), lent.len()), (Vec::new(), 0));
        let mut chain = chain.into_writable().unwrap();
        chain.lend_into(2, &mut lent).unwrap();
        assert_eq!((lens(&lent), scatter(&mem, lent.io_vecs(), &[7; 2])), (vec![1, 1], 2));
        chain.settle(lent, 2).unwrap();
        chain.return_prefix().unwrap();
    });
    answer.check(2, &[(0, &[7; 2])]);
}

/// Long chains are lent 32 pieces at a time.
#[test]
fn many_pieces_lent_in_turns() {
    let answer = Rig::new().serve(&Message::new(&[], &[1; 70]), |chain| {
        let mem = std::rc::Rc::clone(chain.mem());
        let (mut chain, mut turns) = (WritableChain::new(chain), Vec::new());
        loop {
            let lent = chain.lend(u64::MAX).unwrap();
            if lent.is_empty() {
                break;
            }
            turns.push(lent.io_vecs().len());
            let count = scatter(&mem, lent.io_vecs(), &[7; 70]);
            chain.settle(lent, count).unwrap();
        }
        assert_eq!(turns, [32, 32, 6]);
        chain.return_complete().unwrap();
    });
    answer.check(70, &[(0, &[7; 70])]);
}

/// SPLIT-USED-4: what was lent and never settled does not count, whatever was written there.
#[test]
fn lent_and_never_settled_does_not_count() {
    let answer = Rig::new().serve(&Message::new(&[], &[4]), |chain| {
        let mem = std::rc::Rc::clone(chain.mem());
        let mut chain = WritableChain::new(chain);
        scatter(&mem, chain.lend(4).unwrap().io_vecs(), b"abcd");
        assert_eq!((chain.prefix(), chain.written(), chain.position()), (0, 0, 0));
    });
    answer.check(0, &[(0, b"abcd")]);
}

/// A wrong way to settle, and what comes of it.
type Wrong = for<'c> fn(&mut Writable<'c>, &mut Writable<'c>, Lent) -> SettleError;

/// SPLIT-USED-4, SPLIT-USED-10: pieces are settled once, where they were lent. Otherwise nothing counts, in either
/// chain.
#[test]
fn settle_of_what_was_not_lent_there_refused() {
    let elsewhere =
        |lent_id, lent_position, id, position| SettleError::Elsewhere { lent_id, lent_position, id, position };
    let cases: [(Wrong, SettleError, u32); 6] = [
        (|_, other, lent| other.settle(lent, 1).unwrap_err(), elsewhere(0, 0, 1, 0), 0),
        (|chain, _, lent| chain.settle(lent, 9).unwrap_err(), SettleError::TooMuch { claimed: 9, lent: 8 }, 0),
        (
            |chain, _, lent| chain.settle(lent, usize::MAX).unwrap_err(),
            SettleError::TooMuch { claimed: usize::MAX, lent: 8 },
            0,
        ),
        // The other of two that were lent at a time.
        (
            |chain, _, lent| {
                let again = chain.lend(8).unwrap();
                chain.settle(lent, 5).unwrap();
                chain.settle(again, 5).unwrap_err()
            },
            elsewhere(0, 0, 0, 5),
            5,
        ),
        // After something else was written there.
        (
            |chain, _, lent| {
                chain.write_all(b"ab").unwrap();
                chain.settle(lent, 8).unwrap_err()
            },
            elsewhere(0, 0, 0, 2),
            2,
        ),
        (
            |chain, _, lent| {
                chain.skip(1).unwrap();
                chain.settle(lent, 8).unwrap_err()
            },
            elsewhere(0, 0, 0, 1),
            0,
        ),
    ];
    for (wrong, expected, len) in cases {
        let (mut rig, mut other) = (Rig::new(), Rig::new());
        other.add(&Message::new(&[b"another id"], &[]));
        let token = other.fetch().into_token();
        rig.add(&Message::new(&[], &[8]));
        other.add(&Message::new(&[], &[8]));
        let other_mem = other.mem.clone();
        let (mut here, mut there) = (WritableChain::new(rig.fetch()), WritableChain::new(other.fetch()));
        let lent = here.lend(8).unwrap();
        other_mem.start_log();
        assert_eq!(wrong(&mut here, &mut there, lent), expected, "{expected}");
        drop((here, there));
        assert_eq!(rig.reap().len, len, "{expected}");
        assert_eq!(other.last_placed().writes(&other_mem.take_log()), [0; 8], "{expected}");
        other.reap().check(0, &[]);
        other.queue.complete(token, 0).unwrap();
    }
}

/// What a reader has lent was not written, and what a writer has lent was not read.
#[test]
fn settle_with_the_other_half_refused() {
    let answer = Rig::new().serve(&Message::new(&[b"abcd"], &[4]), |chain| {
        let (mut reader, mut writer) = (Reader::new(&chain), Writer::new(&chain));
        let (read, write) = (reader.lend(4).unwrap(), writer.lend(4).unwrap());
        let error = SettleError::OtherHalf { id: chain.id() };
        assert_eq!((reader.settle(write, 4), writer.settle(read, 4)), (Err(error), Err(error)));
        assert_eq!((reader.position(), writer.prefix()), (0, 0));
    });
    answer.check(0, &[]);
}

/// SPLIT-USED-10: what lies behind a cut is the tail's, even if it was lent before.
#[test]
fn settle_beyond_a_cut_refused() {
    let answer = Rig::new().serve(&Message::new(&[], &[8]), |chain| {
        let mut writer = Writer::new(&chain);
        let (lent, again) = (writer.lend(8).unwrap(), writer.lend(8).unwrap());
        let tail = writer.split_at(5).unwrap();
        assert_eq!(writer.settle(lent, 6), Err(SettleError::TooMuch { claimed: 6, lent: 5 }));
        writer.settle(again, 5).unwrap();
        writer.join(tail).unwrap();
        assert_eq!((writer.prefix(), writer.position()), (5, 5));
    });
    answer.check(0, &[]);
}

#[test]
fn settle_errors_say_what_would_be_right() {
    let errors = [
        (
            SettleError::Elsewhere { lent_id: 3, lent_position: 0, id: 4, position: 512 },
            "pieces lent at byte 0 of chain 3 cannot be settled at byte 512 of chain 4",
        ),
        (SettleError::OtherHalf { id: 3 }, "pieces lent by one half of chain 3 cannot be settled with the other half"),
        (SettleError::TooMuch { claimed: 9, lent: 8 }, "9 bytes were claimed, but 8 were lent: claim at most 8"),
    ];
    for (error, expected) in errors {
        assert_eq!(error.to_string(), expected);
    }
}

/// INV-6, INV-7: what is lent is reported before it is read, and what was written when it is settled.
#[test]
fn lent_pieces_reported_as_they_were_lent_and_written() {
    let mut rig = Rig::new();
    rig.add(&Message::new(&[b"abc", b"defgh"], &[2, 3, 4]));
    let mem = rig.mem.clone();
    mem.start_log();
    let mut chain = ReadableChain::new(rig.fetch());
    let lent = chain.lend(5).unwrap();
    chain.settle(lent, 1).unwrap();
    let mut chain = WritableChain::from_incomplete_readable(chain);
    let lent = chain.lend(8).unwrap();
    let log = mem.take_log();
    chain.settle(lent, 4).unwrap();
    drop(chain);
    assert_eq!(rig.last_placed().reads(&log), [1, 1, 1, 1, 1, 0, 0, 0]);
    assert_eq!(rig.last_placed().writes(&log), [0; 9]);
    assert_eq!(rig.last_placed().writes(&mem.take_log()), [1, 1, 1, 1, 0, 0, 0, 0, 0]);
    rig.reap().check(4, &[]);
}

/// INV-7, HOST-20: a driver that names other memory after the pieces were lent changes nothing of what is reported.
#[test]
fn settle_of_elements_that_changed_reports_what_was_written() {
    for count in [0_usize, 1, 4, 6, 8] {
        let mut rig = Rig::new();
        let id = rig.add(&Message::new(&[], &[4, 4, 1]));
        let (mem, raw, writable) = (rig.mem.clone(), rig.driver.raw().clone(), rig.last_placed().writable.clone());
        let mut chain = WritableChain::new(rig.fetch());
        let lent = chain.lend(8).unwrap();
        for index in 0..2 {
            set_element(&raw, id, index, DriverAddr(0xdead_0000_0000), 4);
        }
        mem.start_log();
        scatter(&mem, lent.io_vecs(), b"abcdefgh".split_at(count).0);
        chain.settle(lent, count).unwrap();
        let expected = [writable[0].prefix(count as u64), writable[1].prefix((count as u64).saturating_sub(4))];
        let expected: Vec<_> = expected.into_iter().filter(|range| !range.is_empty()).collect();
        assert_eq!(written(&mem.take_log()), expected, "{count} bytes");
        assert_eq!((chain.prefix(), chain.position()), (count as u32, count as u64));
        drop(chain);
        rig.reap().check(count as u32, &[(0, b"abcdefgh".split_at(count).0)]);
    }
}

/// HOST-20: a chain that is malformed by the time the pieces are settled has its bytes counted, and says so at the next
/// step.
#[test]
fn settle_of_a_chain_that_broke_counts_and_the_next_step_is_told() {
    for bad in IN_EITHER_HALF.iter().filter(|bad| bad.in_descriptors) {
        let mut rig = Rig::new();
        let id = rig.add(&Message::new(&[], &[4, 4, 4]));
        let mem = rig.mem.clone();
        // A token, so that the rig can be changed meanwhile.
        let token = rig.fetch().into_token();
        let mut chain = WritableChain::new(rig.queue.chain(token).unwrap());
        let lent = chain.lend(12).unwrap();
        let token = chain.into_chain().unwrap().into_token();
        (bad.spoil)(&Place::find(&rig, id, 1));
        let mut chain = WritableChain::new(rig.queue.chain(token).unwrap());
        scatter(&mem, lent.io_vecs(), b"abcdefgh");
        chain.settle(lent, 8).unwrap();
        assert_eq!((chain.prefix(), chain.position()), (8, 8), "{}", bad.name);
        assert!(chain.write(b"more").is_err(), "{}", bad.name);
        assert_eq!(chain.write(b"more"), Ok(0), "{}", bad.name);
        drop(chain);
        rig.reap().check(8, &[(0, b"abcdefgh")]);
    }
}

/// INV-12: pieces end before a fault, which is reported when it is next.
#[test]
fn lent_pieces_end_before_a_fault() {
    for bad in IN_EITHER_HALF {
        let mut rig = Rig::new();
        let id = rig.add(&Message::new(&[], &[4, 4, 4]));
        (bad.spoil)(&Place::find(&rig, id, 2));
        let mut chain = WritableChain::new(rig.fetch());
        let lent = chain.lend(12).unwrap();
        assert_eq!(lent.len(), 8 + bad.sound, "{}", bad.name);
        let count = lent.len();
        chain.settle(lent, count).unwrap();
        assert!(chain.lend(12).is_err(), "{}", bad.name);
        assert!(chain.lend(12).unwrap().is_empty(), "{}", bad.name);
        drop(chain);
        assert_eq!(rig.reap().len as usize, count);
    }
}

/// Returns what was reported as written.
fn written(log: &[MemEvent]) -> Vec<DriverRange> {
    log.iter().filter_map(|event| if let MemEvent::Written(range) = event { Some(*range) } else { None }).collect()
}
