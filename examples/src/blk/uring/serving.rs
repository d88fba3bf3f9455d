//! The device as what serves a queue.

use core::hint;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_core::Stream;
use virtio_vhost_user::{Chains, Worker, report};

use super::{Progress, UringDisk};
use crate::blk::storage::Storage;

/// How many rounds there are before others have a look: the thread of the queue, which may have to stop.
///
/// Most of them are short. A queue that is to stop gives no chains, so that there is soon nothing to do.
const ROUNDS: usize = 256;

/// How many chains are taken before these are handed to the kernel: with a few, the driver is at work with some while
/// the device is with others. Without this, there were 3 % to 14 % fewer requests of a cached file, with 32 at a time.
const GROUP: usize = 16;

/// How often the device looks for a request and finds none before it waits for a kick: some microseconds. To fall
/// asleep and to be woken takes about as long, and a driver often makes its next request right after an answer.
// PERF: a read of a cached file, one at a time, needs one system call, and not three (`blk-cached`).
const LOOKS: u32 = 100;

/// How often a device that polls does, whether or not the kernel has work: a few milliseconds.
const POLLS: u32 = 10_000;

/// How many of these looks come in quick succession. After that the processor is offered to others between them.
const SPINS: u32 = 1000;

impl<S: Storage + Send + 'static> UringDisk<S> {
    /// Returns what serves a queue with this device.
    #[must_use]
    pub fn into_worker(self) -> Worker {
        self.worker(0)
    }

    /// Returns what serves a queue with this device, and does not wait while there is something to do. It looks for
    /// requests and for the end of operations again and again, and needs no kicks meanwhile.
    #[must_use]
    pub fn into_polling_worker(self) -> Worker {
        self.worker(POLLS)
    }

    fn worker(self, polls: u32) -> Worker {
        let disk = Arc::new(Mutex::new(self));
        let worker = Worker::asynchronous(move |mut chains| {
            let disk = Arc::clone(&disk);
            chains.wake_on(Some(Arc::clone(lock(&disk).event())));
            Serving { disk, chains, ended: false, polls, looked: 0 }
        });
        // The kernel writes to memory when it wants.
        worker.keeping_memory()
    }
}

/// Serves a queue from a start to a stop. When it is dropped, the kernel has none of its memory any more.
struct Serving<S: Storage> {
    disk: Arc<Mutex<UringDisk<S>>>,
    chains: Chains,
    /// Whether there are no more chains.
    ended: bool,
    /// How often it looks and finds nothing before it waits, if it polls.
    polls: u32,
    /// How often it has.
    looked: u32,
}

impl<S: Storage> Future for Serving<S> {
    type Output = ();

    /// Takes chains, and hands them to the kernel together, until there are no more and nothing has ended meanwhile.
    /// Then the next chain wakes it, or the io_uring.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { disk, chains, ended, polls, looked } = &mut *self;
        let mut disk = lock(disk);
        for _ in 0..ROUNDS {
            // The kernel can need long. One look after each end of operations is enough then.
            let looks = if disk.in_flight() == 0 { LOOKS } else { 1 };
            let waits = *looked >= looks.max(*polls);
            let took = if waits { take(&mut disk, chains, ended, context) } else { take_now(&mut disk, chains) };
            let progress = match disk.in_flight() {
                0 => Ok(Progress::default()),
                _ => chains.publish_together(|| disk.turn()),
            };
            match progress {
                Ok(Progress { ended: 0, again: false }) if !took && waits => {
                    *looked = 0;
                    return if *ended && disk.in_flight() == 0 { Poll::Ready(()) } else { Poll::Pending };
                }
                Ok(Progress { ended: 0, again: false }) if !took => {
                    *looked += 1;
                    if *looked <= SPINS { hint::spin_loop() } else { thread::yield_now() }
                }
                Ok(Progress { again, .. }) => {
                    *looked = 0;
                    if again {
                        thread::yield_now();
                    }
                }
                Err(error) => {
                    report(format_args!("io_uring takes no more requests: {error}"));
                    return Poll::Ready(());
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Takes chains while there is room, and returns whether there were any. If there is room left, the next one wakes.
fn take<S: Storage>(disk: &mut UringDisk<S>, chains: &mut Chains, ended: &mut bool, context: &mut Context<'_>) -> bool {
    let mut took = false;
    for _ in 0..GROUP {
        if *ended || !disk.has_room() {
            break;
        }
        match Pin::new(&mut *chains).poll_next(context) {
            Poll::Ready(Some(chain)) => {
                took = true;
                disk.take(chain);
            }
            Poll::Ready(None) => *ended = true,
            Poll::Pending => break,
        }
    }
    took
}

/// Takes chains while there is room, and returns whether there were any.
fn take_now<S: Storage>(disk: &mut UringDisk<S>, chains: &mut Chains) -> bool {
    let mut took = false;
    for _ in 0..GROUP {
        if !disk.has_room() {
            break;
        }
        let Some(chain) = chains.try_next() else { break };
        took = true;
        disk.take(chain);
    }
    took
}

/// The queue has stopped, or is broken, or is being reset.
impl<S: Storage> Drop for Serving<S> {
    fn drop(&mut self) {
        lock(&self.disk).finish();
    }
}

/// Nobody else has the lock: a queue is served by one future.
fn lock<S>(disk: &Mutex<S>) -> MutexGuard<'_, S> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}
