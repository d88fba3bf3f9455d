//! `SharedQueue`.

use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::HeapMem;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{Armed, DescChain, DriverNotify, FatalError, ReturnError, Token};
use virtio_util::{BufferedNotify, NotificationCounter};

use crate::driver::{BUFFER, Driver, SIZE, Shared, SharedSplit, rings, shared};

assert_impl_all!(SharedSplit<'static, &'static NotificationCounter>: Send, Sync);
assert_impl_all!(Shared<SplitRing<Arc<HeapMem>>, Arc<NotificationCounter>>: Send, Sync);
// A notifier is used under the lock, so it need not be `Sync`. A memory is used without.
assert_impl_all!(SharedSplit<'static, SendOnly>: Send, Sync);
assert_not_impl_any!(Shared<SplitRing<Rc<HeapMem>>, NotificationCounter>: Send, Sync);

/// A notifier that is `Send`, and not `Sync`.
struct SendOnly(PhantomData<Cell<()>>);

impl DriverNotify for SendOnly {
    fn notify(&self) {}
}

#[test]
fn next_chain_with_nothing_available_is_none() {
    let mem = rings();
    let queue = shared(&mem, NotificationCounter::new());
    assert!(queue.next_chain().unwrap().is_none());
    assert_eq!((queue.size(), queue.in_flight(), queue.fault()), (SIZE, 0, None));
}

#[test]
fn chains_returned_in_any_way_are_used_with_their_lengths() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let counter = NotificationCounter::new();
    let queue = shared(&mem, &counter);
    for id in 0..3 {
        driver.offer(id);
    }
    let [dropped, written, token] = [(); 3].map(|()| queue.next_chain().unwrap().unwrap());
    assert_eq!(queue.in_flight(), 3);
    let token = token.into_token();
    queue.complete(token, 7).unwrap();
    written.return_written(5).unwrap();
    drop(dropped);
    assert_eq!(driver.used(), [(2, 7), (1, 5), (0, 0)]);
    assert_eq!((queue.in_flight(), counter.count()), (0, 3));
}

#[test]
fn return_written_of_too_much_is_refused() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    driver.offer(0);
    let chain = queue.next_chain().unwrap().unwrap();
    let refused = chain.return_written(BUFFER + 1).unwrap_err();
    assert_eq!(refused.error, ReturnError::TooLong { written: BUFFER + 1, writable: BUFFER.into() });
    refused.chain.return_written(BUFFER).unwrap();
    assert_eq!(driver.used(), [(0, BUFFER)]);
}

#[test]
fn chain_is_walked_while_the_queue_is_locked() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    driver.offer(3);
    let chain = queue.next_chain().unwrap().unwrap();
    queue.burst(|_locked| assert_eq!(chain.walk().count(), 1));
}

#[test]
fn burst_publishes_and_notifies_once_at_its_end() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let counter = NotificationCounter::new();
    let queue = shared(&mem, &counter);
    for id in 0..SIZE {
        driver.offer(id);
    }
    let early = queue.next_chain().unwrap().unwrap().into_token();
    let late = queue.burst(|mut burst| {
        burst.complete(early, 1).unwrap();
        let late = burst.next_chain().unwrap().unwrap().into_token();
        while let Some(chain) = burst.next_chain().unwrap() {
            chain.return_written(2).unwrap();
        }
        assert_eq!((driver.used().len(), counter.count()), (0, 0));
        late
    });
    assert_eq!((driver.used().len(), counter.count()), (usize::from(SIZE) - 1, 1));
    queue.burst(|mut burst| {
        burst.complete(late, 3).unwrap();
        burst.finish().unwrap();
    });
    assert_eq!((driver.used(), counter.count()), (vec![(1, 3)], 2));
}

#[test]
fn chains_fetched_in_a_burst_are_walked_and_returned_after_it() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    for id in 0..3 {
        driver.offer(id);
    }
    let tokens: Vec<_> = queue
        .burst(|mut burst| core::iter::from_fn(|| burst.next_chain().unwrap().map(DescChain::into_token)).collect());
    for chain in tokens.into_iter().map(|token| queue.chain(token).unwrap()) {
        assert_eq!(chain.walk().count(), 1);
        chain.return_written(BUFFER).unwrap();
    }
    assert_eq!(driver.used(), [0, 1, 2].map(|id| (id, BUFFER)));
}

#[test]
fn buffered_notifier_notifies_outside_of_the_lock() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let counter = NotificationCounter::new();
    let buffered = BufferedNotify::new(&counter);
    let queue = shared(&mem, &buffered);
    for id in 0..2 {
        driver.offer(id);
        drop(queue.next_chain().unwrap());
    }
    assert_eq!(counter.count(), 0);
    buffered.flush();
    assert_eq!(counter.count(), 1);
}

#[test]
fn notifications_are_suppressed_and_enabled() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    assert!(driver.wants_kicks());
    queue.suppress_notifications();
    assert!(!driver.wants_kicks());
    assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
    assert!(driver.wants_kicks());
    driver.offer(0);
    assert_eq!(queue.enable_notifications(), Ok(Armed::MoreAvailable));
}

/// QRST-8
#[test]
fn token_used_twice_or_of_another_queue_is_refused() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    driver.offer(4);
    let number = queue.next_chain().unwrap().unwrap().into_token().into_u64();
    assert_eq!(queue.in_flight(), 1);

    let other = shared(&mem, NotificationCounter::new());
    assert_eq!(other.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id: 4 }));
    assert_eq!(driver.used(), []);

    queue.complete(Token::from_u64(number), 0).unwrap();
    assert_eq!(queue.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id: 4 }));
    drop(queue.chain(Token::from_u64(number)));
    assert_eq!(driver.used(), [(4, 0)]);
}

/// HOST-1
#[test]
fn broken_queue_reports_once_and_takes_nothing_back() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let counter = NotificationCounter::new();
    let queue = shared(&mem, &counter);
    driver.offer(0);
    driver.offer(1);
    let chain = queue.next_chain().unwrap().unwrap();
    let token = queue.next_chain().unwrap().unwrap().into_token();

    driver.offer_head(SIZE);
    let error = queue.next_chain().unwrap_err();
    assert!(matches!(error, FatalError::HeadOutOfRange { size: SIZE, .. }));
    assert!(queue.next_chain().unwrap().is_none());
    assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
    assert_eq!((queue.fault(), queue.is_broken()), (Some(error), true));
    assert_eq!(queue.complete(token, 0), Err(ReturnError::Broken(error)));
    drop(chain.return_written(0).unwrap_err());
    queue.burst(|burst| assert_eq!(burst.finish(), Err(error)));
    assert_eq!((driver.used().len(), counter.count()), (0, 0));
}

#[test]
fn into_parts_gives_back_ring_and_state() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    driver.offer(0);
    let token = queue.next_chain().unwrap().unwrap().into_token();
    let (ring, mut state) = queue.into_parts();
    assert_eq!(state.in_flight(), 1);
    state.complete(&ring, token, 9).unwrap();
    state.publish(&ring).unwrap();
    assert_eq!(driver.used(), [(0, 9)]);
}

/// Tells the device's threads to stop, also if the driver's panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Offers each chain again as soon as it is used, until `total` have been used in all. None may be used more often than
/// it was offered, and all with their id as the length.
fn keep_offering(driver: &Driver<&HeapMem>, total: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut free = Vec::from_iter(0..SIZE);
    let (mut offered, mut used) = (0, 0);
    while used < total {
        assert!(Instant::now() < deadline, "{used} of {offered} chains came back");
        free.truncate(total - offered);
        offered += free.len();
        for id in free.drain(..) {
            driver.offer(id);
        }
        for (id, len) in driver.used() {
            assert_eq!(len, u32::from(id));
            assert!(!free.contains(&id), "chain {id} was used twice");
            free.push(id);
            used += 1;
        }
        thread::yield_now();
    }
    assert_eq!((used, driver.used()), (total, vec![]));
}

/// Three threads fetch. They return every other chain themselves, and leave the rest to a fourth.
#[test]
fn chains_returned_from_four_threads_are_used_exactly_once() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let stop = AtomicBool::new(false);
    let (tokens, elsewhere) = mpsc::channel::<Token>();
    let fetch = |tokens: mpsc::Sender<Token>| {
        while !stop.load(Ordering::Relaxed) {
            match queue.next_chain().unwrap() {
                Some(chain) if chain.id() % 2 == 1 => tokens.send(chain.into_token()).unwrap(),
                Some(chain) => {
                    let written = chain.id().into();
                    chain.return_written(written).unwrap();
                }
                None => thread::yield_now(),
            }
        }
    };
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for tokens in [tokens.clone(), tokens.clone(), tokens] {
            scope.spawn(|| fetch(tokens));
        }
        scope.spawn(|| {
            for token in elsewhere {
                let written = token.id().into();
                queue.complete(token, written).unwrap();
            }
        });
        keep_offering(&driver, 5_000);
    });
    assert_eq!(queue.in_flight(), 0);
}
