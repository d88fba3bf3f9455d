//! `DescChainStream`.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;
use std::thread;

use futures::executor::block_on;
use futures::stream::FusedStream;
use futures::{FutureExt, StreamExt, future};
use static_assertions::assert_impl_all;
use virtio_fake_driver::{AnyDriver, DriverChain};
use virtio_queue_core::{AnyRing, DriverNotify, FatalError, Queue};
use virtio_util::{DescChainStream, NotificationCounter, SharedQueue, SharedRing};

use crate::interrupted::{Event, Interrupted, Moment};
use crate::rig::{FORMATS, Mem, Owned, Rig, Shared, answer, byte_of, offer};
use crate::wakes::{Wakes, poll};
use crate::watchdog::Watchdog;

type AnyStream = DescChainStream<AnyRing<Mem>, Arc<NotificationCounter>>;
assert_impl_all!(AnyStream: Send, Sync, Unpin, FusedStream);

/// Polls a stream that has a chain, and returns what the chain says. The chain is returned to the driver.
fn poll_byte<R: SharedRing<Mem = Mem>, N: DriverNotify + Send + 'static>(
    stream: &mut DescChainStream<R, N>,
    wakes: &Arc<Wakes>,
) -> u8 {
    match poll(stream, wakes) {
        Poll::Ready(Some(Ok(chain))) => byte_of(&chain),
        other => panic!("expected a chain, got {other:?}"),
    }
}

#[test]
fn chain_before_the_poll_is_ready() {
    for format in FORMATS {
        let (mut rig, wakes) = (Rig::new(format), Arc::default());
        let mut stream = DescChainStream::new(rig.queue.clone());
        rig.offer(1);
        rig.offer(2);
        assert_eq!(poll_byte(&mut stream, &wakes), 1);
        assert_eq!(poll_byte(&mut stream, &wakes), 2);
        assert!(poll(&mut stream, &wakes).is_pending() && !stream.is_terminated());
        assert_eq!(rig.used(), [(0, 0); 2]);
    }
}

#[test]
fn chain_after_the_poll_wakes_and_is_ready() {
    for format in FORMATS {
        let (mut rig, wakes) = (Rig::new(format), Arc::<Wakes>::default());
        let mut stream = DescChainStream::new(rig.queue.clone());
        rig.queue.suppress_notifications();
        for round in 1..20 {
            assert!(poll(&mut stream, &wakes).is_pending());
            assert!(rig.offer(3), "a stream that waits asks for a kick");
            rig.queue.wake();
            assert_eq!(wakes.count(), round);
            assert_eq!(poll_byte(&mut stream, &wakes), 3);
            rig.queue.suppress_notifications();
            assert_eq!(rig.used().len(), 1);
        }
    }
}

#[test]
fn wake_without_a_chain_is_pending_again() {
    let (rig, wakes) = (Rig::new(0), Arc::<Wakes>::default());
    let mut stream = DescChainStream::new(rig.queue.clone());
    for round in 1..=3 {
        assert!(poll(&mut stream, &wakes).is_pending());
        assert!(poll(&mut stream, &wakes).is_pending());
        rig.queue.wake();
        assert_eq!(wakes.count(), round);
    }
}

/// INV-11: a wake-up can come at any moment of a poll, again and again.
#[test]
fn wakes_from_threads_during_polls_leave_it_pending() {
    let _watchdog = Watchdog::new();
    let (rig, wakes, over) = (Rig::new(0), Arc::<Wakes>::default(), AtomicBool::new(false));
    let mut stream = DescChainStream::new(rig.queue.clone());
    thread::scope(|scope| {
        let _over = SetAtEnd(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    rig.queue.wake();
                }
            });
        }
        for _ in 0..MANY {
            assert!(poll(&mut stream, &wakes).is_pending());
        }
    });
    let before = wakes.count();
    assert!(poll(&mut stream, &wakes).is_pending());
    rig.queue.wake();
    assert!(wakes.count() > before, "it is registered, or was woken at once");
}

/// Sets a flag when it is dropped, also by a panic.
struct SetAtEnd<'f>(&'f AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// KEEP-4
#[test]
fn return_at_the_limit_wakes() {
    for format in FORMATS {
        let (mut rig, wakes) = (Rig::with_budget(format, 2), Arc::<Wakes>::default());
        let mut stream = DescChainStream::new(rig.queue.clone());
        let chain = rig.fetch(1);
        rig.offer(2);
        for _ in 0..3 {
            assert!(poll(&mut stream, &wakes).is_pending());
        }
        assert_eq!(wakes.count(), 0, "it waits, and does not spin");
        drop(chain);
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll_byte(&mut stream, &wakes), 2);
    }
}

#[test]
fn wake_of_a_stream_that_is_dropped_goes_on_to_the_next() {
    let (mut rig, wakes) = (Rig::new(0), Arc::<Wakes>::default());
    let [mut first, mut second] = [(); 2].map(|()| DescChainStream::new(rig.queue.clone()));
    assert!(poll(&mut first, &Arc::default()).is_pending());
    assert!(poll(&mut second, &wakes).is_pending());
    rig.offer(1);
    rig.queue.wake();
    assert_eq!(wakes.count(), 0);
    drop(first);
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll_byte(&mut second, &wakes), 1);
}

#[test]
fn chain_found_after_a_wait_wakes_the_next_stream() {
    let mut rig = Rig::new(0);
    let wakes = [(); 2].map(|()| Arc::<Wakes>::default());
    let [mut first, mut second] = [(); 2].map(|()| DescChainStream::new(rig.queue.clone()));
    assert!(poll(&mut first, &wakes[0]).is_pending());
    assert!(poll(&mut second, &wakes[1]).is_pending());
    rig.offer(1);
    rig.offer(2);
    rig.queue.wake();
    assert_eq!(poll_byte(&mut first, &wakes[0]), 1);
    assert_eq!(wakes[1].count(), 1);
    assert_eq!(poll_byte(&mut second, &wakes[1]), 2);
}

/// INV-3
#[test]
fn fatal_error_is_the_last_item() {
    for format in FORMATS {
        let (mut rig, wakes) = (Rig::new(format), Arc::default());
        let mut stream = DescChainStream::new(rig.queue.clone());
        let _in_flight = rig.fetch(1);
        rig.break_queue();
        let Poll::Ready(Some(Err(error))) = poll(&mut stream, &wakes) else { panic!("the queue is broken") };
        assert_eq!((Some(error), stream.is_terminated()), (stream.queue().fault(), true));
        assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(None)));
        assert!(matches!(stream.next_chain().now_or_never(), Some(Ok(None))));
    }
}

#[test]
fn stream_ends_when_the_queue_breaks_elsewhere_or_ends() {
    let ends: [fn(&mut Rig); 3] = [
        |rig| {
            rig.break_queue();
            rig.queue.next_chain().unwrap_err();
        },
        |rig| rig.queue.reset(),
        |rig| _ = rig.queue.clone().try_into_queue().unwrap(),
    ];
    for end in ends {
        let (mut rig, wakes) = (Rig::new(0), Arc::<Wakes>::default());
        let mut stream = DescChainStream::new(rig.queue.clone());
        assert!(poll(&mut stream, &wakes).is_pending());
        end(&mut rig);
        assert_eq!(wakes.count(), 1);
        assert!(matches!(poll(&mut stream, &wakes), Poll::Ready(None)));
    }
}

/// Polls a stream while the driver makes a chain available at `moment`, and kicks if it was asked to. Returns what the
/// chain says, and how often the task was woken.
fn poll_interrupted(moment: Moment, suppressed: bool) -> (u8, usize) {
    let rig = Rig::new(0);
    let ring = Interrupted::new(&rig, moment);
    let event = Arc::clone(&ring.event);
    let queue = SharedQueue::new(Queue::from_ring(ring, NotificationCounter::new()).unwrap());
    if suppressed {
        queue.suppress_notifications();
    }
    let mut driver = rig.driver;
    *event.lock().unwrap() = Some(Box::new({
        let queue = queue.clone();
        move || {
            if offer(&mut driver, 6) {
                queue.wake();
            }
        }
    }) as Event);
    let (mut stream, wakes) = (DescChainStream::new(queue), Arc::<Wakes>::default());
    let byte = match poll(&mut stream, &wakes) {
        Poll::Ready(Some(Ok(chain))) => byte_of(&chain),
        Poll::Ready(other) => panic!("expected a chain, got {other:?}"),
        Poll::Pending => {
            assert_eq!(wakes.count(), 1, "a chain was slept through");
            poll_byte(&mut stream, &wakes)
        }
    };
    (byte, wakes.count())
}

/// SPLIT-ANOT-7, BAR-2, INV-11
#[test]
fn chain_at_any_moment_of_a_poll_is_found_or_wakes() {
    assert_eq!(poll_interrupted(Moment::AfterFetch, true), (6, 0));
    assert_eq!(poll_interrupted(Moment::AfterFetch, false), (6, 0));
    assert_eq!(poll_interrupted(Moment::AfterArming, true), (6, 1));
    assert_eq!(poll_interrupted(Moment::AfterArming, false), (6, 1));
}

/// Drives `total` requests through a queue from a thread of its own.
fn drive(mut driver: AnyDriver, queue: Shared, total: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let (mut offered, mut back) = (0, 0);
        while back < total {
            while offered < total && driver.in_flight() < 4 {
                driver.add(&DriverChain::new().readable([1]).writable(8)).unwrap();
                offered += 1;
                if driver.needs_kick() {
                    queue.wake();
                }
            }
            let used = driver.reap_all().unwrap().len();
            back += used;
            if used == 0 {
                thread::yield_now();
            }
        }
    })
}

const MANY: usize = 20_000;

/// BAR-2, INV-11
#[test]
fn requests_of_a_driver_on_a_thread_all_arrive() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let rig = Rig::with_budget(format, 4);
        let driver = drive(rig.driver, rig.queue.clone(), MANY);
        block_on(DescChainStream::new(rig.queue.clone()).take(MANY).for_each(|chain| {
            rig.queue.suppress_notifications();
            answer(chain.unwrap());
            future::ready(())
        }));
        driver.join().unwrap();
        assert_eq!(rig.queue.in_flight(), 0);
    }
}

/// BAR-2, INV-11: the chains are returned by other tasks, on other threads, and at the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_tasks_all_arrive() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let rig = Rig::with_budget(format, 4);
        let driver = drive(rig.driver, rig.queue.clone(), MANY);
        let mut chains = DescChainStream::new(rig.queue.clone());
        let device = tokio::spawn(async move {
            while let Some(chain) = chains.next_chain().await? {
                tokio::spawn(async move { answer(chain) });
            }
            Ok::<_, FatalError>(())
        });
        tokio::task::spawn_blocking(|| driver.join().unwrap()).await.unwrap();
        rig.queue.reset();
        rig.queue.drained().await;
        device.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_queues_in_one_set_of_tasks_are_all_served() {
    let _watchdog = Watchdog::new();
    let mut devices = tokio::task::JoinSet::new();
    let rigs: Vec<_> = (0..16).map(|index| Rig::new(FORMATS[index % 2])).collect();
    let (queues, drivers): (Vec<_>, Vec<_>) = rigs.into_iter().map(|rig| (rig.queue, rig.driver)).unzip();
    for queue in &queues {
        let stream = DescChainStream::new(queue.clone());
        devices.spawn(stream.for_each(|chain| {
            answer(chain.unwrap());
            future::ready(())
        }));
    }
    let drivers: Vec<_> =
        drivers.into_iter().zip(&queues).map(|(driver, queue)| drive(driver, queue.clone(), 500)).collect();
    tokio::task::spawn_blocking(|| drivers.into_iter().for_each(|driver| driver.join().unwrap())).await.unwrap();
    queues.iter().for_each(Shared::reset);
    devices.join_all().await;
}

/// A request that waits twice.
async fn request(chain: Owned, [first, second]: [Arc<tokio::sync::Notify>; 2]) {
    first.notified().await;
    let _ = byte_of(&chain);
    second.notified().await;
    answer(chain);
}

/// KEEP-2, INV-4
#[tokio::test]
async fn request_cancelled_at_any_await_returns_its_chain_once() {
    for format in FORMATS {
        for await_at in 0..3 {
            let mut rig = Rig::new(format);
            let steps = [(); 2].map(|()| Arc::new(tokio::sync::Notify::new()));
            let mut task = Box::pin(request(rig.fetch(9), steps.clone()));
            steps.iter().take(await_at).for_each(|step| step.notify_one());
            let done = task.as_mut().now_or_never().is_some();
            drop(task);
            assert_eq!((done, rig.used()), (await_at == 2, vec![if done { (9, 1) } else { (0, 0) }]));
            assert_eq!(rig.queue.in_flight(), 0);
        }
    }
}

#[tokio::test]
async fn wait_for_a_chain_that_is_cancelled_loses_nothing() {
    let _watchdog = Watchdog::new();
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let mut chains = DescChainStream::new(rig.queue.clone());
        for byte in 1..20 {
            // Cancelled before the wake, and after it.
            assert!(chains.next_chain().now_or_never().is_none());
            rig.offer(byte);
            rig.queue.wake();
            let chain = tokio::time::timeout(Duration::from_secs(20), chains.next_chain()).await.unwrap();
            answer(chain.unwrap().unwrap());
            assert_eq!(rig.used(), [(byte, 1)]);
        }
    }
}
