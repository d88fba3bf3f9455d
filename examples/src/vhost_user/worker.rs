//! The thread of a ring.

use core::hint;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use virtio_queue_core::{AnyRing, Armed, DriverNotify, FatalError, InFlight, InOrderRing, Queue, SavedQueue};
use virtio_util::EventFd;

use super::event::Call;
use super::memory::GuestMem;
use super::report;
use crate::Device;

/// A ring in the format and the order that were negotiated.
pub(super) type VringRing = InOrderRing<AnyRing<GuestMem>, Vec<InFlight>>;

/// How many requests are published together.
const BURST: u32 = 64;

/// How often a worker that polls looks for requests in vain before it waits: a few milliseconds.
pub(super) const POLLS: u32 = 10_000;

/// How many of these looks come in quick succession. After that the processor is offered to others between them.
const SPINS: u32 = 1000;

/// A ring that runs.
#[derive(Debug)]
pub(super) struct Worker {
    stop: Arc<Stop>,
    thread: JoinHandle<Option<SavedQueue>>,
}

/// What a worker needs besides its device.
#[derive(Debug)]
pub(super) struct Work {
    /// What the ring is called.
    pub(super) name: String,
    pub(super) queue: Queue<VringRing, Call>,
    /// Signalled by the driver.
    pub(super) kick: Arc<EventFd>,
    /// Signalled when the queue breaks.
    pub(super) error: Call,
    /// How often to look for requests in vain before waiting for a kick.
    pub(super) polls: u32,
}

impl Worker {
    /// Begins to serve a queue with `device`.
    pub(super) fn spawn(work: Work, device: impl Device + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(Stop { requested: AtomicBool::new(false), wake: EventFd::new()? });
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name(work.name.clone()).spawn(move || work.run(device, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Stops with nothing in flight, and returns where the queue was, unless it is broken.
    pub(super) fn stop(self) -> Option<SavedQueue> {
        self.stop.request();
        self.thread.join().unwrap_or(None)
    }
}

impl Work {
    /// Serves the queue until it is stopped, and returns where it was.
    fn run(mut self, mut device: impl Device, stop: &Stop) -> Option<SavedQueue> {
        if let Err(fault) = self.serve(&mut device, stop) {
            report(format_args!("{} is broken: {fault}", self.name));
            self.error.notify();
            return None;
        }
        // A device here has answered everything when it returns, so that nothing is in flight.
        self.queue.drain().suspend().ok().map(|suspended| suspended.save())
    }

    /// Serves the queue until it is stopped or broken.
    fn serve(&mut self, device: &mut impl Device, stop: &Stop) -> Result<(), FatalError> {
        let mut polled = 0;
        self.queue.suppress_notifications();
        while !stop.is_requested() {
            if device.serve(&mut self.queue, BURST)?.requests > 0 {
                polled = 0;
            } else if polled < self.polls {
                polled += 1;
                if polled <= SPINS { hint::spin_loop() } else { thread::yield_now() }
            } else {
                if self.queue.enable_notifications()? == Armed::Waiting {
                    self.wait(stop);
                }
                self.queue.suppress_notifications();
                polled = 0;
            }
        }
        Ok(())
    }

    /// Waits for a kick, or to be stopped. It may also return for no reason.
    fn wait(&self, stop: &Stop) {
        let events = [&*self.kick, &stop.wake].map(|event| PollFd::new(event, PollFlags::IN));
        let _ = poll(&mut { events }, None);
        // It was seen to be an eventfd, which can be read.
        let _ = self.kick.take();
    }
}

/// The request to stop.
#[derive(Debug)]
struct Stop {
    requested: AtomicBool,
    /// Wakes a worker that waits, and is never taken: it does not wait again.
    wake: EventFd,
}

impl Stop {
    fn request(&self) {
        // Relaxed: nothing is handed over with it. A worker that does not see it yet is woken as often as that takes.
        self.requested.store(true, Ordering::Relaxed);
        self.wake.notify();
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
