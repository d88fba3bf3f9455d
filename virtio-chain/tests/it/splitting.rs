//! Writable halves in parts, written in any order and joined again, or not.

use virtio_chain::{IncompleteError, Remaining, WritableChain};
use virtio_queue_core::ReturnError;

use super::rig::{Message, Part, Rig, Writable, refused};

/// Lets `device` have a chain with 12 writable bytes in three parts: 3 in the chain, 4 and 5 split off. Checks what the
/// driver is told and gets.
#[track_caller]
fn check(len: u32, runs: &[(usize, &[u8])], device: impl for<'a> FnOnce(Writable<'a>, Part<'a>, Part<'a>)) {
    let answer = Rig::new().serve(&Message::new(&[b"in"], &[5, 5, 2]), |chain| {
        let mut first = WritableChain::new(chain);
        let mut second = first.split_at(3).unwrap();
        let third = second.split_at(4).unwrap();
        device(first, second, third);
    });
    answer.check(len, runs);
}

/// SPLIT-USED-2: in whatever order the parts were written and joined.
#[test]
fn parts_joined_count_as_one() {
    let all: &[(usize, &[u8])] = &[(0, b"abcdefghijkl")];
    // The last part first, and one after the other joined.
    check(12, all, |mut first, mut second, mut third| {
        third.write_all(b"hijkl").unwrap();
        second.write_all(b"defg").unwrap();
        first.write_all(b"abc").unwrap();
        first.join(second);
        assert_eq!((first.prefix(), first.written()), (7, 7));
        first.join(third);
        assert_eq!((first.prefix(), first.written()), (12, 12));
        first.return_complete().unwrap();
    });
    // The inner parts joined first.
    check(12, all, |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        third.write_all(b"hijkl").unwrap();
        second.write_all(b"defg").unwrap();
        second.join(third);
        assert_eq!(second.prefix(), 12);
        first.join(second);
        first.return_complete().unwrap();
    });
}

/// A chain goes on where its last part is.
#[test]
fn write_after_join_goes_on_in_the_tail() {
    check(12, &[(0, b"abcdefghijkl")], |mut first, second, third| {
        first.write_all(b"abc").unwrap();
        first.join(second);
        assert_eq!(first.remaining(), Ok(Remaining { bytes: 4, descriptors: 2 }));
        assert_eq!(first.write(b"defghij"), Ok(4));
        first.join(third);
        first.write_all(b"hijkl").unwrap();
        assert_eq!(first.prefix(), 12);
    });
}

/// SPLIT-USED-4: a head that is not written to its end is a hole before its tail.
#[test]
fn head_unfinished_hides_what_is_behind_it() {
    check(2, &[(0, b"ab"), (3, b"defg")], |mut first, mut second, _| {
        second.write_all(b"defg").unwrap();
        first.write_all(b"ab").unwrap();
        first.join(second);
        assert_eq!((first.prefix(), first.written()), (2, 6));
    });
    check(3, &[(0, b"abc"), (4, b"efghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.skip(1).unwrap();
        second.write_all(b"efg").unwrap();
        third.write_all(b"hijkl").unwrap();
        second.join(third);
        first.join(second);
        assert_eq!((first.prefix(), first.written()), (3, 11));
    });
}

/// SPLIT-USED-4: what was written into parts that were not joined is not reported, and cannot be.
#[test]
fn tail_not_joined_does_not_count() {
    check(3, &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.write_all(b"defg").unwrap();
        third.write_all(b"hijkl").unwrap();
        drop(refused(first.return_written(4), ReturnError::TooLong { written: 4, writable: 3 }));
    });
}

/// SPLIT-USED-4: a part that was left out is a hole, whatever was written there.
#[test]
fn part_left_out_is_a_hole() {
    check(3, &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.write_all(b"defg").unwrap();
        third.write_all(b"hijkl").unwrap();
        first.join(third);
        assert_eq!((first.prefix(), first.written()), (3, 8));
    });
}

/// SPLIT-USED-4: a part that comes too late changes nothing.
#[test]
fn parts_joined_out_of_order_leave_a_hole() {
    check(3, &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.write_all(b"defg").unwrap();
        third.write_all(b"hij").unwrap();
        first.join(third);
        first.join(second);
        assert_eq!((first.prefix(), first.written()), (3, 6));
        // It goes on where the last part was.
        first.write_all(b"kl").unwrap();
        assert_eq!((first.prefix(), first.written()), (3, 8));
        let unwritten = IncompleteError::Unwritten(Remaining { bytes: 4, descriptors: 0 });
        assert_eq!(first.return_complete().unwrap_err().error, unwritten);
    });
}

/// SPLIT-USED-10: no byte counts twice.
#[test]
fn clone_joined_does_not_count_twice() {
    check(12, &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.write_all(b"defg").unwrap();
        third.write_all(b"hijkl").unwrap();
        let (again, whole) = (second.clone(), first.clone());
        first.join(second);
        first.join(again);
        first.join(whole);
        assert_eq!((first.prefix(), first.written()), (7, 7));
        first.join(third);
        assert_eq!((first.prefix(), first.written()), (12, 12));
    });
    // Not even a single one.
    check(4, &[(0, b"abcd")], |mut first, mut second, _| {
        first.write_all(b"abc").unwrap();
        let _rest = second.split_at(1).unwrap();
        second.write_all(b"d").unwrap();
        first.join(second.clone());
        first.join(second);
        assert_eq!((first.prefix(), first.written()), (4, 4));
    });
}

/// SPLIT-USED-4, SPLIT-USED-10: nothing that was written into another chain counts in this one, and what is written after
/// that goes into this one.
#[test]
fn tail_of_another_chain_joined_changes_nothing() {
    let (mut here, mut elsewhere) = (Rig::new(), Rig::new());
    elsewhere.add(&Message::new(&[b"another id"], &[]));
    let token = elsewhere.fetch().into_token();
    here.add(&Message::new(&[], &[4, 4]));
    elsewhere.add(&Message::new(&[], &[4, 4]));

    let (mut chain, mut other) = (WritableChain::new(here.fetch()), WritableChain::new(elsewhere.fetch()));
    assert_ne!(chain.id(), other.id());
    let (mut tail, mut other_tail) = (chain.split_at(4).unwrap(), other.split_at(4).unwrap());
    chain.write_all(b"this").unwrap();
    chain.join(other_tail.clone());
    assert_eq!(chain.write(b"not there"), Ok(0));
    other_tail.write_all(b"that").unwrap();
    chain.join(other_tail);
    assert_eq!((chain.prefix(), chain.written()), (4, 4));
    let unwritten = IncompleteError::Unwritten(Remaining { bytes: 4, descriptors: 1 });
    let mut chain = refused(chain.return_complete(), unwritten);
    tail.write_all(b"one").unwrap();
    chain.join(tail);
    drop((chain, other));

    here.reap().check(7, &[(0, b"thisone")]);
    elsewhere.reap().check(0, &[(4, b"that")]);
    elsewhere.queue.complete(token, 0).unwrap();
}
