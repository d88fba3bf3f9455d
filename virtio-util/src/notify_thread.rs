//! Notifications on a thread of their own.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use std::io;
use std::thread::{self, Thread};

use virtio_queue_core::DriverNotify;

/// A notifier that lets another one notify on a thread of its own, so that nobody waits for that.
///
/// It is for notifiers that can be held up by somebody who is not trusted, such as an [`EventFd`](crate::EventFd) that
/// a front end shares: see there. Notifying never blocks. While the thread is held up, notifications gather into one.
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
/// let notify = NotifyThread::new(Arc::clone(&interrupt))?;
/// notify.notify(); // as a queue does that was made with `notify`
/// while interrupt.count() == 0 {
///     std::thread::yield_now();
/// }
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct NotifyThread {
    shared: Arc<AtomicU8>,
    thread: Thread,
}

/// There is nothing to do.
const NOTHING: u8 = 0;
/// The driver is to be notified.
const NOTIFY: u8 = 1;
/// The thread is to end, once it has notified for the last time.
const END: u8 = 2;

impl NotifyThread {
    /// Starts the thread on which `notify` is called.
    ///
    /// # Errors
    ///
    /// If the system has no thread left to give.
    pub fn new(notify: impl DriverNotify + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(AtomicU8::new(NOTHING));
        let work = {
            let shared = Arc::clone(&shared);
            move || run(&shared, &notify)
        };
        let handle = thread::Builder::new().name("virtio-notify".into()).spawn(work)?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    fn tell(&self, what: u8) {
        // Release, so that what was published is visible before the driver is told; it pairs with the swap in `run`.
        if self.shared.fetch_or(what, Ordering::Release) & what == 0 {
            self.thread.unpark();
        }
    }
}

/// Notifies whenever it is told to, until the end.
fn run(shared: &AtomicU8, notify: &impl DriverNotify) {
    loop {
        // It is cleared first: what is told meanwhile is done next time. Acquire pairs with the release in `tell`.
        let told = shared.swap(NOTHING, Ordering::Acquire);
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

/// Lets the thread end, and does not wait for that: it may be held up.
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
