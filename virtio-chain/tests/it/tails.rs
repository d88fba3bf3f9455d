//! Answers that own their chain, in parts: the last one is written whatever becomes of the first.

use virtio_chain::{IncompleteError, JoinError, Remaining, Tail, TransferError, WritableChain};

use super::rig::{Message, Rig, RigChain, Writable, scatter};

/// A payload and a status, the payload read by a disk in turns.
struct Case {
    name: &'static str,
    /// The elements, of 9 bytes together.
    cut: &'static [usize],
    /// The element that is in memory that is not there.
    hole: Option<usize>,
    /// How many bytes the disk reads in each turn. After the last of them it fails.
    counts: &'static [usize],
    /// What the driver is told, and what it finds.
    len: u32,
    runs: &'static [(usize, &'static [u8])],
}

const PAYLOAD: &[u8] = b"abcdefgh";

const CASES: &[Case] = &[
    Case { name: "all", cut: &[8, 1], hole: None, counts: &[8], len: 9, runs: &[(0, b"abcdefgh\0")] },
    Case { name: "in one element", cut: &[9], hole: None, counts: &[8], len: 9, runs: &[(0, b"abcdefgh\0")] },
    Case { name: "cut in the payload", cut: &[3, 6], hole: None, counts: &[8], len: 9, runs: &[(0, b"abcdefgh\0")] },
    Case { name: "short counts", cut: &[4, 0, 5], hole: None, counts: &[1, 3, 4], len: 9, runs: &[(0, b"abcdefgh\0")] },
    Case {
        name: "the end of the disk",
        cut: &[9],
        hole: None,
        counts: &[5],
        len: 5,
        runs: &[(0, b"abcde"), (8, &[1])],
    },
    Case { name: "disk fails", cut: &[8, 1], hole: None, counts: &[], len: 0, runs: &[(8, &[1])] },
    Case { name: "no memory", cut: &[8, 1], hole: Some(0), counts: &[], len: 0, runs: &[(8, &[1])] },
    Case {
        name: "no memory further on",
        cut: &[4, 4, 1],
        hole: Some(1),
        counts: &[4],
        len: 4,
        runs: &[(0, b"abcd"), (8, &[1])],
    },
    Case {
        name: "no memory after a short count",
        cut: &[4, 4, 1],
        hole: Some(1),
        counts: &[3, 1],
        len: 4,
        runs: &[(0, b"abcd"), (8, &[1])],
    },
];

/// Reads the payload as `case` says, and answers with a status of 0 if all was read.
fn answer(rig_chain: RigChain<'_>, case: &Case) {
    let mem = std::rc::Rc::clone(rig_chain.mem());
    let mut answer = WritableChain::new(rig_chain);
    let status = answer.split_last(1).unwrap();
    assert_eq!((answer.remaining().unwrap().bytes, status.position()), (8, 8), "{}", case.name);
    for count in case.counts {
        let (done, lent) = (answer.position() as usize, answer.lend(u64::MAX).unwrap());
        scatter(&mem, lent.io_vecs(), &PAYLOAD[done..done + count]);
        answer.settle(lent, *count).unwrap();
    }
    let whole = answer.lend(u64::MAX).is_ok_and(|lent| lent.is_empty());
    answer.join(status).unwrap();
    answer.write_all(&[u8::from(!whole)]).unwrap();
    assert_eq!(answer.prefix(), case.len, "{}", case.name);
    answer.return_prefix().unwrap();
}

/// SPLIT-USED-2, SPLIT-USED-4, HOST-11, FRAME-1: the status is in its place, and the driver is told of what is before
/// the first hole.
#[test]
fn status_written_in_its_place_whatever_became_of_the_payload() {
    for case in CASES {
        let mut rig = Rig::new();
        rig.add(&Message::new(&[], case.cut));
        if let Some(index) = case.hole {
            let hole = rig.last_placed().writable[index];
            rig.mem.unmap(hole);
        }
        answer(rig.fetch(), case);
        rig.reap().check(case.len, case.runs);
    }
}

/// Lets `device` have a chain with 12 writable bytes in three parts, of 3, 4 and 5, and checks what the driver is told
/// and gets.
#[track_caller]
fn check<D>(len: u32, runs: &[(usize, &[u8])], device: D)
where
    D: for<'q> FnOnce(Writable<'q>, Tail<RigChain<'q>>, Tail<RigChain<'q>>),
{
    let answer = Rig::new().serve(&Message::new(&[b"in"], &[5, 5, 2]), |chain| {
        let mut first = WritableChain::new(chain);
        let third = first.split_at(7).unwrap();
        let second = first.split_at(3).unwrap();
        device(first, second, third);
    });
    answer.check(len, runs);
}

/// SPLIT-USED-2: a chain goes on where its parts are, and all of them count as one.
#[test]
fn parts_joined_one_after_the_other_count_as_one() {
    check(12, &[(0, b"abcdefghijkl")], |mut answer, second, third| {
        assert_eq!(answer.write(b"abcdefghijkl"), Ok(3));
        answer.join(second).unwrap();
        assert_eq!(answer.write(b"defghijkl"), Ok(4));
        answer.join(third).unwrap();
        answer.write_all(b"hijkl").unwrap();
        answer.return_complete().unwrap();
    });
}

/// SPLIT-USED-4: a part that was not written to its end is a hole before the next one.
#[test]
fn part_unfinished_hides_what_is_behind_it() {
    check(4, &[(0, b"abcd"), (7, b"hijkl")], |mut answer, second, third| {
        answer.write_all(b"abc").unwrap();
        answer.join(second).unwrap();
        answer.write_all(b"d").unwrap();
        answer.join(third).unwrap();
        answer.write_all(b"hijkl").unwrap();
        assert_eq!((answer.prefix(), answer.written()), (4, 9));
        let left = Remaining { bytes: 3, descriptors: 0 };
        assert_eq!(answer.return_complete(), Err(IncompleteError::Unwritten(left)));
    });
}

/// SPLIT-USED-4: a chain whose tail was not joined is not complete, and is returned without it.
#[test]
fn tail_not_joined_is_not_complete() {
    check(3, &[(0, b"abc")], |mut answer, _, _| {
        answer.write_all(b"abc").unwrap();
        let left = Remaining { bytes: 9, descriptors: 3 };
        assert_eq!(answer.return_complete(), Err(IncompleteError::Unwritten(left)));
    });
}

/// SPLIT-USED-10: a tail is joined where it was split off, and nowhere else. Otherwise nothing changes.
#[test]
fn tail_that_does_not_follow_refused() {
    check(7, &[(0, b"abcdefg")], |mut answer, second, third| {
        answer.write_all(b"abc").unwrap();
        assert_eq!(answer.join(third), Err(JoinError::Apart { start: 7, end: Some(3) }));
        answer.join(second).unwrap();
        answer.write_all(b"defg").unwrap();
    });
    let mut rig = Rig::new();
    let mut other = Rig::new();
    other.add(&Message::new(&[b"another id"], &[]));
    let token = other.fetch().into_token();
    let ids = [rig.add(&Message::new(&[], &[4])), other.add(&Message::new(&[], &[4]))];
    let (mut here, mut there) = (WritableChain::new(rig.fetch()), WritableChain::new(other.fetch()));
    let (_, foreign) = (here.split_last(1).unwrap(), there.split_last(1).unwrap());
    assert_eq!(here.join(foreign), Err(JoinError::OtherChain { tail: ids[1], id: ids[0] }));
    drop((here, there));
    other.queue.complete(token, 0).unwrap();
}

/// HOST-11: nothing is cut off a chain that has no such bytes, or is not as long as it says.
#[test]
fn split_of_more_than_there_is_refused() {
    let answer = Rig::new().serve(&Message::new(&[b"in"], &[3]), |chain| {
        let mut answer = WritableChain::new(chain);
        let short = TransferError::Short { wanted: 4, available: 3 };
        assert_eq!(answer.split_last(4).unwrap_err(), short);
        assert_eq!(answer.split_at(4).unwrap_err(), short);
        answer.write_all(b"all").unwrap();
        answer.return_complete().unwrap();
    });
    answer.check(3, &[(0, b"all")]);
}
