//! What the driver is told was written (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring").

use core::mem;

use virtio_chain::{IncompleteError, ReadableChain, WritableChain};
use virtio_fake_driver::DriverChain;

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
            assert_eq!((chain.prefix(), chain.written()), (count as u32, count as u64));
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
        chain.return_prefix().unwrap();
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
            let mut chain = refused(
                chain.try_return_written(len),
                IncompleteError::NotWritten { claimed: len, written: count as u64 },
            );
            chain.write_all(b"0123456789".split_at(count).1).unwrap();
            chain.return_written(10).unwrap();
        });
        // Who does not ask for it back, returns it with what was written.
        check(count as u32, &[(0, bytes)], |mut chain| {
            chain.write_all(bytes).unwrap();
            assert!(chain.return_written(len).is_err());
        });
    }
    let error = IncompleteError::NotWritten { claimed: 3, written: 1 };
    assert_eq!(error.to_string(), "3 bytes were claimed, but 1 were written: claim at most 1");
}

/// SPLIT-USED-6: nothing can be written into a chain that is all readable, and nothing is reported.
#[test]
fn chain_without_writable_bytes_reports_nothing() {
    let devices: [fn(Readable<'_>); 5] = [
        |chain| drop(chain),
        |mut chain| {
            chain.skip(4).unwrap();
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

/// SPLIT-USED-4: who swaps two writers, swaps their chains. What was written into one never counts in the other.
#[test]
fn writers_swapped_report_what_their_chains_got() {
    type Return = fn(Writable<'_>, u32) -> bool;
    let returns: [Return; 3] = [
        |chain, _| {
            drop(chain);
            true
        },
        |chain, _| chain.return_prefix().is_ok(),
        |chain, len| chain.return_written(len).is_ok(),
    ];
    for give_back in returns {
        let (mut one, mut other) = (Rig::new(), Rig::new());
        other.driver.add(&DriverChain::new().readable(b"another id")).unwrap();
        let token = other.fetch().into_token();
        let ids = [one.add(&Message::new(&[], &[100])), other.add(&Message::new(&[], &[100]))];
        let (mut a, mut b) = (WritableChain::new(one.fetch()), WritableChain::new(other.fetch()));
        a.write_all(&[1; 100]).unwrap();
        mem::swap(&mut *a, &mut *b);
        assert_eq!([b.id(), a.id()], ids);
        assert_eq!((a.prefix(), b.prefix()), (0, 100));
        assert!(give_back(a, 0) && give_back(b, 100));
        one.reap().check(100, &[(0, &[1; 100])]);
        other.reap().check(0, &[]);
        other.queue.complete(token, 0).unwrap();
    }
}

/// SPLIT-USED-10: a chain that nothing was written into cannot be given what was written into another, swapped or not.
#[test]
fn return_written_after_a_swap_refused() {
    let (mut one, mut other) = (Rig::new(), Rig::new());
    one.add(&Message::new(&[], &[100]));
    other.add(&Message::new(&[], &[100]));
    let (mut a, mut b) = (WritableChain::new(one.fetch()), WritableChain::new(other.fetch()));
    a.write_all(&[1; 100]).unwrap();
    mem::swap(&mut *a, &mut *b);
    let a = refused(a.try_return_written(100), IncompleteError::NotWritten { claimed: 100, written: 0 });
    drop((a, b));
    one.reap().check(100, &[(0, &[1; 100])]);
    other.reap().check(0, &[]);
}
