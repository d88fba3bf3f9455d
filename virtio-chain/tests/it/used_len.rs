//! What the driver is told was written (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring").

use virtio_chain::{ReadableChain, WritableChain};
use virtio_fake_driver::{DriverChain, SplitFixture};
use virtio_queue_core::ReturnError;

use super::rig::{Message, Readable, Rig, Writable, refused};

/// Header, payload and status, cut as no driver would.
const ANSWER: &[usize] = &[3, 6, 0, 1];

/// Lets `device` have a chain with 10 writable bytes, and checks what the driver is told and gets.
#[track_caller]
fn check(len: u32, runs: &[(usize, &[u8])], device: impl FnOnce(Writable<'_>)) {
    let message = Message::new(&[b"request"], ANSWER);
    let answer = Rig::new().serve(&message, |chain| device(WritableChain::new(chain)));
    answer.check(len, runs);
    assert_eq!(answer.written().len(), len as usize);
}

/// SPLIT-USED-2, SPLIT-USED-6: all that was written from the beginning on, and nothing that was read.
#[test]
fn written_from_the_beginning_reported() {
    for count in 0..=10 {
        let bytes = b"0123456789".split_at(count).0;
        check(count as u32, &[(0, bytes)], |mut chain| {
            chain.write_all(bytes).unwrap();
            assert_eq!((chain.prefix(), chain.written()), (count as u64, count as u64));
        });
    }
}

/// SPLIT-USED-3, SPLIT-USED-4: what lies behind a hole is written, and not reported.
#[test]
fn written_behind_a_hole_not_reported() {
    check(2, &[(0, b"ab"), (3, b"defghij")], |mut chain| {
        chain.write_all(b"ab").unwrap();
        assert_eq!(chain.skip(1), Ok(1));
        chain.write_all(b"defg").unwrap();
        assert_eq!((chain.prefix(), chain.written()), (2, 6));
        chain.write_all(b"hij").unwrap();
        assert_eq!((chain.prefix(), chain.written()), (2, 9));
    });
}

/// SPLIT-USED-4: nothing is skipped where nothing is left to be skipped.
#[test]
fn skip_of_nothing_leaves_no_hole() {
    check(10, &[(0, b"0123456789")], |mut chain| {
        chain.write_all(b"01234").unwrap();
        assert_eq!(chain.skip(0), Ok(0));
        chain.write_all(b"56789").unwrap();
        assert_eq!(chain.skip(5), Ok(0));
    });
}

/// SPLIT-USED-4, AMB-24: the status alone is nothing that the driver could find by the length.
#[test]
fn only_status_written_reports_nothing() {
    let status_alone = |chain: &mut Writable<'_>| {
        chain.skip(9).unwrap();
        chain.write_all(b"!").unwrap();
        assert_eq!((chain.prefix(), chain.written()), (0, 1));
    };
    check(0, &[(9, b"!")], |mut chain| status_alone(&mut chain));
    check(0, &[(9, b"!")], |mut chain| {
        status_alone(&mut chain);
        chain.return_used().unwrap();
    });
    // What other devices do, on request.
    check(1, &[(9, b"!")], |mut chain| {
        status_alone(&mut chain);
        chain.return_written(1).unwrap();
    });
}

/// SPLIT-USED-3: less than was written may be said.
#[test]
fn return_written_up_to_what_was_written_accepted() {
    for len in 0..=6 {
        check(len, &[(0, b"abcdef")], |mut chain| {
            chain.write_all(b"abcdef").unwrap();
            chain.return_written(len).unwrap();
        });
    }
}

/// SPLIT-USED-10: more than was written may not be said, and the chain goes on as if nothing had been.
#[test]
fn return_written_beyond_what_was_written_refused() {
    for (count, len) in [(0, 1), (4, 5), (4, 10), (4, u32::MAX), (10, 11)] {
        let bytes = b"0123456789".split_at(count).0;
        check(10, &[(0, b"0123456789")], |mut chain| {
            chain.write_all(bytes).unwrap();
            let mut chain =
                refused(chain.return_written(len), ReturnError::TooLong { written: len, writable: count as u64 });
            chain.write_all(b"0123456789".split_at(count).1).unwrap();
            chain.return_written(10).unwrap();
        });
    }
}

/// SPLIT-USED-6: nothing can be written into a chain that is all readable, and nothing is reported.
#[test]
fn chain_without_writable_bytes_reports_nothing() {
    let devices: [fn(Readable<'_>); 5] = [
        |chain| drop(chain),
        |mut chain| {
            chain.advance(4).unwrap();
            chain.return_complete().unwrap();
        },
        |chain| drop(WritableChain::from_incomplete_readable(chain)),
        |chain| {
            let mut chain = WritableChain::from_incomplete_readable(chain);
            assert_eq!(chain.write(b"more"), Ok(0));
            chain.return_complete().unwrap();
        },
        |chain| WritableChain::from_incomplete_readable(chain).return_written(0).unwrap(),
    ];
    for device in devices {
        let answer = Rig::new().serve(&Message::new(&[b"send"], &[]), |chain| device(ReadableChain::new(chain)));
        answer.check(0, &[]);
    }
}

/// SPLIT-USED-2: a walk of the device's own takes nothing away from the bytes.
#[test]
fn chain_that_was_walked_is_written_from_the_beginning() {
    for walked in 0..=3 {
        let answer = Rig::new().serve(&Message::new(&[b"in"], &[4, 4]), |chain| {
            assert!(chain.walk().take(walked).all(|element| element.is_ok()));
            WritableChain::new(chain).write_all(b"anything").unwrap();
        });
        answer.check(8, &[(0, b"anything")]);
    }
}

/// SPLIT-USED-4: whoever goes on with a tail in the place of the chain's own writer is not taken for having written what lies
/// before it.
#[test]
fn writer_swapped_for_a_tail_reports_nothing() {
    let mut fixture = SplitFixture::new(8);
    fixture.driver.add(&DriverChain::new().writable(513)).unwrap();
    let mut chain = WritableChain::new(fixture.queue.next_chain().unwrap().unwrap());
    *chain = chain.split_at(512).unwrap();
    chain.write_all(b"s").unwrap();
    drop(chain);
    assert_eq!(fixture.driver.reap().unwrap().unwrap().len, 0);
}

/// SPLIT-USED-4: nor is a tail of another queue, though it may be of a chain with the same id.
#[test]
fn tail_of_another_queue_joined_reports_nothing() {
    let (mut one, mut other) = (SplitFixture::new(8), SplitFixture::new(8));
    one.driver.add(&DriverChain::new().writable(8)).unwrap();
    other.driver.add(&DriverChain::new().writable(8)).unwrap();
    let mut ours = WritableChain::new(one.queue.next_chain().unwrap().unwrap());
    let mut theirs = WritableChain::new(other.queue.next_chain().unwrap().unwrap());
    ours.split_at(0).unwrap();
    let mut tail = theirs.split_at(0).unwrap();
    tail.write_all(&[1; 8]).unwrap();
    ours.join(tail);
    drop(ours);
    assert_eq!(one.driver.reap().unwrap().unwrap().len, 0);
}
