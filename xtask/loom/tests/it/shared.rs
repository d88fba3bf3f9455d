//! A queue that several threads share, and tasks that wait for its chains.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use futures_core::Stream;
use loom::thread;
use loom_models::{LoomLock, Rig, Signal, check};
use virtio_mem_traits::HeapMem;
use virtio_queue_core::AnyRing;
use virtio_util::{DEFAULT_BUDGET, DescChainStream, OwnedChain, SharedQueue};

use crate::support::serve;

type Shared = SharedQueue<AnyRing<Arc<HeapMem>>, Signal, LoomLock>;

/// A task that was woken, and has not run since.
#[derive(Default)]
struct Task(Signal);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.give();
    }
}

/// Polls a stream for a chain, on behalf of a task.
fn poll(
    stream: &mut DescChainStream<AnyRing<Arc<HeapMem>>, Signal, LoomLock>,
    task: &Arc<Task>,
) -> Option<OwnedChain<Arc<HeapMem>>> {
    let waker = Arc::clone(task).into();
    match Pin::new(stream).poll_next(&mut Context::from_waker(&waker)) {
        Poll::Pending => None,
        Poll::Ready(Some(Ok(chain))) => Some(chain),
        Poll::Ready(other) => panic!("the queue is neither broken nor reset: {other:?}"),
    }
}

/// KEEP-3, BAR-4, BAR-8: two threads fetch and return, and the driver gets each chain back once.
#[test]
fn chains_of_two_threads_are_returned_once() {
    check(|mut rig: Rig| {
        let queue = Shared::with_lock(rig.device(), DEFAULT_BUDGET);
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        let other = queue.clone();
        let device = thread::spawn(move || serve(other.next_chain().unwrap().unwrap()));
        serve(queue.next_chain().unwrap().unwrap());
        let reaped = rig.reap();
        device.join().unwrap();
        assert!(reaped != 0, "what this thread has returned is there");
        assert_eq!(reaped + rig.reap(), 2);
    });
}

/// KEEP-2, KEEP-3, BAR-3, BAR-7: a chain that is dropped in another thread is published, and the interrupt for it is
/// not lost.
#[test]
fn dropping_elsewhere_against_enabling_loses_no_interrupt() {
    check(|mut rig: Rig| {
        let queue = Shared::with_lock(rig.device(), DEFAULT_BUDGET);
        rig.add(0);
        let chain = queue.next_chain().unwrap().unwrap();
        let device = thread::spawn(move || drop(chain));
        let seen = rig.driver.enable_interrupts();
        device.join().unwrap();
        assert!(seen || rig.interrupt.is_given(), "an interrupt was lost");
        assert_eq!(rig.driver.reap_all().unwrap().len(), 1);
        assert!(queue.try_into_queue().is_ok(), "nothing is in flight");
    });
}

/// BAR-2, BAR-6: a task that finds nothing is woken by the kick for what comes after its last look.
#[test]
fn polling_against_a_publish_loses_no_wake_up() {
    check(|mut rig: Rig| {
        let queue = Shared::with_lock(rig.device(), DEFAULT_BUDGET);
        let mut stream = DescChainStream::new(queue.clone());
        let task = Arc::new(Task::default());
        let woken = task.0.clone();
        let device = thread::spawn(move || {
            let found = poll(&mut stream, &task).map(serve).is_some();
            (found, stream)
        });
        rig.add(0);
        if rig.driver.needs_kick() {
            queue.wake();
        }
        let (found, _stream) = device.join().unwrap();
        assert!(found || woken.is_given(), "a wake-up was lost");
    });
}

/// KEEP-4: a task that finds no room in the budget is woken by the return that makes room.
#[test]
fn polling_against_a_return_loses_no_wake_up() {
    check(|mut rig: Rig| {
        let queue = Shared::with_lock(rig.device(), 2);
        rig.stage(0);
        rig.stage(1);
        rig.driver.publish();
        let first = queue.next_chain().unwrap().unwrap();
        let mut stream = DescChainStream::new(queue);
        let task = Arc::new(Task::default());
        let woken = task.0.clone();
        let device = thread::spawn(move || {
            let found = poll(&mut stream, &task).map(serve).is_some();
            (found, stream)
        });
        serve(first);
        let (found, _stream) = device.join().unwrap();
        assert!(found || woken.is_given(), "a wake-up was lost");
    });
}
