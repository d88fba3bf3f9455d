//! `SharedQueue`.

use core::cell::Cell;
use core::marker::PhantomData;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use static_assertions::assert_impl_all;
use virtio_fake_driver::AnyDriver;
use virtio_fake_driver::features::RING_PACKED;
use virtio_mem_traits::HeapMem;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyQueue, AnyRing, Armed, DescChain, DriverNotify, FromConfig, Head, Queue, QueueLimits, RecordedRing, Recorder,
    ReturnError, Token,
};
use virtio_ring::packed::Descriptor;
use virtio_util::{DescChainStream, Lock, NotificationCounter, SharedQueue};

use crate::rig::{FORMATS, Mem, Owned, Rig, Shared, answer, byte_of, echo, offer, slots, used};
use crate::wakes::{Wakes, poll, poll_future};
use crate::watchdog::Watchdog;

assert_impl_all!(Shared: Send, Sync, Clone);
// A notifier is used under the lock, so it need not be `Sync`.
assert_impl_all!(SharedQueue<SplitRing<Mem>, SendOnly>: Send, Sync);

/// A notifier that is `Send`, and not `Sync`.
struct SendOnly(PhantomData<Cell<()>>);

impl DriverNotify for SendOnly {
    fn notify(&self) {}
}

#[test]
fn next_chain_with_nothing_available_is_none() {
    for format in FORMATS {
        let rig = Rig::new(format);
        assert!(rig.queue.next_chain().unwrap().is_none());
        assert_eq!((rig.queue.size(), rig.queue.in_flight(), rig.queue.fault()), (16, 0, None));
        assert!(!rig.queue.is_full() && !rig.queue.is_broken());
    }
}

#[test]
fn burst_publishes_and_notifies_once_at_its_end() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let early = rig.fetch(0);
        (1..6).for_each(|byte| _ = rig.offer(byte));
        let token = rig.queue.burst(|mut burst| {
            let token = burst.next_chain().unwrap().unwrap().into_token();
            while let Some(chain) = burst.next_chain().unwrap() {
                let written = echo(&chain);
                chain.return_written(written).unwrap();
            }
            assert_eq!(used(&mut rig.driver).len(), 0);
            token
        });
        assert_eq!((rig.used().len(), rig.notifications.count()), (4, 1));
        rig.queue.burst(|mut burst| burst.complete(token, 0).and_then(|()| Ok(burst.finish()?))).unwrap();
        assert_eq!((rig.used(), rig.notifications.count()), (vec![(0, 0)], 2));
        answer(early);
        assert_eq!(rig.queue.in_flight(), 0);
    }
}

#[test]
fn chains_returned_together_are_published_with_one_notification_at_the_end() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chains: Vec<_> = (1..4).map(|byte| rig.fetch(byte)).collect();
        rig.queue.clone().publish_together(|| {
            rig.queue.publish_together(|| chains.into_iter().for_each(answer));
            assert_eq!((rig.used().len(), rig.notifications.count()), (0, 0));
        });
        assert_eq!((rig.used().len(), rig.notifications.count()), (3, 1));
        answer(rig.fetch(4));
        assert_eq!((rig.used().len(), rig.notifications.count()), (1, 2));
    }
}

#[test]
fn chains_held_back_are_published_although_the_work_panics() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(1);
        let work = || {
            answer(chain);
            panic!("the work");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| rig.queue.publish_together(work))).is_err());
        assert_eq!((rig.used().len(), rig.notifications.count()), (1, 1));
    }
}

#[test]
fn queue_is_not_drained_while_chains_are_held_back() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (chain, queue) = (rig.fetch(1), rig.queue.clone());
        let wakes = Arc::new(Wakes::default());
        let mut drained = Box::pin(queue.drained());
        rig.queue.publish_together(|| {
            answer(chain);
            assert!(poll_future(&mut drained, &wakes).is_pending());
            assert!(rig.queue.clone().try_into_queue().is_err());
        });
        assert_eq!(wakes.count(), 1);
        assert!(poll_future(&mut drained, &wakes).is_ready());
        assert!(rig.queue.clone().try_into_queue().is_ok());
        assert_eq!(rig.used().len(), 1);
    }
}

#[test]
fn chains_held_back_are_saved_and_stay_in_the_old_memory_as_published() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chains = [1, 2].map(|byte| rig.fetch(byte));
        let [first, second] = chains;
        let queue = rig.queue.clone();
        queue.publish_together(|| {
            answer(first);
            assert!(queue.save().is_some());
            assert_eq!(rig.used().len(), 1);
            answer(second);
            queue.replace_mem(Arc::clone(&rig.mem)).unwrap();
            assert_eq!(rig.used().len(), 1);
        });
        assert_eq!(rig.notifications.count(), 2);
    }
}

#[test]
fn chains_held_back_at_a_reset_do_not_hold_it_up() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (chain, queue) = (rig.fetch(1), rig.queue.clone());
        queue.publish_together(|| {
            answer(chain);
            queue.reset();
            assert!(queue.clone().finish_reset().is_ok());
        });
        assert_eq!((rig.used().len(), rig.notifications.count()), (0, 0));
    }
}

#[test]
fn burst_that_panics_stops_neither_the_queue_nor_a_drain() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.offer(1);
        let token = rig.queue.burst(|mut burst| burst.next_chain().unwrap().map(DescChain::into_token)).unwrap();
        let waits = thread::spawn({
            let queue = rig.queue.clone();
            move || queue.drain()
        });
        let panics = AssertUnwindSafe(|| {
            rig.queue.burst(|mut burst| {
                burst.complete(token, 0).unwrap();
                panic!("this panic is part of the test");
            });
        });
        catch_unwind(panics).unwrap_err();
        waits.join().unwrap();
        assert_eq!(rig.used(), [(0, 0)]);
        rig.queue.resume();
        answer(rig.fetch(2));
        assert_eq!(rig.used(), [(2, 1)]);
    }
}

/// A notifier that panics when it is told to.
#[derive(Clone, Default)]
struct Panics(Arc<AtomicBool>);

impl DriverNotify for Panics {
    fn notify(&self) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "this panic is part of the test");
    }
}

/// INV-4, INV-11: whichever way the chain returns.
#[test]
fn notifier_that_panics_stops_neither_the_queue_nor_those_who_wait() {
    let returns: [fn(Owned); 2] = [drop, |chain| _ = chain.return_written(0)];
    for (format, give_back) in FORMATS.into_iter().flat_map(|format| returns.map(|give_back| (format, give_back))) {
        let mut rig = Rig::new(format);
        let (config, panics) = (rig.driver.queue_config(QueueLimits::default()), Panics::default());
        let queue = AnyQueue::new(&config, Arc::clone(&rig.mem), panics.clone()).unwrap();
        let queue = SharedQueue::with_budget(queue, 2);
        [1, 2].iter().for_each(|byte| _ = rig.offer(*byte));
        let chain = queue.next_chain().unwrap().unwrap();
        let (woken, mut stream) = (Arc::<Wakes>::default(), DescChainStream::new(queue.clone()));
        assert!(poll(&mut stream, &woken).is_pending() && queue.is_full());
        panics.0.store(true, Ordering::Relaxed);
        catch_unwind(AssertUnwindSafe(|| give_back(chain))).unwrap_err();
        assert_eq!((queue.is_full(), woken.count()), (false, 1));
        let Poll::Ready(Some(Ok(chain))) = poll(&mut stream, &woken) else { panic!("a chain is available") };

        let (woken, mut drained) = (Arc::<Wakes>::default(), Box::pin(queue.drained()));
        assert!(poll_future(&mut drained, &woken).is_pending());
        panics.0.store(true, Ordering::Relaxed);
        catch_unwind(AssertUnwindSafe(|| give_back(chain))).unwrap_err();
        assert_eq!((woken.count(), rig.used()), (1, vec![(0, 0); 2]));
        assert!(poll_future(&mut drained, &woken).is_ready());
    }
}

/// INV-11: the same for a token.
#[test]
fn notifier_that_panics_over_a_token_ends_a_drain_all_the_same() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (config, panics) = (rig.driver.queue_config(QueueLimits::default()), Panics::default());
        let queue = SharedQueue::new(AnyQueue::new(&config, Arc::clone(&rig.mem), panics.clone()).unwrap());
        rig.offer(1);
        let token = queue.burst(|mut burst| burst.next_chain().unwrap().map(DescChain::into_token)).unwrap();
        let (woken, mut drained) = (Arc::<Wakes>::default(), Box::pin(queue.drained()));
        assert!(poll_future(&mut drained, &woken).is_pending());
        panics.0.store(true, Ordering::Relaxed);
        catch_unwind(AssertUnwindSafe(|| queue.complete(token, 0))).unwrap_err();
        assert_eq!(woken.count(), 1);
        assert!(poll_future(&mut drained, &woken).is_ready());
    }
}

#[test]
fn notifications_are_suppressed_and_enabled() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.queue.suppress_notifications();
        assert!(!rig.offer(1));
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::MoreAvailable));
        let chain = rig.queue.next_chain().unwrap().unwrap();
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::Waiting));
        chain.unfetch().unwrap();
        assert_eq!(rig.queue.enable_notifications_of_more(), Ok(Armed::Waiting));
        assert!(rig.offer(2));
        rig.queue.notify();
        assert_eq!(rig.notifications.count(), 1);
    }
}

/// QRST-8
#[test]
fn token_used_twice_or_of_another_queue_is_refused() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.offer(4);
        let number = rig.queue.burst(|mut burst| burst.next_chain().unwrap().unwrap().into_token().into_u64());
        let id = Token::from_u64(number).id();
        let other = Rig::new(format);
        assert_eq!(other.queue.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id }));
        rig.queue.complete(Token::from_u64(number), 0).unwrap();
        assert_eq!(rig.queue.complete(Token::from_u64(number), 0), Err(ReturnError::Stale { id }));
        assert_eq!(rig.used(), [(0, 0)]);
    }
}

/// INV-3
#[test]
fn broken_queue_reports_once_and_takes_nothing_back() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.offer(0);
        let token = rig.queue.burst(|mut burst| burst.next_chain().unwrap().unwrap().into_token());
        rig.break_queue();
        let error = rig.queue.next_chain().unwrap_err();
        assert!(rig.queue.next_chain().unwrap().is_none());
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::Waiting));
        assert_eq!((rig.queue.fault(), rig.queue.is_broken()), (Some(error), true));
        assert_eq!(rig.queue.complete(token, 0), Err(ReturnError::Broken(error)));
        assert!(rig.queue.wait_chain().unwrap().is_none());
        rig.queue.burst(|burst| assert_eq!(burst.finish(), Err(error)));
        assert_eq!(rig.notifications.count(), 0);
    }
}

/// KEEP-6
#[test]
fn chain_out_while_the_memory_is_replaced_keeps_the_old_one() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(5);
        let old = Arc::clone(chain.mem());
        let new = Arc::new(HeapMem::new(rig.mem.range().start(), 1 << 20).unwrap());
        rig.queue.replace_mem(Arc::clone(&new)).unwrap();
        assert_eq!(byte_of(&chain), 5);
        assert!(Arc::ptr_eq(chain.mem(), &old));
        assert!(Arc::strong_count(&new) > 1, "the queue has the new memory");
        drop(rig.queue.clone());
        chain.return_written(1).unwrap();
        assert_eq!(rig.used(), [], "it was returned in the new memory");
        let empty = Arc::new(HeapMem::new(rig.mem.range().start(), 16).unwrap());
        rig.queue.replace_mem(empty).unwrap_err();
    }
}

#[test]
fn chains_out_counts_chains_and_in_flight_counts_slots() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chains = [1, 2].map(|byte| rig.fetch(byte));
        rig.offer(3);
        let token = rig.queue.burst(|mut burst| burst.next_chain().unwrap().unwrap().into_token());
        assert_eq!((rig.queue.chains_out(), rig.queue.in_flight()), (2, 3 * slots(format)));
        let [one, two] = chains;
        answer(one);
        two.unfetch().unwrap_err();
        rig.queue.complete(token, 0).unwrap();
        assert_eq!((rig.queue.chains_out(), rig.queue.in_flight()), (0, 0));
    }
}

/// A recorder of what is in flight, in memory that outlives the queue.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Record>>>);

type Record = (Head, Vec<Descriptor>);

impl Recorder for Records {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        self.0.lock().unwrap().push((head, descriptors.collect()));
    }

    fn unfetched(&mut self, _: Head) {
        self.0.lock().unwrap().pop();
    }

    fn completed(&mut self, head: Head) {
        self.0.lock().unwrap().retain(|(recorded, _)| *recorded != head);
    }

    fn publishing(&mut self, _: u16) {}
    fn published(&mut self, _: u16) {}
}

/// KEEP-4, RECORD-2
#[test]
fn chains_of_an_earlier_life_are_adopted_within_the_budget() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let ring = || AnyRing::from_config(&rig.driver.queue_config(QueueLimits::default()), rig.mem.clone()).unwrap();
        let (first, second) = (ring(), ring());
        let records = Records::default();
        let recorded = RecordedRing::new(first, records.clone());
        let earlier = SharedQueue::new(Queue::from_ring(recorded, NotificationCounter::new()).unwrap());
        for byte in [1, 2, 3] {
            rig.offer(byte);
            let chain = earlier.next_chain().unwrap().unwrap();
            // A process that is killed returns nothing.
            core::mem::forget(chain);
        }
        let saved = earlier.save().unwrap();

        let (queue, armed) = Queue::restore(second, NotificationCounter::new(), &saved).unwrap();
        assert_eq!(armed, Armed::Waiting);
        let queue = SharedQueue::with_budget(queue, 3);
        for (byte, (head, stored)) in (1..).zip(records.0.lock().unwrap().iter()) {
            let chain = queue.adopt(*head, stored).unwrap().unwrap();
            assert_eq!((byte_of(&chain), chain.id()), (byte, head.id()));
            assert!(queue.adopt(*head, stored).unwrap().is_none() && queue.is_full(), "there is room for one");
            let written = echo(&chain);
            chain.return_written(written).unwrap();
        }
        assert_eq!(rig.used(), [(1, 1), (2, 1), (3, 1)]);
        assert!(queue.adopt(Head::new(0, 0, 17), &[]).is_err());
    }
}

/// Offers requests whenever there is room, until `total` have come back in all, each exactly once.
fn keep_offering(driver: &mut AnyDriver, queue: &Shared, total: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut offered, mut back) = (0_usize, 0);
    while back < total {
        assert!(Instant::now() < deadline, "{back} of {offered} chains came back");
        while offered < total && driver.in_flight() < 4 {
            if offer(driver, if offered % 3 == 0 { 2 } else { 1 }) {
                queue.wake();
            }
            offered += 1;
        }
        for (byte, len) in used(driver) {
            assert_eq!((byte != 0, len), (true, 1));
            back += 1;
        }
        thread::yield_now();
    }
    assert_eq!(driver.in_flight(), 0);
}

/// INV-4, INV-11: four threads wait and fetch. They return every other chain themselves, and leave the rest to a fifth.
#[test]
fn chains_returned_from_five_threads_are_used_exactly_once() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (elsewhere, chains) = mpsc::channel::<Owned>();
        let fetch = |queue: Shared, elsewhere: mpsc::Sender<Owned>| {
            while let Some(chain) = queue.wait_chain().unwrap() {
                if byte_of(&chain) % 2 == 0 { elsewhere.send(chain).unwrap() } else { answer(chain) }
            }
        };
        let pool = [(); 4].map(|()| {
            let (queue, elsewhere) = (rig.queue.clone(), elsewhere.clone());
            thread::spawn(move || fetch(queue, elsewhere))
        });
        drop(elsewhere);
        let last = thread::spawn(move || chains.into_iter().for_each(answer));
        keep_offering(&mut rig.driver, &rig.queue, 5_000);
        rig.queue.reset();
        pool.into_iter().chain([last]).for_each(|thread| thread.join().unwrap());
        assert_eq!(rig.queue.in_flight(), 0);
    }
}

/// A lock of the test's own.
struct Own;

impl Lock for Own {
    type Of<T: Send> = (AtomicBool, Mutex<T>);

    fn new<T: Send>(value: T) -> Self::Of<T> {
        (AtomicBool::new(false), Mutex::new(value))
    }

    fn with<T: Send, A>((locked, mutex): &Self::Of<T>, work: impl FnOnce(&mut T) -> A) -> A {
        locked.store(true, Ordering::Relaxed);
        work(&mut mutex.lock().unwrap())
    }
}

fn check_lock<L: Lock>() {
    let (queue, rig) = Rig::unshared(RING_PACKED);
    let shared = SharedQueue::<_, _, L>::with_lock(queue, 100);
    let (spare, _) = Rig::unshared(0);
    let mut rig = rig(Shared::new(spare));
    rig.offer(1);
    rig.offer(2);
    let kept: [Owned; 2] = [(); 2].map(|()| shared.next_chain().unwrap().unwrap());
    assert_eq!(shared.in_flight(), 2 * slots(RING_PACKED));
    kept.into_iter().for_each(answer);
    assert_eq!(rig.used(), [(1, 1), (2, 1)]);
}

#[test]
fn queue_under_any_kind_of_lock_works() {
    check_lock::<Own>();
    check_lock::<Mutex<()>>();
    #[cfg(feature = "lock_api-0-4")]
    check_lock::<parking_lot::Mutex<()>>();
}
