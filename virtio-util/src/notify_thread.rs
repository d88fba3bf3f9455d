//! Notifications on a thread of their own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use virtio_queue_core::DriverNotify;

/// A notifier that lets another one notify on a thread of its own, so that nobody waits for that.
///
/// It is for notifiers that can be held up by somebody who is not trusted, such as an [`EventFd`](crate::EventFd) that
/// a front end shares: see there. Notifying never blocks. While the thread is held up, notifications gather into one.
///
/// # One for each queue, for as long as the device exists
///
/// A thread that is held up cannot be stopped. If it outlives its owner, it stays until the other side lets it go. A
/// device that makes a `NotifyThread` for each connection can so be made to leave a thread behind at each of them, by a
/// front end that connects again and again.
///
/// So make one for each queue of the device, keep it in an [`Arc`], and [replace](Self::replace) the notifier in it
/// when a front end connects. Then there is one thread for each queue, whatever the front ends do. A front end that has
/// held the thread up is not notified after it has connected again either, until it lets the thread go.
///
/// # When not to use it
///
/// Where the other notifier does not block, or where the one who can hold it up harms nobody else by that: each
/// notification costs a change from one thread to another.
///
/// # Examples
///
/// ```
/// use virtio_queue_core::DriverNotify;
/// use virtio_util::{NotificationCounter, NotifyThread};
/// # use std::sync::Arc;
///
/// let interrupt = Arc::new(NotificationCounter::new());
/// let notify = Arc::new(NotifyThread::new(Arc::clone(&interrupt))?);
/// notify.notify(); // as a queue does that was made with `Arc::clone(&notify)`
/// while interrupt.count() == 0 {
///     std::thread::yield_now();
/// }
///
/// // Another front end connects, and brings an interrupt of its own:
/// let another = Arc::new(NotificationCounter::new());
/// notify.replace(Arc::clone(&another));
/// notify.notify();
/// while another.count() == 0 {
///     std::thread::yield_now();
/// }
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct NotifyThread {
    shared: Arc<Shared>,
    thread: Thread,
}

/// What the thread and its owner have in common.
struct Shared {
    /// What there is to do.
    told: AtomicU8,
    /// The notifier that comes next. It is locked for as long as it takes to move it.
    next: Mutex<Option<Box<dyn DriverNotify + Send>>>,
}

/// There is nothing to do.
const NOTHING: u8 = 0;
/// The driver is to be notified.
const NOTIFY: u8 = 1;
/// The thread is to end, once it has notified for the last time.
const END: u8 = 2;
/// There is another notifier.
const REPLACE: u8 = 4;

impl NotifyThread {
    /// Starts the thread on which `notify` is called.
    ///
    /// # Errors
    ///
    /// If the system has no thread left to give.
    pub fn new(notify: impl DriverNotify + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { told: AtomicU8::new(NOTHING), next: Mutex::new(None) });
        let work = {
            let shared = Arc::clone(&shared);
            move || run(&shared, Box::new(notify))
        };
        let handle = thread::Builder::new().name("virtio-notify".into()).spawn(work)?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Puts `notify` in the place of the notifier, which is dropped as soon as it is not held up.
    ///
    /// It does not wait for that. Whatever is told after this goes to `notify`; what was told before and is still to be
    /// passed on can go there as well.
    pub fn replace(&self, notify: impl DriverNotify + Send + 'static) {
        let never_used = self.shared.next().replace(Box::new(notify));
        self.tell(REPLACE);
        drop(never_used);
    }

    fn tell(&self, what: u8) {
        // Release, so that what was published is visible before the driver is told; it pairs with the swap in `run`.
        if self.shared.told.fetch_or(what, Ordering::Release) & what == 0 {
            self.thread.unpark();
        }
    }
}

impl Shared {
    /// Locks the notifier that comes next. Nothing panics while it is locked.
    fn next(&self) -> MutexGuard<'_, Option<Box<dyn DriverNotify + Send>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notifies whenever it is told to, until the end.
fn run(shared: &Shared, mut notify: Box<dyn DriverNotify + Send>) {
    loop {
        // It is cleared first: what is told meanwhile is done next time. Acquire pairs with the release in `tell`.
        let told = shared.told.swap(NOTHING, Ordering::Acquire);
        if told & REPLACE != 0 {
            // The one that was there is dropped when the lock is free again.
            let next = shared.next().take();
            notify = next.unwrap_or(notify);
        }
        if told & NOTIFY != 0 {
            notify.notify();
        }
        if told & END != 0 {
            return;
        }
        if told == NOTHING {
            thread::park();
        }
    }
}

impl DriverNotify for NotifyThread {
    #[inline]
    fn notify(&self) {
        self.tell(NOTIFY);
    }
}

/// Lets the thread end, and does not wait for that. A thread that is held up ends when it is let go.
impl Drop for NotifyThread {
    fn drop(&mut self) {
        self.tell(END);
    }
}

impl fmt::Debug for NotifyThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyThread").field("thread", &self.thread).finish_non_exhaustive()
    }
}
