//! Waiting for chains, draining, and the ends of a shared queue.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::Poll;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Wake;
use std::thread;

use futures::FutureExt;
use virtio_queue_core::{Armed, Chain, Queue, Refused, ReturnError};
use virtio_util::{DescChainStream, NotificationCounter, SharedQueue};

use crate::interrupted::{Interrupted, LOST, Moment};
use crate::rig::{FORMATS, Mem, Owned, Rig, Shared, answer, byte_of, slots};
use crate::wakes::{Wakes, poll, poll_future};
use crate::watchdog::Watchdog;

/// Runs `wait` on a thread of its own, and tells when it is over.
fn elsewhere(queue: &Shared, wait: impl FnOnce(&Shared) + Send + 'static) -> mpsc::Receiver<()> {
    let (over, receiver) = mpsc::channel();
    let queue = queue.clone();
    thread::spawn(move || {
        wait(&queue);
        let _ = over.send(());
    });
    receiver
}

#[test]
fn wait_chain_returns_what_is_there_and_what_comes() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.offer(1);
        answer(rig.queue.wait_chain().unwrap().unwrap());
        rig.queue.suppress_notifications();
        let waits = thread::spawn({
            let queue = rig.queue.clone();
            move || answer(queue.wait_chain().unwrap().unwrap())
        });
        // Either the thread has asked for a kick by now, or it will find the chain when it looks.
        if rig.offer(2) {
            rig.queue.wake();
        }
        waits.join().unwrap();
        assert_eq!(rig.used(), [(1, 1), (2, 1)]);
    }
}

#[test]
fn wake_of_one_thread_is_passed_on_while_there_are_chains() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let (found, chains) = mpsc::channel();
        let threads = [(); 3].map(|()| {
            let (queue, found) = (rig.queue.clone(), found.clone());
            thread::spawn(move || found.send(queue.wait_chain().unwrap().unwrap()).unwrap())
        });
        (1..=3).for_each(|byte| _ = rig.offer(byte));
        rig.queue.wake();
        // Each thread keeps its chain and does not look again.
        let mut bytes = [(); 3].map(|()| byte_of(&chains.recv().unwrap()));
        bytes.sort_unstable();
        assert_eq!(bytes, [1, 2, 3]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// INV-3: whoever looks first is told why the queue broke, one of those who wait or the one who does not; the others
/// learn that it is over.
#[test]
fn wait_chain_ends_when_the_queue_breaks_or_ends() {
    let _watchdog = Watchdog::new();
    type End = fn(&mut Rig) -> bool;
    let ends: [(usize, End); 3] = [
        (1, |rig| {
            rig.break_queue();
            rig.queue.next_chain().is_err()
        }),
        (0, |rig| {
            rig.queue.reset();
            false
        }),
        (0, |rig| {
            rig.queue.clone().try_into_queue().unwrap();
            false
        }),
    ];
    for format in FORMATS {
        for (errors, end) in ends {
            let mut rig = Rig::new(format);
            let waits = [(); 2].map(|()| {
                let queue = rig.queue.clone();
                thread::spawn(move || queue.wait_chain().map(|chain| assert!(chain.is_none())).is_err())
            });
            let told = usize::from(end(&mut rig));
            let told = waits.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>() + told;
            assert_eq!(told, errors);
        }
    }
}

#[test]
fn break_found_in_a_burst_ends_the_wait() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let _in_flight = rig.fetch(1);
        let over = elsewhere(&rig.queue, |queue| assert!(queue.wait_chain().unwrap().is_none()));
        rig.queue.clone().burst(|mut burst| {
            rig.break_queue();
            burst.next_chain().unwrap_err();
        });
        over.recv().unwrap();
    }
}

/// SUSP-2
#[test]
fn drain_waits_for_the_last_chain_and_fetches_nothing() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let chains = [1, 2].map(|byte| rig.fetch(byte));
        let over = elsewhere(&rig.queue, Shared::drain);
        let mut drained = Box::pin(rig.queue.drained());
        assert!(drained.as_mut().now_or_never().is_none());
        rig.driver.add(&virtio_fake_driver::DriverChain::new().writable(1)).unwrap();
        assert!(rig.queue.next_chain().unwrap().is_none(), "it is paused");
        rig.queue.burst(|mut burst| assert!(burst.next_chain().unwrap().is_none()));
        let [first, second] = chains;
        drop(first);
        assert!(drained.as_mut().now_or_never().is_none());
        assert!(over.try_recv().is_err());
        drop(second);
        assert!(drained.now_or_never().is_some());
        over.recv().unwrap();

        rig.queue.resume();
        let chain = rig.queue.wait_chain().unwrap().unwrap();
        let queue = rig.queue.try_into_queue().unwrap_err();
        drop(chain);
        assert!(queue.try_into_queue().unwrap().drain().suspend().is_ok());
    }
}

#[test]
fn resume_lets_those_who_wait_look_again() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.queue.pause();
        rig.offer(1);
        let over = elsewhere(&rig.queue, |queue| answer(queue.wait_chain().unwrap().unwrap()));
        rig.queue.resume();
        over.recv().unwrap();
        assert_eq!(rig.used(), [(1, 1)]);
    }
}

#[test]
fn queue_that_was_taken_has_nothing_for_other_handles() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let queue = rig.queue.clone().try_into_queue().unwrap();
        rig.offer(1);
        assert!(rig.queue.next_chain().unwrap().is_none());
        rig.queue.burst(|mut burst| assert!(burst.next_chain().unwrap().is_none()));
        assert_eq!((rig.queue.in_flight(), rig.queue.save(), rig.queue.fault()), (0, None, None));
        rig.queue.suppress_notifications();
        rig.queue.notify();
        rig.queue.reset();
        assert_eq!(rig.notifications.count(), 0);
        let handle = rig.queue.clone().try_into_queue().unwrap_err();
        handle.finish_reset().unwrap_err();
        // It can be shared anew, and goes on where it was.
        rig.queue = Shared::new(queue);
        answer(rig.queue.next_chain().unwrap().unwrap());
        assert_eq!(rig.used(), [(1, 1)]);
    }
}

/// KEEP-5, QRST-1, QRST-5, QRST-6, QRST-8
#[test]
fn reset_with_chains_out_refuses_them_and_can_wait_for_them() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let [returned, dropped] = [1, 2].map(|byte| rig.fetch(byte));
        rig.queue.reset();
        let over = elsewhere(&rig.queue, Shared::drain);
        assert!(rig.queue.next_chain().unwrap().is_none());
        let id = returned.id();
        assert_eq!(returned.return_written(1), Err(ReturnError::Stale { id }));
        assert!(over.try_recv().is_err());
        assert_eq!(rig.queue.in_flight(), slots(format));
        let queue = rig.queue.clone().finish_reset().unwrap_err();
        let refused = dropped.try_unfetch().unwrap_err();
        drop(refused);
        over.recv().unwrap();
        assert_eq!((rig.used(), rig.notifications.count()), (vec![], 0));
        let (ring, notify) = queue.finish_reset().unwrap();
        assert!(Arc::ptr_eq(&notify, &rig.notifications));
        // What is made of it begins from nothing.
        assert_eq!(Queue::from_ring(ring, notify).unwrap().in_flight(), 0);
    }
}

#[test]
fn tokens_completed_after_a_reset_are_discarded() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        [1, 2].iter().for_each(|byte| _ = rig.offer(*byte));
        let tokens = rig.queue.burst(|mut burst| [(); 2].map(|()| burst.next_chain().unwrap().unwrap().into_token()));
        rig.queue.reset();
        let [one, two] = tokens;
        let ids = [one.id(), two.id()];
        assert_eq!(rig.queue.complete(one, 0), Err(ReturnError::Stale { id: ids[0] }));
        assert_eq!(rig.queue.burst(|mut burst| burst.complete(two, 0)), Err(ReturnError::Stale { id: ids[1] }));
        rig.queue.drain();
        assert_eq!(rig.used(), []);
    }
}

/// QRST-6, KEEP-5: whoever holds a refused chain can still write it.
#[test]
fn chain_refused_in_a_reset_is_waited_for_until_it_is_dropped() {
    type GiveBack = fn(Owned) -> Result<(), Refused<Owned, ReturnError>>;
    let gives_back: [GiveBack; 3] =
        [|chain| chain.try_return_written(1), Owned::try_unfetch, |chain| chain.return_unchecked(1)];
    for (format, give_back) in FORMATS.into_iter().flat_map(|format| gives_back.map(|way| (format, way))) {
        let mut rig = Rig::new(format);
        let chain = rig.fetch(1);
        let id = chain.id();
        rig.queue.reset();
        let refused = give_back(chain).unwrap_err();
        assert_eq!((refused.error, rig.queue.in_flight()), (ReturnError::Stale { id }, slots(format)));
        assert!(rig.queue.drained().now_or_never().is_none());
        let queue = rig.queue.finish_reset().unwrap_err();
        let refused = refused.chain.try_return_written(0).unwrap_err();
        assert!(queue.drained().now_or_never().is_none(), "asked again, it is refused again");
        drop(refused);
        assert!(queue.drained().now_or_never().is_some());
        queue.finish_reset().unwrap();
    }
}

/// A shared queue whose areas can be lost, and what loses them.
fn queue_to_lose(rig: &Rig, budget: usize) -> (SharedQueue<Interrupted, NotificationCounter>, Arc<AtomicBool>) {
    let ring = Interrupted::new(rig, Moment::AfterFetch);
    let lost = Arc::clone(&ring.lost);
    let queue = Queue::from_ring(ring, NotificationCounter::new()).unwrap();
    (SharedQueue::with_budget(queue, budget), lost)
}

/// QRST-6, KEEP-5: the queue is broken before, or breaks over the very chain.
#[test]
fn chain_refused_by_a_broken_queue_is_waited_for_until_it_is_dropped() {
    for broken_before in [false, true] {
        let mut rig = Rig::new(0);
        let (queue, lost) = queue_to_lose(&rig, 100);
        [1, 2].iter().for_each(|byte| _ = rig.offer(*byte));
        let [chain, other] = [(); 2].map(|()| queue.next_chain().unwrap().unwrap());
        lost.store(true, Ordering::Relaxed);
        if broken_before {
            queue.suppress_notifications();
        }
        let refused = chain.try_return_written(1).unwrap_err();
        assert_eq!(refused.error, ReturnError::Broken(LOST));
        queue.reset();
        drop(other);
        assert_eq!((queue.chains_out(), queue.in_flight()), (1, u16::from(broken_before)));
        assert!(queue.drained().now_or_never().is_none());
        let queue = queue.finish_reset().map(drop).unwrap_err();
        drop(refused);
        assert_eq!((queue.chains_out(), queue.in_flight()), (0, 0));
        assert!(queue.drained().now_or_never().is_some());
        assert!(queue.finish_reset().is_ok());
    }
}

/// INV-3: the queue breaks over each of these, and whoever waits for chains learns of it.
#[test]
fn break_found_by_any_call_wakes_those_who_wait() {
    type Call = fn(&SharedQueue<Interrupted, NotificationCounter>, Owned);
    let calls: [Call; 4] = [
        |_, chain| assert_eq!(chain.unfetch(), Err(ReturnError::Broken(LOST))),
        |_, chain| assert_eq!(chain.return_written(1), Err(ReturnError::Broken(LOST))),
        |_, chain| drop(chain),
        |queue, _| queue.suppress_notifications(),
    ];
    for call in calls {
        let mut rig = Rig::new(0);
        let (queue, lost) = queue_to_lose(&rig, 100);
        rig.offer(1);
        let chain = queue.next_chain().unwrap().unwrap();
        let (wakes, mut stream) = (Arc::<Wakes>::default(), DescChainStream::new(queue.clone()));
        assert!(poll(&mut stream, &wakes).is_pending());
        lost.store(true, Ordering::Relaxed);
        call(&queue, chain);
        assert_eq!(wakes.count(), 1);
        assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(Some(Err(LOST)))));
    }
}

/// INV-3: there is no room for a chain, and the queue breaks when it is put back.
#[test]
fn break_at_the_limit_is_reported_at_once() {
    let mut rig = Rig::new(0);
    let (queue, lost) = queue_to_lose(&rig, 2);
    [1, 2].iter().for_each(|byte| _ = rig.offer(*byte));
    let _out = queue.next_chain().unwrap().unwrap();
    lost.store(true, Ordering::Relaxed);
    assert_eq!(queue.next_chain().unwrap_err(), LOST);
    assert!(queue.next_chain().unwrap().is_none() && !queue.is_full());
}

/// INV-3: nothing is fetched, but the fault is not kept back.
#[test]
fn break_while_the_queue_is_paused_or_full_is_reported_once() {
    let _watchdog = Watchdog::new();
    for paused in [false, true] {
        let mut rig = Rig::new(0);
        let (queue, lost) = queue_to_lose(&rig, 2);
        [1, 2].iter().for_each(|byte| _ = rig.offer(*byte));
        let _out = queue.next_chain().unwrap().unwrap();
        if paused {
            queue.pause();
        }
        assert!(queue.next_chain().unwrap().is_none());
        lost.store(true, Ordering::Relaxed);
        queue.suppress_notifications();
        assert_eq!(queue.wait_chain().unwrap_err(), LOST);
        assert!(queue.wait_chain().unwrap().is_none());
    }
}

/// A waker that counts the handles on a memory.
struct Handles(Mem, AtomicUsize);

impl Wake for Handles {
    fn wake(self: Arc<Self>) {
        self.1.store(Arc::strong_count(&self.0), Ordering::Relaxed);
    }
}

/// QRST-6
#[test]
fn drain_ends_when_the_last_chain_has_given_up_its_handle_on_the_memory() {
    let ways: [fn(Owned); 3] = [drop, |chain| _ = chain.return_written(0), |chain| _ = chain.unfetch()];
    for (format, way) in FORMATS.into_iter().flat_map(|format| ways.map(|way| (format, way))) {
        let mut rig = Rig::new(format);
        let handles = Arc::new(Handles(Arc::clone(&rig.mem), AtomicUsize::new(0)));
        let without_chain = Arc::strong_count(&rig.mem);
        let chain = rig.fetch(1);
        let mut drained = Box::pin(rig.queue.drained());
        assert!(poll_future(&mut drained, &handles).is_pending());
        way(chain);
        assert_eq!(handles.1.load(Ordering::Relaxed), without_chain);
        assert!(poll_future(&mut drained, &handles).is_ready());
    }
}

/// A queue that fetches nothing wants no kicks: not while it is paused, and not while the budget is spent.
#[test]
fn queue_that_does_not_fetch_wants_no_kick() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        rig.queue.suppress_notifications();
        rig.queue.pause();
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::Waiting));
        assert!(!rig.offer(1), "paused");
        rig.queue.resume();
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::MoreAvailable));

        let mut rig = Rig::with_budget(format, 2);
        let held = rig.fetch(1);
        rig.offer(2);
        assert!(rig.queue.next_chain().unwrap().is_none(), "the budget is spent");
        rig.queue.suppress_notifications();
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::Waiting));
        assert!(!rig.offer(3), "the budget is spent");
        answer(held);
        assert_eq!(rig.queue.enable_notifications(), Ok(Armed::MoreAvailable));
    }
}
