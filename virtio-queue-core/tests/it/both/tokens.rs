//! Tokens: chains that outlive the borrow of their queue, and numbers that were never one. Nothing here knows a format.

use core::time::Duration;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_fake_driver::{DriverChain, SplitFixture};
use virtio_mem_traits::HeapMem;
use virtio_queue_core::{Armed, DriverNotify, QueueLimits, ReturnError, SplitQueue, Token};

use crate::support::split::{Fixture, fixture, options};
use crate::support::{EVENT_IDX, INDIRECT, serve};

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {}
}

assert_impl_all!(SplitQueue<Arc<HeapMem>, Silent>: Send, Sync);
assert_impl_all!(SplitQueue<&'static HeapMem, Silent>: Send);
assert_impl_all!(Token: Send, Sync);
assert_not_impl_any!(Token: Clone, Copy);

/// Makes `count` chains available, with room for one byte each, and fetches them.
fn fetch(fixture: &mut Fixture, count: usize) -> Vec<Token> {
    for _ in 0..count {
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    }
    (0..count).map(|_| fixture.queue.next_chain().unwrap().unwrap().into_token()).collect()
}

/// Checks that a queue refuses a token as none of its own, and does nothing else.
#[track_caller]
fn check_stale(fixture: &mut Fixture, token: Token) {
    let id = token.id();
    fixture.notifications.take();
    let in_flight = fixture.queue.in_flight();
    fixture.mem.start_log();
    assert_eq!(fixture.queue.complete(token, 1), Err(ReturnError::Stale { id }));
    assert_eq!(fixture.mem.take_log(), []);
    assert_eq!((fixture.notifications.count(), fixture.queue.in_flight()), (0, in_flight));
    assert!(!fixture.queue.is_broken());
}

/// GEN-8: a token is as good after a way through a number, and the number says which chain it is.
#[test]
fn token_survives_u64() {
    for size in [1, 8, 32768] {
        let mut fixture = fixture(size, 0);
        let count = usize::from(size.min(8));
        for _ in 0..3 {
            let numbers: Vec<u64> = fetch(&mut fixture, count).into_iter().map(Token::into_u64).collect();
            let mut distinct = numbers.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), count);
            for number in numbers {
                assert_eq!(Token::from_u64(number).into_u64(), number);
                let (token, id) = (Token::from_u64(number), Token::from_u64(number).id());
                fixture.queue.complete(token, 1).unwrap();
                let used = fixture.driver.reap().unwrap().unwrap();
                assert_eq!((used.id, used.len), (id, 1));
            }
        }
    }
}

/// GEN-8: a token is turned back into its chain, which is as it was, also after a way through a number.
#[test]
fn token_turned_back_into_chain() {
    for through_u64 in [false, true] {
        let mut fixture = fixture(8, 0);
        for len in 1..=4 {
            fixture.driver.add(&DriverChain::new().readable([7; 3]).writable(len)).unwrap();
        }
        let fetch = |_| fixture.queue.next_chain().unwrap().unwrap().into_token();
        let tokens: Vec<_> = (0..4).map(fetch).collect();
        for (token, len) in tokens.into_iter().zip([1, 2, 3, 4_u32]).rev() {
            let id = token.id();
            let token = if through_u64 { Token::from_u64(token.into_u64()) } else { token };
            let chain = fixture.queue.chain(token).unwrap();
            assert_eq!((chain.id(), serve(&chain)), (id, len));
            let refused = chain.try_return_written(len + 1).unwrap_err();
            assert_eq!(refused.error, ReturnError::TooLong { written: len + 1, writable: len.into() });
            refused.chain.return_written(len).unwrap();
            let used = fixture.driver.reap().unwrap().unwrap();
            assert_eq!((used.id, used.written()), (id, &[7, 7, 7, 7][..len as usize]));
        }
        assert_eq!(fixture.queue.in_flight(), 0);
    }
}

/// INV-5: chains in flight are counted, however they go back.
#[test]
fn in_flight_counts_chains() {
    let mut fixture = fixture(8, 0);
    assert_eq!(fixture.queue.in_flight(), 0);
    let mut tokens = fetch(&mut fixture, 5);
    assert_eq!(fixture.queue.in_flight(), 5);
    fixture.queue.complete(tokens.pop().unwrap(), 0).unwrap();
    assert_eq!(fixture.queue.in_flight(), 4);
    fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    drop(fixture.queue.next_chain().unwrap().unwrap());
    assert_eq!(fixture.queue.in_flight(), 4);
    let mut burst = fixture.queue.burst();
    tokens.into_iter().for_each(|token| burst.complete(token, 0).unwrap());
    drop(burst);
    assert_eq!(fixture.queue.in_flight(), 0);
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 6);
}

/// QRST-8: tokens of another queue, whether or not that one has as many chains in flight.
#[test]
fn token_of_another_queue_refused() {
    let (mut one, mut other) = (fixture(8, 0), fixture(8, 0));
    let ours = fetch(&mut one, 3);
    let theirs = fetch(&mut other, 3);
    for token in theirs {
        let number = token.into_u64();
        check_stale(&mut one, Token::from_u64(number));
        other.queue.complete(Token::from_u64(number), 1).unwrap();
    }
    for token in ours {
        check_stale(&mut other, Token::from_u64(Token::from_u64(token.into_u64()).into_u64()));
    }
    assert_eq!(other.driver.reap_all().unwrap().len(), 3);
    assert_eq!(one.driver.reap_all().unwrap().len(), 0);
}

/// QRST-8, GEN-5: tokens of a queue that was made anew on the same memory, with chains of the new one in flight.
#[test]
fn token_from_before_reset_refused() {
    for features in [0, INDIRECT | EVENT_IDX] {
        let mut fixture = fixture(8, features);
        let old = fetch(&mut fixture, 4);
        // The driver goes back to the start, and the device forgets everything.
        fixture.driver.raw().set_available_index(0);
        let config = fixture.driver.queue_config(QueueLimits::default());
        fixture.queue = SplitQueue::new(&config, Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications)).unwrap();
        assert_eq!(fixture.queue.in_flight(), 0);
        fixture.driver.raw().set_available_index(4);
        let new: Vec<_> = (0..4).map(|_| fixture.queue.next_chain().unwrap().unwrap().into_token()).collect();
        for token in old {
            check_stale(&mut fixture, token);
        }
        for token in new {
            fixture.queue.complete(token, 1).unwrap();
        }
        assert_eq!(fixture.driver.reap_all().unwrap().len(), 4);
    }
}

/// INV-5: a number that is used twice takes another chain's place, and no more than that: when nothing is in flight any
/// more, it is refused.
#[test]
fn token_used_twice_refused_when_nothing_is_in_flight() {
    let mut fixture = fixture(8, 0);
    let numbers: Vec<u64> = fetch(&mut fixture, 3).into_iter().map(Token::into_u64).collect();
    for left in [2, 1, 0] {
        fixture.queue.complete(Token::from_u64(numbers[0]), 0).unwrap();
        assert_eq!(fixture.queue.in_flight(), left);
    }
    for number in numbers {
        check_stale(&mut fixture, Token::from_u64(number));
    }
}

/// INV-1, INV-5: numbers that were made up. What has not the right generation is refused, and nothing ever panics or
/// counts wrong.
#[test]
fn forged_tokens_do_no_harm() {
    let mut fixture = fixture(8, EVENT_IDX);
    let number = fetch(&mut fixture, 4).pop().unwrap().into_u64();
    let generation = number >> 48 << 48;
    for (slots, id) in [(0_u64, 0), (5, 0), (8, 0), (9, 0), (0x8000, 0xffff), (0xffff, 0)] {
        check_stale(&mut fixture, Token::from_u64(generation | slots << 32 | id));
    }
    for other in [1_u64, 1 << 10, 0xffff] {
        check_stale(&mut fixture, Token::from_u64(number ^ other << 48));
    }
    let mut state = 1_u64;
    for round in 0..10_000 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let number = if round % 100 == 0 { generation | state >> 29 } else { state };
        let before = fixture.queue.in_flight();
        match fixture.queue.complete(Token::from_u64(number), state as u32) {
            Ok(()) => assert!(fixture.queue.in_flight() < before && number >> 48 << 48 == generation),
            Err(error) => assert_eq!(error, ReturnError::Stale { id: number as u16 }),
        }
    }
}

/// LAY-6: a token that is dropped leaves its chain in flight; the others go on with one slot less.
#[test]
fn dropped_token_keeps_its_slot() {
    let mut fixture = fixture(4, 0);
    drop(fetch(&mut fixture, 1));
    for _ in 0..50 {
        let tokens = fetch(&mut fixture, 3);
        assert_eq!(fixture.queue.in_flight(), 4);
        tokens.into_iter().for_each(|token| fixture.queue.complete(token, 1).unwrap());
        assert_eq!(fixture.driver.reap_all().unwrap().len(), 3);
        assert_eq!((fixture.queue.in_flight(), fixture.driver.in_flight()), (1, 1));
    }
}

/// A notifier that signals a driver in another thread.
struct Signal(mpsc::Sender<()>);

impl DriverNotify for Signal {
    fn notify(&self) {
        // A driver that has finished does not listen.
        let _ = self.0.send(());
    }
}

/// Waits for a signal, and fails the test instead of hanging if it was lost.
fn wait(signals: &mpsc::Receiver<()>) {
    signals.recv_timeout(Duration::from_secs(20)).expect("a notification was lost");
    while signals.try_recv().is_ok() {}
}

/// Runs `count` chains between a driver here and a device in a thread of its own, each of which waits for the other's
/// notifications whenever there is nothing to do.
fn check_threads(size: u16, features: u64, count: usize) {
    let SplitFixture { mut driver, mem, queue, .. } = options(size, features).build_plain().unwrap();
    drop(queue);
    let (kick, kicks) = mpsc::channel();
    let (interrupt, interrupts) = mpsc::channel();
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = SplitQueue::new(&config, mem, Signal(interrupt)).unwrap();
    let device = thread::spawn(move || {
        let mut served = 0;
        while served < count {
            queue.suppress_notifications();
            let mut tokens = Vec::new();
            while let Some(chain) = queue.next_chain().unwrap() {
                let written = serve(&chain);
                match served % 3 {
                    0 => tokens.push((chain.into_token(), written)),
                    _ => chain.return_written(written).unwrap(),
                }
                served += 1;
            }
            for (token, written) in tokens {
                queue.complete(Token::from_u64(token.into_u64()), written).unwrap();
            }
            if served < count && queue.enable_notifications() == Ok(Armed::Waiting) {
                wait(&kicks);
            }
        }
        queue.in_flight()
    });
    let (mut added, mut reaped) = (0, 0);
    while reaped < count {
        while added < count && driver.add(&DriverChain::new().readable([added as u8]).writable(2)).is_ok() {
            added += 1;
            if driver.needs_kick() {
                let _ = kick.send(());
            }
        }
        driver.disable_interrupts();
        while let Some(used) = driver.reap().unwrap() {
            assert_eq!(used.written().len(), 2);
            assert_eq!(used.written()[0], used.written()[1]);
            reaped += 1;
        }
        if driver.in_flight() != 0 && !driver.enable_interrupts() {
            wait(&interrupts);
        }
    }
    assert_eq!(device.join().unwrap(), 0);
}

/// A queue in another thread, which owns its memory. No notification is lost on either side; but this is a stress test,
/// and shows little about a fence that is hardly ever needed.
#[test]
fn queue_in_another_thread_loses_no_notification() {
    for features in [0, EVENT_IDX] {
        check_threads(4, features, 20_000);
        check_threads(64, features, 20_000);
    }
}
