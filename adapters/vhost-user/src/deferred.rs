//! A queue whose chains are out while others are fetched.

use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};
use std::io;
use std::os::fd::AsFd;
use std::panic::catch_unwind;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};

use rustix::event::{PollFd, PollFlags};
use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{DriverNotify, Queue, SavedQueue};
use virtio_util::{EventFd, SharedQueue};

use crate::bell::Bell;
use crate::chains::{Chains, Event, Shared};
use crate::event::{self, Call, Kick, LastNotification, Later, STEP};
use crate::inflight::Left;
use crate::inflight::any::AnyRecordedRing;
use crate::memory::GuestMem;
use crate::patience::Patience;
use crate::report::report;
use crate::worker::{Deferred, Serving};

/// A queue that is served by a future, on a thread of its own.
pub(crate) struct DeferredLane {
    queue: Shared,
    /// What an earlier process had fetched, and this one must before it can say where the ring is.
    left: Left,
    /// Its place among the queues that belong together.
    place: usize,
    /// Where the ring is, as the guest knows it.
    areas: [DriverAddr; 3],
    doors: Arc<Doors>,
    ended: Receiver<()>,
    _last: LastNotification,
}

/// What the thread of a queue is told by.
struct Doors {
    name: String,
    kick: Mutex<Arc<EventFd>>,
    call: Call,
    error: Call,
    /// Rung when the future can go on, and when anything here has changed.
    bell: Arc<Bell>,
    stopped: AtomicBool,
    /// Held while the future is polled: what it has fetched by then can be in its hands alone.
    turn: Mutex<()>,
    useful: Arc<AtomicBool>,
    /// What the device waits for as well.
    event: Arc<Event>,
}

/// What a queue begins with.
pub(crate) struct Beginning {
    pub(crate) name: String,
    pub(crate) place: usize,
    pub(crate) queue: Queue<AnyRecordedRing, Arc<Later>>,
    pub(crate) left: Left,
    pub(crate) areas: [DriverAddr; 3],
    pub(crate) kick: Arc<EventFd>,
    pub(crate) notify: Arc<Later>,
    pub(crate) call: Call,
    pub(crate) error: Call,
}

impl DeferredLane {
    /// Begins to serve a queue.
    pub(crate) fn spawn(beginning: Beginning, device: &mut Deferred) -> io::Result<Self> {
        let Beginning { name, place, queue, left, areas, kick, notify, call, error } = beginning;
        let (bell, useful, last) = (Arc::new(Bell::new()?), Arc::new(AtomicBool::new(false)), notify.last());
        let event = Arc::new(Event::new(Arc::clone(&bell)));
        let queue = SharedQueue::new(queue);
        let chains = Chains::new(queue.clone(), notify, place, Arc::clone(&useful), Arc::clone(&event));
        let serving = (device.start)(chains);
        let (kick, stopped, turn) = (Mutex::new(kick), AtomicBool::new(false), Mutex::default());
        let doors = Arc::new(Doors { name, kick, call, error, bell, stopped, turn, useful, event });
        let (sender, ended) = mpsc::sync_channel(1);
        let (served, inside) = (queue.clone(), Arc::clone(&doors));
        thread::Builder::new().name(doors.name.clone()).spawn(move || {
            inside.drive(serving, &served);
            drop(sender);
        })?;
        Ok(Self { queue, left, place, areas, doors, ended, _last: last })
    }

    /// Goes by another kick.
    pub(crate) fn kick_with(&self, kick: &Arc<EventFd>) {
        let mut current = self.doors.kick();
        if !Arc::ptr_eq(&current, kick) {
            *current = Arc::clone(kick);
            drop(current);
            self.doors.bell.ring();
        }
    }

    /// Lets nothing be fetched. Chains that are out are returned as ever.
    pub(crate) fn pause(&self) {
        self.queue.pause();
    }

    /// Goes on in `mem`, where the ring is at `areas`. Chains that are out keep the memory that they were fetched from.
    ///
    /// # Errors
    ///
    /// If the ring is not there. It stays paused.
    pub(crate) fn go_on(&self, mem: GuestMem, areas: [DriverAddr; 3]) -> io::Result<()> {
        if areas != self.areas {
            return Err(io::Error::other("the guest knows the ring by another address now"));
        }
        self.queue.replace_mem(mem).map_err(io::Error::other)?;
        self.queue.resume();
        Ok(())
    }

    /// Stops when nothing is in flight: completed, or put back. Returns where the queue is, unless it is broken.
    ///
    /// # Errors
    ///
    /// If the device does not return all chains before patience ends. They cannot be returned any more then.
    pub(crate) fn stop(&self, device: &mut Deferred, patience: &Patience<'_>) -> io::Result<Option<SavedQueue>> {
        while !self.left.is_nothing() {
            self.queue.resume();
            patience.check(|| format!("{}: chains of an earlier process have not been served", self.doors.name))?;
            thread::park_timeout(STEP);
        }
        self.queue.pause();
        self.wait_until_idle(device, patience)?;
        // Before: the future ends because of this, not by itself.
        self.doors.stop();
        let queue = self.queue.clone().try_into_queue().ok();
        let saved = queue.and_then(|queue| queue.drain().suspend().ok()).map(|suspended| suspended.save());
        self.end_thread(patience);
        Ok(saved)
    }

    /// Stops at once: chains that are out cannot be returned any more. Waits until there are none.
    ///
    /// # Errors
    ///
    /// If there are some when patience ends.
    pub(crate) fn end(&self, device: &mut Deferred, patience: &Patience<'_>) -> io::Result<()> {
        self.doors.stop();
        self.queue.reset();
        self.wait_until_idle(device, patience)?;
        self.end_thread(patience);
        Ok(())
    }

    /// Waits until no chain is out, while nothing is fetched.
    ///
    /// # Errors
    ///
    /// If the device does not return all chains before patience ends.
    pub(crate) fn wait_until_idle(&self, device: &mut Deferred, patience: &Patience<'_>) -> io::Result<()> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut drained = pin!(self.queue.drained());
        while drained.as_mut().poll(&mut context).is_pending() {
            // Again and again: another thread of the device can have a chain in its hands. The thread of the queue has
            // none between two polls, so that the device can put back the last chain first.
            if let Ok(_between_polls) = self.doors.turn.try_lock() {
                (device.put_back)(self.place);
            }
            self.doors.call.make_room();
            patience.check(|| self.keeps_chains())?;
            thread::park_timeout(STEP);
        }
        Ok(())
    }

    /// Says that the device is to blame, and what it has to do.
    fn keeps_chains(&self) -> String {
        let (count, name) = (self.queue.chains_out(), &self.doors.name);
        let chains = if count == 1 { "chain" } else { "chains" };
        format!(
            "the device still holds {count} {chains} of {name}; a request needs a time limit, a chain that waits for \
             input must be put back in `Worker::on_stop`, and an async device waits for input before it takes a chain"
        )
    }

    /// Waits for the end of the thread. It has nothing to do any more, and can do no harm.
    fn end_thread(&self, patience: &Patience<'_>) {
        while self.ended.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
            self.doors.call.make_room();
            self.doors.error.make_room();
            if patience.check(|| format!("{} is still being served", self.doors.name)).is_err() {
                return;
            }
        }
    }
}

/// Stops at once, and waits for the last notification alone.
impl Drop for DeferredLane {
    fn drop(&mut self) {
        self.doors.stop();
        self.queue.reset();
    }
}

impl Doors {
    /// Polls a future whenever it can go on, until its end, and wakes it when the driver kicks.
    fn drive(&self, mut serving: Serving, queue: &Shared) {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut context = Context::from_waker(&waker);
        let mut kick = Kick::new(Arc::clone(&self.kick()));
        loop {
            match self.poll(&mut serving, &mut context) {
                Ok(false) if !self.stopped() && !queue.is_broken() => {}
                Ok(false) => break,
                Ok(true) if self.stopped() || queue.is_broken() => break,
                Ok(true) => return self.report(&"the device does not serve it any more"),
                Err(_) => return self.report(&"the device has panicked"),
            }
            self.wait(&mut kick, queue);
        }
        if let Some(fault) = queue.fault() {
            self.report(&fault);
        }
    }

    /// Polls the future, and returns whether it has ended, or that it has panicked.
    fn poll(&self, serving: &mut Serving, context: &mut Context<'_>) -> thread::Result<bool> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(context).is_ready()))
    }

    /// Waits for a kick, or until the future can go on. It may also return for no reason.
    fn wait(&self, kick: &mut Kick, queue: &Shared) {
        if self.useful.swap(false, Ordering::Relaxed) {
            kick.was_useful();
        }
        let useless = kick.is_useless();
        let kicked = if useless { self.bell.as_fd() } else { kick.as_fd() };
        let other = self.event.named();
        let other = other.as_ref().map_or(self.bell.as_fd(), AsFd::as_fd);
        let mut events = [self.bell.as_fd(), kicked, other].map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN));
        if self.bell.fall_asleep() {
            event::wait(&mut events, useless);
        } else {
            event::look(&mut events);
        }
        let [rung, kicked, _] = events.map(|event| event.revents().contains(PollFlags::IN));
        self.bell.wake_up(rung);
        if kicked && !useless {
            kick.take();
            queue.wake();
            // The future is polled after this in any case.
            self.bell.wake_up(false);
        }
        kick.replace(&self.kick());
    }

    /// Tells everybody that the queue is not served any longer.
    fn report(&self, reason: &dyn core::fmt::Display) {
        report(format_args!("{} is broken: {reason}", self.name));
        self.error.notify();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    fn stopped(&self) -> bool {
        // Relaxed: nothing is handed over with it, and the thread is woken after it.
        self.stopped.load(Ordering::Relaxed)
    }

    fn kick(&self) -> std::sync::MutexGuard<'_, Arc<EventFd>> {
        self.kick.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
