//! `DescChainStream`.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;

use futures::executor::block_on;
use futures::{Stream, StreamExt};
use static_assertions::assert_impl_all;
use virtio_mem_traits::HeapMem;
use virtio_queue_core::split::{SplitPositions, SplitRing, SplitWalk};
use virtio_queue_core::{Armed, FatalError, FromConfig, Head, KeepsDescriptors, Queue, Ring};
use virtio_util::atomic_waker::AtomicWaker;
use virtio_util::{DescChainStream, NotificationCounter, SharedQueue};

use crate::driver::{Driver, SIZE, Shared, config, rings, shared};

type SplitStream = DescChainStream<'static, parking_lot::RawMutex, SplitRing<&'static HeapMem>, NotificationCounter>;
assert_impl_all!(SplitStream: Send, Sync, Unpin);

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a stream once.
fn poll<S: Stream + Unpin>(stream: &mut S, wakes: &Arc<Wakes>) -> Poll<Option<S::Item>> {
    let waker = Waker::from(wakes.clone());
    Pin::new(stream).poll_next(&mut Context::from_waker(&waker))
}

/// Polls a stream that has a chain, and returns its id. The chain is returned to the driver.
fn poll_id<'q, R: KeepsDescriptors + 'q>(
    stream: &mut DescChainStream<'q, parking_lot::RawMutex, R, NotificationCounter>,
    wakes: &Arc<Wakes>,
) -> u16 {
    match poll(stream, wakes) {
        Poll::Ready(Some(Ok(chain))) => chain.id(),
        other => panic!("expected a chain, got {other:?}"),
    }
}

#[test]
fn chain_before_the_poll_is_ready() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    driver.offer(1);
    driver.offer(2);
    assert_eq!(poll_id(&mut stream, &wakes), 1);
    assert_eq!(poll_id(&mut stream, &wakes), 2);
    assert!(poll(&mut stream, &wakes).is_pending());
    assert_eq!(driver.used(), [(1, 0), (2, 0)]);
}

#[test]
fn chain_after_the_poll_wakes_and_is_ready() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::<Wakes>::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    queue.suppress_notifications();
    for round in 1..20 {
        assert!(poll(&mut stream, &wakes).is_pending());
        assert!(driver.offer(3), "a stream that waits asks for a kick");
        kicked.wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), round);
        assert_eq!(poll_id(&mut stream, &wakes), 3);
        queue.suppress_notifications();
    }
}

#[test]
fn wake_without_a_chain_is_pending_again() {
    let mem = rings();
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::<Wakes>::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    for round in 1..=3 {
        assert!(poll(&mut stream, &wakes).is_pending());
        kicked.wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), round);
    }
}

#[test]
fn tokens_are_completed_while_the_stream_waits() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    driver.offer(5);
    let Poll::Ready(Some(Ok(chain))) = poll(&mut stream, &wakes) else { panic!("there is a chain") };
    let token = chain.into_token();
    assert!(poll(&mut stream, &wakes).is_pending());
    thread::scope(|scope| scope.spawn(|| queue.complete(token, 6)).join().unwrap()).unwrap();
    assert_eq!(driver.used(), [(5, 6)]);
}

#[test]
fn fatal_error_is_the_last_item() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    driver.offer_head(SIZE);
    let Poll::Ready(Some(Err(error))) = poll(&mut stream, &wakes) else { panic!("the queue is broken") };
    assert_eq!(Some(error), queue.fault());
    assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(None)));
    assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(None)));
}

#[test]
fn error_reported_elsewhere_ends_the_stream() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, wakes) = (AtomicWaker::new(), Arc::<Wakes>::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    assert!(poll(&mut stream, &wakes).is_pending());
    driver.offer_head(SIZE);
    queue.next_chain().unwrap_err();
    kicked.wake();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(None)));
}

/// A split ring in which something else happens at an awkward moment, once.
struct Interrupted<'a> {
    ring: SplitRing<&'a HeapMem>,
    moment: Moment,
    event: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

/// The moment: after a look that found nothing.
#[derive(PartialEq)]
enum Moment {
    AfterFetch,
    AfterArming,
}

impl Interrupted<'_> {
    fn reached(&self, moment: Moment) {
        if self.moment == moment {
            if let Some(event) = self.event.lock().unwrap().take() {
                event();
            }
        }
    }
}

impl<'a> KeepsDescriptors for Interrupted<'a> {}

impl<'a> Ring for Interrupted<'a> {
    type Mem = &'a HeapMem;
    type Positions = SplitPositions;
    type Walk<'r>
        = SplitWalk<'r, &'a HeapMem>
    where
        Self: 'r;

    fn mem(&self) -> &&'a HeapMem {
        self.ring.mem()
    }

    fn size(&self) -> u16 {
        self.ring.size()
    }

    fn activate(&self) -> Result<SplitPositions, FatalError> {
        self.ring.activate()
    }

    fn walk(&self, head: Head) -> Self::Walk<'_> {
        self.ring.walk(head)
    }

    fn fetch(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        let fetched = self.ring.fetch(positions, in_flight)?;
        if fetched.is_none() {
            self.reached(Moment::AfterFetch);
        }
        Ok(fetched)
    }

    fn complete(&self, positions: &mut SplitPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.ring.complete(positions, head, written)
    }

    fn publish(&self, positions: &mut SplitPositions) -> Result<bool, FatalError> {
        self.ring.publish(positions)
    }

    fn suppress_notifications(&self, positions: &mut SplitPositions) -> Result<(), FatalError> {
        self.ring.suppress_notifications(positions)
    }

    fn enable_notifications(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<Armed, FatalError> {
        let armed = self.ring.enable_notifications(positions, in_flight)?;
        if armed == Armed::Waiting {
            self.reached(Moment::AfterArming);
        }
        Ok(armed)
    }
}

/// A queue in which `event` happens at `moment`.
fn interrupted<'a>(
    mem: &'a HeapMem,
    moment: Moment,
    event: impl FnOnce() + Send + 'a,
) -> Shared<Interrupted<'a>, NotificationCounter> {
    let ring = SplitRing::from_config(&config(), mem).unwrap();
    let ring = Interrupted { ring, moment, event: Mutex::new(Some(Box::new(event))) };
    SharedQueue::new(Queue::from_ring(ring, NotificationCounter::new()).unwrap())
}

/// SPLIT-ANOT-7
#[test]
fn chain_between_fetch_and_arming_without_a_kick_is_ready() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = interrupted(&mem, Moment::AfterFetch, || assert!(!driver.offer(6), "nobody has asked for a kick"));
    queue.suppress_notifications();
    let (kicked, wakes) = (AtomicWaker::new(), Arc::default());
    let mut stream = DescChainStream::new(&queue, &kicked);
    assert_eq!(poll_id(&mut stream, &wakes), 6);
}

#[test]
fn chain_between_fetch_and_arming_with_a_kick_is_ready() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let (kicked, wakes) = (AtomicWaker::new(), Arc::default());
    let queue = interrupted(&mem, Moment::AfterFetch, || {
        assert!(driver.offer(6));
        kicked.wake();
    });
    let mut stream = DescChainStream::new(&queue, &kicked);
    assert_eq!(poll_id(&mut stream, &wakes), 6);
}

#[test]
fn chain_after_arming_wakes_the_poll_that_is_under_way() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let (kicked, wakes) = (AtomicWaker::new(), Arc::<Wakes>::default());
    let queue = interrupted(&mem, Moment::AfterArming, || {
        assert!(driver.offer(6));
        kicked.wake();
    });
    queue.suppress_notifications();
    let mut stream = DescChainStream::new(&queue, &kicked);
    assert!(poll(&mut stream, &wakes).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(poll_id(&mut stream, &wakes), 6);
}

/// BAR-2
#[test]
fn chains_kicked_from_a_thread_all_arrive() {
    const TOTAL: usize = 20_000;
    let mem = rings();
    let driver = Driver::new(&mem);
    let queue = shared(&mem, NotificationCounter::new());
    let (kicked, used_some) = (AtomicWaker::new(), AtomicBool::new(true));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TOTAL {
                while !used_some.swap(false, Ordering::Acquire) {
                    thread::yield_now();
                }
                if driver.offer(0) {
                    kicked.wake();
                }
            }
        });
        block_on(DescChainStream::new(&queue, &kicked).take(TOTAL).for_each(|chain| {
            queue.suppress_notifications();
            chain.unwrap().return_written(0).unwrap();
            used_some.store(true, Ordering::Release);
            async {}
        }));
    });
    assert_eq!(queue.in_flight(), 0);
}
