//! The thread that serves rings of a device that answers at once.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use core::{array, hint};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{Armed, DriverNotify, FatalError, Queue, QueueState, Restorable, Ring, SavedQueue};
use virtio_util::EventFd;

use crate::event::{self, Call, Kick, STEP};
use crate::inflight::Left;
use crate::inflight::any::AnyRecordedRing;
use crate::memory::GuestMem;
use crate::patience::Patience;
use crate::report::report;
use crate::serve::{Serve, Turn, WaitsFor};

/// The most rings that a thread can have.
pub(crate) const MAX_LANES: usize = 2;

/// How many requests are published together.
pub(crate) const BURST: usize = 64;

/// How often a thread that polls looks and finds no request before it waits: a few milliseconds.
pub(crate) const POLLS: u32 = 10_000;

/// How often every thread does before it waits for a kick: some microseconds. To fall asleep and to be woken takes
/// about as long, for the device and for the driver, and a driver often makes its next request right after an answer.
// PERF: one request at a time needs one system call, and not three (`blk-cached`).
const LOOKS: u32 = 100;

/// How many of these looks come in quick succession. After that the processor is offered to others between them.
const SPINS: u32 = 1000;

/// What serves rings of one kind, at once.
///
/// Everything that is [`Serve`] is that for every kind, chosen when the program is compiled.
pub(crate) trait ServeRing<R: Ring> {
    fn turn(&mut self, place: usize, ring: &R, state: &mut QueueState<R, Call>) -> Result<Turn, FatalError>;
    fn give_back(&mut self, place: usize, ring: &R, state: &mut QueueState<R, Call>);
    fn wake(&self) -> Option<BorrowedFd<'_>>;
}

impl<S: Serve, R: Ring> ServeRing<R> for S {
    fn turn(&mut self, place: usize, ring: &R, state: &mut QueueState<R, Call>) -> Result<Turn, FatalError> {
        self.serve_queue(place, ring, state, BURST)
    }

    fn give_back(&mut self, place: usize, ring: &R, state: &mut QueueState<R, Call>) {
        self.release(place, ring, state);
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Serve::wake(self)
    }
}

/// The rings that a thread serves, all of one kind.
pub(crate) enum Lanes {
    Split(Vec<Lane<SplitRing<GuestMem>>>),
    Packed(Vec<Lane<PackedRing<GuestMem>>>),
    /// Of the format that was negotiated, for what is not compiled for each of them.
    Any(Vec<Lane<AnyRecordedRing>>),
}

/// A device that answers at once, as a thread runs it.
pub(crate) trait AtOnce: Send {
    /// Returns whether it needs a ring whose format is not chosen when the program is compiled.
    fn needs_any(&self) -> bool;

    /// Begins: at least one of its rings is served from now on.
    fn start(&mut self);

    /// Rests: none of its rings is served.
    fn rest(&mut self);

    /// Serves rings until it is stopped, or until all of them are broken, and returns where they are.
    fn run(&mut self, lanes: Lanes, polls: u32, stop: &Stop) -> Saved;
}

/// Where rings are, by their places among those that belong together. A broken one is nowhere.
pub(crate) type Saved = Vec<(usize, SavedQueue)>;

/// A thread with the rings that it serves.
pub(crate) struct Thread {
    name: String,
    stop: Arc<Stop>,
    rest: Receiver<Rest>,
    signals: Vec<Signals>,
}

/// What a thread signals for a ring, and what can hold it up.
#[derive(Clone)]
pub(crate) struct Signals {
    pub(crate) call: Call,
    pub(crate) error: Call,
}

/// What is left of a thread that was stopped.
pub(crate) struct Rest {
    /// What served the rings.
    pub(crate) device: Box<dyn AtOnce>,
    pub(crate) saved: Saved,
}

/// A ring that is being served.
pub(crate) struct Lane<R: Ring> {
    /// What the ring is called.
    name: String,
    /// Its place among those that belong together.
    index: usize,
    ring: R,
    state: QueueState<R, Call>,
    /// What an earlier process had fetched, and this one must before it can say where the ring is.
    left: Left,
    /// What notifies the driver.
    call: Call,
    /// Signalled by the driver.
    kick: Kick,
    /// Signalled when the queue breaks.
    error: Call,
    waits_for: WaitsFor,
}

impl Thread {
    /// Begins to serve rings with `device`, on a thread that is called `name`. The `signals` are those of the rings.
    pub(crate) fn spawn(
        name: String,
        lanes: Lanes,
        polls: u32,
        signals: Vec<Signals>,
        mut device: Box<dyn AtOnce>,
    ) -> io::Result<Self> {
        let stop = Arc::new(Stop { requested: AtomicBool::new(false), wake: EventFd::new()? });
        let stopped = Arc::clone(&stop);
        let (sender, rest) = mpsc::sync_channel(1);
        let (told, of_all) = (name.clone(), signals.clone());
        thread::Builder::new().name(name.clone()).spawn(move || {
            if let Ok(saved) = catch_unwind(AssertUnwindSafe(|| device.run(lanes, polls, &stopped))) {
                // Nobody waits for it any more if it took too long.
                let _ = sender.send(Rest { device, saved });
                return;
            }
            report(format_args!("{told} is broken: the device has panicked"));
            of_all.iter().for_each(|signals| signals.error.notify());
        })?;
        Ok(Self { name, stop, rest, signals })
    }

    /// Stops with nothing in flight, and returns what is left, unless the device has panicked.
    ///
    /// # Errors
    ///
    /// If the device takes longer than patience lasts. The thread then ends by itself whenever it can.
    pub(crate) fn stop(self, patience: &Patience<'_>) -> io::Result<Option<Rest>> {
        self.stop.request();
        loop {
            match self.rest.recv_timeout(STEP) {
                Ok(rest) => return Ok(Some(rest)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for Signals { call, error } in &self.signals {
                call.make_room();
                error.make_room();
            }
            patience.check(|| format!("{}: a request that is being served has not ended", self.name))?;
        }
    }
}

/// Serves rings until it is stopped, or until all of them are broken.
pub(crate) fn run<R: Restorable>(
    mut lanes: Vec<Lane<R>>,
    device: &mut impl ServeRing<R>,
    polls: u32,
    stop: &Stop,
) -> Saved {
    lanes.iter_mut().for_each(Lane::begin);
    let mut polled = 0;
    while !lanes.is_empty() {
        let busy = serve(&mut lanes, device);
        if stop.is_requested() && !(busy && lanes.iter().any(|lane| !lane.left.is_nothing())) {
            break;
        }
        // A look for input can be a system call.
        let looks = if lanes.iter().all(|lane| lane.waits_for == WaitsFor::Driver) { polls.max(LOOKS) } else { polls };
        if busy {
            polled = 0;
        } else if polled < looks {
            polled += 1;
            if polled <= SPINS { hint::spin_loop() } else { thread::yield_now() }
        } else {
            if enable_notifications(&mut lanes, device) {
                wait(&mut lanes, device, stop);
            }
            lanes.iter_mut().for_each(Lane::suppress_notifications);
            polled = 0;
        }
    }
    lanes.into_iter().filter_map(|lane| lane.suspend(device)).collect()
}

/// Gives each ring its turn, and returns whether there was something to do.
fn serve<R: Restorable>(lanes: &mut Vec<Lane<R>>, device: &mut impl ServeRing<R>) -> bool {
    let mut busy = false;
    lanes.retain_mut(|lane| match lane.serve(device) {
        Ok(chains) => {
            busy |= chains > 0;
            true
        }
        Err(fault) => lane.end(fault, device),
    });
    busy
}

/// Asks the driver to notify for each ring that waits for that, and returns whether there is nothing to do until then.
fn enable_notifications<R: Restorable>(lanes: &mut Vec<Lane<R>>, device: &mut impl ServeRing<R>) -> bool {
    let mut wait = true;
    lanes.retain_mut(|lane| match lane.enable_notifications() {
        Ok(waits) => {
            wait &= waits;
            true
        }
        Err(fault) => lane.end(fault, device),
    });
    wait && !lanes.is_empty()
}

/// Waits for a kick, for the device, or to be stopped. It may also return for no reason.
fn wait<R: Ring>(lanes: &mut [Lane<R>], device: &impl ServeRing<R>, stop: &Stop) {
    let waits_for_device = |lane: &Lane<R>| matches!(lane.waits_for, WaitsFor::Device | WaitsFor::Either);
    let wake = device.wake().filter(|_| lanes.iter().any(waits_for_device));
    let useless: [_; MAX_LANES] = array::from_fn(|at| lanes.get(at).is_some_and(|lane| lane.kick.is_useless()));
    // Places that are not needed wait for the end as well.
    let kicks = lanes.iter().zip(useless);
    let kicks = kicks.map(|(lane, useless)| if useless { stop.wake.as_fd() } else { lane.kick.as_fd() });
    let mut events = kicks.chain(wake);
    let events: [_; MAX_LANES + 2] = array::from_fn(|_| events.next().unwrap_or_else(|| stop.wake.as_fd()));
    let mut events = events.map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN));
    event::wait(&mut events, useless.contains(&true));
    let kicked = events.map(|event| event.revents().contains(PollFlags::IN));
    for ((lane, kicked), useless) in lanes.iter_mut().zip(kicked).zip(useless) {
        if kicked && !useless {
            lane.kick.take();
        }
    }
}

impl<R: Ring> Lane<R> {
    /// Begins with `queue`, the ring `name`, which is the one at `index` of those that belong together.
    pub(crate) fn new(
        name: String,
        index: usize,
        (queue, left): (Queue<R, Call>, Left),
        kick: Arc<EventFd>,
        call: Call,
        error: Call,
    ) -> Self {
        let (ring, state) = queue.into_parts();
        Self { name, index, ring, state, left, call, kick: Kick::new(kick), error, waits_for: WaitsFor::Turn }
    }

    fn begin(&mut self) {
        self.call.release();
        self.suppress_notifications();
    }

    /// Gives the ring its turn, and returns how many chains were taken from it.
    fn serve(&mut self, device: &mut impl ServeRing<R>) -> Result<usize, FatalError> {
        let Turn { chains, waits_for } = device.turn(self.index, &self.ring, &mut self.state)?;
        self.waits_for = waits_for;
        if chains > 0 {
            self.kick.was_useful();
        }
        Ok(chains)
    }

    fn suppress_notifications(&mut self) {
        self.state.suppress_notifications(&self.ring);
    }

    /// Asks the driver to notify if that is what the ring waits for, and returns whether it has to wait.
    fn enable_notifications(&mut self) -> Result<bool, FatalError> {
        Ok(match self.waits_for {
            WaitsFor::Turn => false,
            WaitsFor::Driver | WaitsFor::Either => self.state.enable_notifications(&self.ring)? == Armed::Waiting,
            WaitsFor::Device => true,
        })
    }

    /// Tells everybody that the ring is broken, and returns that it is not served any longer. What the device has kept
    /// of it is of no use to anybody: in the ring that comes after it, those chains would be others.
    fn end(&mut self, fault: FatalError, device: &mut impl ServeRing<R>) -> bool {
        device.give_back(self.index, &self.ring, &mut self.state);
        report(format_args!("{} is broken: {fault}", self.name));
        self.error.notify();
        false
    }
}

impl<R: Restorable> Lane<R> {
    /// Stops with nothing in flight, and returns where the ring is, unless it is broken.
    fn suspend(mut self, device: &mut impl ServeRing<R>) -> Option<(usize, SavedQueue)> {
        device.give_back(self.index, &self.ring, &mut self.state);
        let suspended = Queue::from_parts(self.ring, self.state).drain().suspend().ok()?;
        Some((self.index, suspended.save()))
    }
}

/// The request to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    requested: AtomicBool,
    /// Wakes a thread that waits, and is never taken: it does not wait again.
    wake: EventFd,
}

impl Stop {
    fn request(&self) {
        // Relaxed: nothing is handed over with it. A thread that does not see it yet is woken as often as that takes.
        self.requested.store(true, Ordering::Relaxed);
        self.wake.notify();
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
