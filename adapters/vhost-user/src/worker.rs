//! The thread that serves rings.

use core::sync::atomic::{AtomicBool, Ordering};
use core::{array, hint};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use virtio_queue_core::{Armed, DriverNotify, FatalError, Queue, QueueState, Restorable, Ring, SavedQueue};
use virtio_util::EventFd;

use super::event::Call;
use crate::report::report;
use crate::{Serve, Turn, WaitsFor};

/// The most rings that a worker can have.
pub(super) const MAX_LANES: usize = 2;

/// How many requests are published together.
const BURST: usize = 64;

/// How often a worker that polls looks for requests in vain before it waits: a few milliseconds.
pub(super) const POLLS: u32 = 10_000;

/// How many of these looks come in quick succession. After that the processor is offered to others between them.
const SPINS: u32 = 1000;

/// A thread with the rings that it serves.
#[derive(Debug)]
pub(super) struct Worker<S> {
    stop: Arc<Stop>,
    thread: JoinHandle<Rest<S>>,
}

/// What is left of a worker that was stopped.
#[derive(Debug)]
pub(super) struct Rest<S> {
    /// What served the rings.
    pub(super) device: S,
    /// Where each of them is, by its place among those that it belongs to. A broken one is nowhere.
    pub(super) saved: Vec<(usize, SavedQueue)>,
}

/// What a worker needs besides its device. All its rings are in one format.
pub(super) struct Work<R: Ring> {
    pub(super) lanes: Vec<Lane<R>>,
    /// How often to look for requests in vain before waiting for a kick.
    pub(super) polls: u32,
}

/// A ring that is being served.
pub(super) struct Lane<R: Ring> {
    /// What the ring is called.
    name: String,
    /// Its place among those that belong together.
    index: usize,
    ring: R,
    state: QueueState<R, Call>,
    /// Signalled by the driver.
    kick: Arc<EventFd>,
    /// Signalled when the queue breaks.
    error: Call,
    waits_for: WaitsFor,
}

impl<S: Serve + Send + 'static> Worker<S> {
    /// Begins to serve rings with `device`, on a thread that is called like the first of them.
    pub(super) fn spawn<R>(work: Work<R>, device: S) -> io::Result<Self>
    where
        R: Restorable<Positions: Send> + Send + 'static,
    {
        let stop = Arc::new(Stop { requested: AtomicBool::new(false), wake: EventFd::new()? });
        let stopped = Arc::clone(&stop);
        let name = work.lanes.first().map(|lane| lane.name.clone()).unwrap_or_default();
        let thread = thread::Builder::new().name(name).spawn(move || work.run(device, &stopped))?;
        Ok(Self { stop, thread })
    }
}

impl<S> Worker<S> {
    /// Stops with nothing in flight, and returns what is left, unless the device has panicked.
    pub(super) fn stop(self) -> Option<Rest<S>> {
        self.stop.request();
        self.thread.join().ok()
    }
}

impl<R: Restorable> Work<R> {
    /// Serves the rings until it is stopped, or until all of them are broken.
    fn run<S: Serve>(mut self, mut device: S, stop: &Stop) -> Rest<S> {
        let mut polled = 0;
        self.lanes.iter_mut().for_each(Lane::suppress_notifications);
        while !stop.is_requested() && !self.lanes.is_empty() {
            if self.serve(&mut device) {
                polled = 0;
            } else if polled < self.polls {
                polled += 1;
                if polled <= SPINS { hint::spin_loop() } else { thread::yield_now() }
            } else {
                if self.enable_notifications(&mut device) {
                    self.wait(&device, stop);
                }
                self.lanes.iter_mut().for_each(Lane::suppress_notifications);
                polled = 0;
            }
        }
        let saved = self.lanes.into_iter().filter_map(|lane| lane.suspend(&mut device)).collect();
        Rest { device, saved }
    }

    /// Gives each ring its turn, and returns whether there was something to do.
    fn serve(&mut self, device: &mut impl Serve) -> bool {
        let mut busy = false;
        self.lanes.retain_mut(|lane| match lane.serve(device) {
            Ok(chains) => {
                busy |= chains > 0;
                true
            }
            Err(fault) => lane.end(fault, device),
        });
        busy
    }

    /// Asks the driver to notify for each ring that waits for that, and returns whether there is nothing to do until
    /// then.
    fn enable_notifications(&mut self, device: &mut impl Serve) -> bool {
        let mut wait = true;
        self.lanes.retain_mut(|lane| match lane.enable_notifications() {
            Ok(waits) => {
                wait &= waits;
                true
            }
            Err(fault) => lane.end(fault, device),
        });
        wait && !self.lanes.is_empty()
    }

    /// Waits for a kick, for the device, or to be stopped. It may also return for no reason.
    fn wait(&self, device: &impl Serve, stop: &Stop) {
        let wake = device.wake().filter(|_| self.lanes.iter().any(|lane| lane.waits_for == WaitsFor::Device));
        let mut events = self.lanes.iter().map(|lane| lane.kick.as_fd()).chain(wake);
        // Places that are not needed wait for the end as well.
        let events: [_; MAX_LANES + 2] = array::from_fn(|_| events.next().unwrap_or_else(|| stop.wake.as_fd()));
        let mut events = events.map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN));
        let _ = poll(&mut events, None);
        for (lane, event) in self.lanes.iter().zip(&events) {
            if event.revents().contains(PollFlags::IN) {
                // It was seen to be an eventfd, which can be read.
                let _ = lane.kick.take();
            }
        }
    }
}

impl<R: Restorable> Lane<R> {
    /// Begins with `queue`, the ring `name`, which is the one at `index` of those that belong together.
    pub(super) fn new(name: String, index: usize, queue: Queue<R, Call>, kick: Arc<EventFd>, error: Call) -> Self {
        let (ring, state) = queue.into_parts();
        Self { name, index, ring, state, kick, error, waits_for: WaitsFor::Turn }
    }

    /// Gives the ring its turn, and returns how many chains were taken from it.
    fn serve(&mut self, device: &mut impl Serve) -> Result<usize, FatalError> {
        let Turn { chains, waits_for } = device.serve_queue(self.index, &self.ring, &mut self.state, BURST)?;
        self.waits_for = waits_for;
        Ok(chains)
    }

    fn suppress_notifications(&mut self) {
        self.state.suppress_notifications(&self.ring);
    }

    /// Asks the driver to notify if that is what the ring waits for, and returns whether it has to wait.
    fn enable_notifications(&mut self) -> Result<bool, FatalError> {
        Ok(match self.waits_for {
            WaitsFor::Turn => false,
            WaitsFor::Driver => self.state.enable_notifications(&self.ring)? == Armed::Waiting,
            WaitsFor::Device => true,
        })
    }

    /// Tells everybody that the ring is broken, and returns that it is not served any longer. What the device has kept
    /// of it is of no use to anybody: in the ring that comes after it, those chains would be others.
    fn end(&mut self, fault: FatalError, device: &mut impl Serve) -> bool {
        device.release(self.index, &self.ring, &mut self.state);
        report(format_args!("{} is broken: {fault}", self.name));
        self.error.notify();
        false
    }

    /// Stops with nothing in flight, and returns where the ring is, unless it is broken.
    fn suspend(mut self, device: &mut impl Serve) -> Option<(usize, SavedQueue)> {
        device.release(self.index, &self.ring, &mut self.state);
        let suspended = Queue::from_parts(self.ring, self.state).drain().suspend().ok()?;
        Some((self.index, suspended.save()))
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
