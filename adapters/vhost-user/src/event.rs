//! The eventfds that a front end sends.

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use virtio_queue_core::DriverNotify;
use virtio_util::{EventFd, NotifyThread};

/// How many useless kicks can follow each other before the kick is looked at less often.
const USELESS: u32 = 64;

/// How often it is looked at then.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the main thread waits for a signal that another thread gives.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(100);

/// How long the end of a queue waits for the last notification, which a front end can hold up.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// How often somebody who waits looks whether a full eventfd is what holds up the other one.
pub(crate) const STEP: Duration = Duration::from_millis(2);

/// Takes over an eventfd, and refuses every other kind of file: a kick that is readable for ever keeps a thread busy.
///
/// It is put into non-blocking mode. A front end can put it back into blocking mode at any time.
pub(crate) fn event_fd(file: File) -> io::Result<Arc<EventFd>> {
    let kind = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if kind != Path::new("anon_inode:[eventfd]") {
        return Err(io::Error::other(format!("the file is {}, but must be an eventfd", kind.display())));
    }
    ioctl_fionbio(&file, true)?;
    Ok(Arc::new(OwnedFd::from(file).into()))
}

/// How a driver is notified of used buffers: the eventfd that its front end calls the call of a vring. A front end that
/// polls has none.
///
/// It is a handle: clones notify the same driver. The front end can name another eventfd at any time.
#[derive(Clone, Debug, Default)]
pub struct Call(Arc<Mutex<Signal>>);

/// The eventfd of a [`Call`].
#[derive(Debug, Default)]
struct Signal {
    event: Option<Arc<EventFd>>,
    /// Those that it was before, as long as somebody writes to them.
    earlier: Vec<Weak<EventFd>>,
    /// Whether signals are held back, and whether one is.
    held: bool,
    pending: bool,
}

impl Call {
    /// Signals another eventfd from now on, or none.
    pub(crate) fn replace(&self, event: Option<Arc<EventFd>>) {
        let mut signal = self.signal();
        signal.earlier.retain(|earlier| earlier.strong_count() > 0);
        let earlier = core::mem::replace(&mut signal.event, event);
        signal.earlier.extend(earlier.map(|event| Arc::downgrade(&event)));
    }

    /// Holds signals back until [`release`](Self::release): a thread that must not be held up makes a queue.
    pub(crate) fn hold(&self) {
        self.signal().held = true;
    }

    /// Passes on what was held back, on a thread that can be held up.
    pub(crate) fn release(&self) {
        if self.let_go() {
            self.notify();
        }
    }

    /// Holds nothing back any more, and returns whether something was. It is for the caller to pass that on.
    pub(crate) fn let_go(&self) -> bool {
        let mut signal = self.signal();
        signal.held = false;
        core::mem::take(&mut signal.pending)
    }

    /// Lets go whoever waits until there is room in a full eventfd, and returns whether there was one.
    ///
    /// There is no write to an eventfd that never blocks. But everybody who has it can read it. A reader that finds it
    /// full takes no signal away: the one that waits comes right after.
    pub(crate) fn make_room(&self) -> bool {
        let signal = self.signal();
        let earlier = signal.earlier.iter().filter_map(Weak::upgrade);
        let events: Vec<_> = signal.event.iter().cloned().chain(earlier).collect();
        drop(signal);
        let mut any = false;
        for event in events.iter().filter(|event| is_full(event)) {
            any = true;
            let _ = event.take();
        }
        any
    }

    /// Waits a little while until there is room.
    pub(crate) fn settle(&self) {
        for _ in 0..SIGNAL_PATIENCE.as_millis() / STEP.as_millis() {
            if !self.make_room() {
                return;
            }
            thread::sleep(STEP);
        }
    }

    /// Signals on another thread, and waits for it a little while.
    pub(crate) fn notify_apart(&self) {
        let (call, (done, is_done)) = (self.clone(), mpsc::channel::<()>());
        // Without a thread there is no signal.
        let _ = thread::Builder::new().name("signal".into()).spawn(move || {
            call.notify();
            drop(done);
        });
        for _ in 0..SIGNAL_PATIENCE.as_millis() / STEP.as_millis() {
            if is_done.recv_timeout(STEP) == Err(mpsc::RecvTimeoutError::Disconnected) {
                return;
            }
            self.make_room();
        }
    }

    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DriverNotify for Call {
    #[inline]
    fn notify(&self) {
        let mut signal = self.signal();
        signal.pending |= signal.held;
        let event = if signal.held { None } else { signal.event.clone() };
        // Nobody waits for the lock while the eventfd is full.
        drop(signal);
        if let Some(event) = event {
            event.notify();
        }
    }
}

/// How the driver of a queue is notified whose chains are out: under the lock of the queue, so that nobody must be held
/// up there.
#[derive(Debug)]
pub(crate) struct Later {
    call: Call,
    thread: NotifyThread,
    state: AtomicU8,
    writing: Weak<()>,
}

/// Waits at its drop until the other thread has ended, if the queue has. A full eventfd would keep that thread for ever
/// from what it still has to do. Drop it last.
#[derive(Debug)]
pub(crate) struct LastNotification {
    call: Call,
    writing: Weak<()>,
}

impl Drop for LastNotification {
    fn drop(&mut self) {
        let since = Instant::now();
        while self.writing.strong_count() > 0 && since.elapsed() < LAST_PATIENCE {
            self.call.make_room();
            thread::sleep(STEP);
        }
    }
}

/// What notifies on the other thread, which drops it at its end.
struct Writer {
    call: Call,
    _writing: Arc<()>,
}

impl DriverNotify for Writer {
    fn notify(&self) {
        self.call.notify();
    }
}

/// Another thread notifies.
const APART: u8 = 0;
/// Whoever holds notifications back notifies at its end, and need not yet.
const HELD: u8 = 1;
/// It does need to.
const DUE: u8 = 2;

impl Later {
    /// # Errors
    ///
    /// If there is no other thread.
    pub(crate) fn new(call: Call) -> io::Result<Self> {
        let alive = Arc::new(());
        let (writing, state) = (Arc::downgrade(&alive), AtomicU8::new(APART));
        let thread = NotifyThread::new(Writer { call: call.clone(), _writing: alive })?;
        Ok(Self { call, thread, state, writing })
    }

    pub(crate) fn last(&self) -> LastNotification {
        LastNotification { call: self.call.clone(), writing: Weak::clone(&self.writing) }
    }

    /// Holds notifications back during `work`, which ends without the lock, and then notifies once, if that is due. The
    /// caller can be held up.
    // PERF: a notification needs one system call, and not three, and no other thread has to wake up.
    pub(crate) fn after<T>(&self, work: impl FnOnce() -> T) -> T {
        let mine = self.state.compare_exchange(APART, HELD, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Another one notifies at its own end, or hands it to the thread.
        let _notify = mine.then(|| AtEnd(self));
        work()
    }
}

impl DriverNotify for Later {
    #[inline]
    fn notify(&self) {
        // Relaxed: what is published is ordered by the lock of the queue, and a notification by the system call.
        let held = self.state.compare_exchange(HELD, DUE, Ordering::Relaxed, Ordering::Relaxed);
        if held == Err(APART) {
            self.thread.notify();
        }
    }
}

/// Notifies at its drop, if that is due.
struct AtEnd<'l>(&'l Later);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(APART, Ordering::Relaxed) == DUE {
            self.0.call.notify();
        }
    }
}

/// Returns whether a write would have to wait.
fn is_full(event: &EventFd) -> bool {
    let mut events = [PollFd::new(event, PollFlags::OUT)];
    poll(&mut events, Some(&Timespec::default())).is_ok() && !events[0].revents().contains(PollFlags::OUT)
}

/// The eventfd by which a driver says that there is something to do.
///
/// A front end can let it be readable for ever, or nearly so: a semaphore with a large count. A kick that comes again
/// and again and is about nothing is looked at from time to time only.
#[derive(Debug)]
pub(crate) struct Kick {
    event: Arc<EventFd>,
    useless: u32,
    /// Until when it is not looked at.
    until: Option<Instant>,
}

impl Kick {
    pub(crate) fn new(event: Arc<EventFd>) -> Self {
        Self { event, useless: 0, until: None }
    }

    /// Goes by another eventfd, if it is another one.
    pub(crate) fn replace(&mut self, event: &Arc<EventFd>) {
        if !Arc::ptr_eq(&self.event, event) {
            *self = Self::new(Arc::clone(event));
        }
    }

    /// Takes it, if it was found readable.
    pub(crate) fn take(&mut self) {
        // It was seen to be an eventfd, which can be read.
        let _ = self.event.take();
        self.useless = self.useless.saturating_add(1);
        self.until = if self.useless > USELESS { Some(Instant::now() + PAUSE) } else { None };
    }

    /// Takes note that there was something to do.
    pub(crate) fn was_useful(&mut self) {
        (self.useless, self.until) = (0, None);
    }

    /// Returns whether it is not to be waited for now, because it comes all the time.
    pub(crate) fn is_useless(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of `events` is readable, all of which belong to this process or are kicks. It may also return for no
/// reason. `pause` bounds it, if a kick was left out.
pub(crate) fn wait(events: &mut [PollFd<'_>], pause: bool) {
    let bound = Timespec::try_from(PAUSE).ok().filter(|_| pause);
    let _ = poll(events, bound.as_ref());
}

/// Finds out which of `events` are readable, and does not wait.
pub(crate) fn look(events: &mut [PollFd<'_>]) {
    let _ = poll(events, Some(&Timespec::default()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fs::{OFlags, fcntl_getfl};

    use super::*;

    fn full(flags: EventfdFlags) -> Arc<EventFd> {
        let full = File::from(eventfd(0, flags).unwrap());
        rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        event_fd(full).unwrap()
    }

    fn call(event: Arc<EventFd>) -> Call {
        let call = Call::default();
        call.replace(Some(event));
        call
    }

    #[test]
    fn full_eventfd_in_blocking_mode_holds_nobody_up() {
        let full = full(EventfdFlags::empty());
        assert!(fcntl_getfl(&*full).unwrap().contains(OFlags::NONBLOCK));
        call(full).notify();
    }

    #[test]
    fn file_of_another_kind_is_refused() {
        assert!(event_fd(File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn thread_in_a_full_eventfd_is_let_go_whatever_its_flavour_and_after_it_was_replaced() {
        for (flags, replaced) in [
            (EventfdFlags::empty(), false),
            (EventfdFlags::empty(), true),
            (EventfdFlags::SEMAPHORE, false),
            (EventfdFlags::SEMAPHORE, true),
        ] {
            let full = full(flags);
            ioctl_fionbio(&*full, false).unwrap();
            let call = call(full);
            let (held_up, done) = (call.clone(), Arc::new(()));
            let alive = Arc::downgrade(&done);
            let thread = thread::spawn(move || {
                held_up.notify();
                drop(done);
            });
            if replaced {
                call.replace(None);
            }
            while alive.strong_count() > 0 {
                call.make_room();
                thread::yield_now();
            }
            thread.join().unwrap();
        }
    }

    #[test]
    fn eventfd_that_is_not_full_keeps_its_signals_when_room_is_made() {
        let event = event_fd(File::from(eventfd(7, EventfdFlags::empty()).unwrap())).unwrap();
        call(Arc::clone(&event)).make_room();
        assert_eq!(event.take().unwrap(), 7);
    }

    #[test]
    fn signal_that_is_held_back_comes_when_it_is_released() {
        let event = event_fd(File::from(eventfd(0, EventfdFlags::empty()).unwrap())).unwrap();
        let call = call(Arc::clone(&event));
        call.hold();
        call.notify();
        call.notify();
        assert_eq!(event.take().unwrap(), 0);
        call.release();
        assert_eq!(event.take().unwrap(), 1);
    }

    #[test]
    fn notifications_that_are_held_back_become_one_on_the_thread_that_holds_them() {
        let event = event_fd(File::from(eventfd(0, EventfdFlags::empty()).unwrap())).unwrap();
        let later = Later::new(call(Arc::clone(&event))).unwrap();
        later.after(|| {
            later.notify();
            // One inside of another leaves it to that.
            later.after(|| later.notify());
            assert_eq!(event.take().unwrap(), 0);
        });
        assert_eq!(event.take().unwrap(), 1);
        later.after(|| ());
        assert_eq!(event.take().unwrap(), 0);
    }

    /// A queue ends while the eventfd is full and in blocking mode, with notifications that nobody has waited for.
    #[test]
    fn full_eventfd_keeps_no_thread_when_its_queue_has_ended() {
        let event = full(EventfdFlags::empty());
        ioctl_fionbio(&*event, false).unwrap();
        let later = Later::new(call(event)).unwrap();
        let (last, writing) = (later.last(), Weak::clone(&later.writing));
        later.notify();
        drop(later);
        assert_eq!(writing.strong_count(), 1);
        drop(last);
        assert_eq!(writing.strong_count(), 0);
    }

    #[test]
    fn notification_that_is_not_held_back_comes_from_another_thread() {
        let event = event_fd(File::from(eventfd(0, EventfdFlags::empty()).unwrap())).unwrap();
        let later = Later::new(call(Arc::clone(&event))).unwrap();
        later.after(|| ());
        later.notify();
        wait(&mut [PollFd::new(&event, PollFlags::IN)], false);
        assert_eq!(event.take().unwrap(), 1);
    }

    #[test]
    fn kick_that_is_useless_again_and_again_is_left_out() {
        let event = event_fd(File::from(eventfd(1000, EventfdFlags::SEMAPHORE).unwrap())).unwrap();
        let mut kick = Kick::new(event);
        for _ in 0..USELESS {
            kick.take();
        }
        assert!(!kick.is_useless());
        kick.take();
        assert!(kick.is_useless());
        while kick.is_useless() {
            thread::yield_now();
        }
        kick.take();
        assert!(kick.is_useless());
        kick.was_useful();
        assert!(!kick.is_useless());
    }
}
