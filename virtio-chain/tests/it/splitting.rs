//! Writable halves in parts, written in any order and joined again, or not.

use virtio_chain::{JoinError, Remaining, Writer};

use super::rig::{Message, Part, Rig, RigChain, refused};

/// Lets `device` have 12 writable bytes in three parts, of 3, 4 and 5, returns the chain with what the part that it
/// answers with says, and checks what the driver is told and gets.
#[track_caller]
fn check(len: u32, runs: &[(usize, &[u8])], device: impl for<'c> FnOnce(Part<'c>, Part<'c>, Part<'c>) -> Part<'c>) {
    let answer = Rig::new().serve(&Message::new(&[b"in"], &[5, 5, 2]), |chain| {
        let mut first = Writer::new(&chain);
        let mut second = first.split_at(3).unwrap();
        let third = second.split_at(4).unwrap();
        let written = device(first, second, third).prefix();
        chain.return_written(written).unwrap();
    });
    answer.check(len, runs);
}

const fn apart(start: u64, end: u64) -> JoinError {
    JoinError::Apart { start, end: Some(end) }
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
        first.join(second).unwrap();
        assert_eq!((first.prefix(), first.written()), (7, 7));
        first.join(third).unwrap();
        assert_eq!((first.prefix(), first.written()), (12, 12));
        first
    });
    // The inner parts joined first.
    check(12, all, |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        third.write_all(b"hijkl").unwrap();
        second.write_all(b"defg").unwrap();
        second.join(third).unwrap();
        // A part from the middle has nothing to tell the driver.
        assert_eq!((second.prefix(), second.written()), (0, 9));
        first.join(second).unwrap();
        first
    });
}

/// A chain goes on where its last part is.
#[test]
fn write_after_join_goes_on_in_the_tail() {
    check(12, &[(0, b"abcdefghijkl")], |mut first, second, third| {
        first.write_all(b"abc").unwrap();
        first.join(second).unwrap();
        assert_eq!(first.remaining(), Ok(Remaining { bytes: 4, descriptors: 2 }));
        assert_eq!(first.write(b"defghij"), Ok(4));
        first.join(third).unwrap();
        first.write_all(b"hijkl").unwrap();
        assert_eq!(first.prefix(), 12);
        first
    });
}

/// SPLIT-USED-4: a head that is not written to its end is a hole before its tail.
#[test]
fn head_unfinished_hides_what_is_behind_it() {
    check(2, &[(0, b"ab"), (3, b"defg")], |mut first, mut second, _| {
        second.write_all(b"defg").unwrap();
        first.write_all(b"ab").unwrap();
        first.join(second).unwrap();
        assert_eq!((first.prefix(), first.written()), (2, 6));
        first
    });
    check(3, &[(0, b"abc"), (4, b"efghijkl")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.skip(1).unwrap();
        second.write_all(b"efg").unwrap();
        third.write_all(b"hijkl").unwrap();
        second.join(third).unwrap();
        first.join(second).unwrap();
        assert_eq!((first.prefix(), first.written()), (3, 11));
        first
    });
}

/// SPLIT-USED-4: what was written into parts that were not joined is not reported, by whatever part is asked.
#[test]
fn tail_not_joined_does_not_count() {
    for which in 0..3 {
        check([3, 0, 0][which], &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
            first.write_all(b"abc").unwrap();
            second.write_all(b"defg").unwrap();
            third.write_all(b"hijkl").unwrap();
            [first, second, third].into_iter().nth(which).unwrap()
        });
    }
}

/// SPLIT-USED-4: a part is joined to the one that it was split off, and to no other. What was refused can still be
/// joined.
#[test]
fn part_that_does_not_follow_handed_back() {
    check(12, &[(0, b"abcdefghijkl")], |mut first, mut second, mut third| {
        third.write_all(b"hijkl").unwrap();
        third = refused(first.try_join(third), apart(7, 3));
        second.write_all(b"defg").unwrap();
        first.write_all(b"abc").unwrap();
        assert_eq!((first.prefix(), first.written()), (3, 3));
        first.join(second).unwrap();
        first.join(third).unwrap();
        assert_eq!((first.prefix(), first.written()), (12, 12));
        first
    });
    assert_eq!(
        apart(7, 3).to_string(),
        "the part from byte 7 cannot follow a part that ends at byte 3: join the part from byte 3"
    );
}

/// SPLIT-USED-4: nothing follows a writer that was not split, and nothing is written twice by a mistake in the order.
#[test]
fn join_the_wrong_way_round_refused() {
    check(3, &[(0, b"abc"), (3, b"defg")], |mut first, mut second, mut third| {
        first.write_all(b"abc").unwrap();
        second.write_all(b"defg").unwrap();
        let whole = JoinError::Apart { start: 3, end: None };
        second = refused(third.try_join(second), whole);
        assert_eq!(second.join(first.clone()), Err(apart(0, 7)));
        assert_eq!(whole.to_string(), "the part from byte 3 cannot follow a part that ends where the chain ends");
        first
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
        first.join(second).unwrap();
        assert_eq!(first.join(again), Err(apart(3, 7)));
        assert_eq!(first.join(whole), Err(apart(0, 7)));
        assert_eq!((first.prefix(), first.written()), (7, 7));
        first.join(third).unwrap();
        assert_eq!((first.prefix(), first.written()), (12, 12));
        first
    });
    // Not even a single one.
    check(4, &[(0, b"abcd")], |mut first, mut second, _| {
        first.write_all(b"abc").unwrap();
        let _rest = second.split_at(1).unwrap();
        second.write_all(b"d").unwrap();
        first.join(second.clone()).unwrap();
        assert_eq!(first.join(second), Err(apart(3, 4)));
        assert_eq!((first.prefix(), first.written()), (4, 4));
        first
    });
}

/// SPLIT-USED-4, SPLIT-USED-10: nothing that was written into another chain counts in this one, not even if both have
/// one id; and it is not lost.
#[test]
fn tail_of_another_chain_refused() {
    let (mut one, mut other) = (Rig::new(), Rig::new());
    one.add(&Message::new(&[], &[4, 4]));
    other.add(&Message::new(&[], &[4, 4]));
    let (here, elsewhere) = (one.fetch(), other.fetch());
    assert_eq!(here.id(), elsewhere.id());
    check_foreign(&here, &elsewhere);
    here.return_written(4).unwrap();
    elsewhere.return_written(0).unwrap();
    one.reap().check(4, &[(0, b"this")]);
    other.reap().check(0, &[(4, b"that")]);
}

/// Joins a tail of `elsewhere` to a part of `here`.
#[track_caller]
fn check_foreign<'c>(here: &'c RigChain<'c>, elsewhere: &'c RigChain<'c>) {
    let (mut part, mut other) = (Writer::new(here), Writer::new(elsewhere));
    let (_tail, mut foreign) = (part.split_at(4).unwrap(), other.split_at(4).unwrap());
    part.write_all(b"this").unwrap();
    foreign.write_all(b"that").unwrap();
    let error = JoinError::OtherChain { tail: elsewhere.id(), id: here.id() };
    foreign = refused(part.try_join(foreign), error);
    assert_eq!((part.prefix(), part.written()), (4, 4));
    // Here the order is wrong, and there the part is joined where it belongs.
    other.join(foreign).unwrap();
    assert_eq!((other.prefix(), other.written()), (0, 4));
}
