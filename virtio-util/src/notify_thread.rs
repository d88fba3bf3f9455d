//! Notifies on a separate thread.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use virtio_queue_core::DriverNotify;

/// A notifier that calls another notifier on a separate thread, so that the device never waits for it.
///
/// Use it for a notifier that an untrusted process can block, such as an [`EventFd`](crate::EventFd) that a front end
/// shares. A call to `notify` never blocks. While the thread is blocked, notifications merge into one.
///
/// # Make one for each queue, for the life of the device
///
/// Nothing can stop a blocked thread. A blocked thread outlives its owner until the other side unblocks it. Do not make
/// a `NotifyThread` for each connection: a hostile front end that connects again and again could then leave one blocked
/// thread for each connection.
///
/// Make one for each queue of the device, and keep it in an [`Arc`]. When a front end connects,
/// [replace](Self::replace) the notifier. Then there is one thread for each queue, whatever the front ends do. While a
/// thread is blocked, no front end gets notifications through it, even after a new connection.
///
/// # When not to use it
///
/// If the other notifier does not block, or if a process that blocks it harms only itself. Each notification costs a
/// switch to another thread.
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
/// notify.notify(); // a queue with the notifier `Arc::clone(&notify)` does the same
/// while interrupt.count() == 0 {
///     std::thread::yield_now();
/// }
///
/// // Another front end connects, with its own interrupt:
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

/// The state that the thread and its owner share.
struct Shared {
    /// The next task of the thread: one of the constants below.
    told: AtomicU8,
    /// The next notifier. It is locked only while it is moved.
    next: Mutex<Option<Box<dyn DriverNotify + Send>>>,
}

/// The thread has no task.
const NOTHING: u8 = 0;
/// The thread must notify the driver.
const NOTIFY: u8 = 1;
/// The thread must notify once more, and then end.
const END: u8 = 2;
/// The thread must take the next notifier.
const REPLACE: u8 = 4;

impl NotifyThread {
    /// Starts a thread that calls `notify`.
    ///
    /// # Errors
    ///
    /// If the system cannot create another thread.
    pub fn new(notify: impl DriverNotify + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { told: AtomicU8::new(NOTHING), next: Mutex::new(None) });
        let work = {
            let shared = Arc::clone(&shared);
            move || run(&shared, Box::new(notify))
        };
        let handle = thread::Builder::new().name("virtio-notify".into()).spawn(work)?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Replaces the notifier with `notify`. The old notifier is dropped when it is no longer blocked.
    ///
    /// This call does not wait for the drop. All later notifications go to `notify`. Pending earlier notifications can
    /// go to `notify` as well.
    pub fn replace(&self, notify: impl DriverNotify + Send + 'static) {
        let never_used = self.shared.next().replace(Box::new(notify));
        self.tell(REPLACE);
        drop(never_used);
    }

    fn tell(&self, what: u8) {
        // Release, so that the chains are visible before the driver is notified. It pairs with the swap in `run`.
        if self.shared.told.fetch_or(what, Ordering::Release) & what == 0 {
            self.thread.unpark();
        }
    }
}

impl Shared {
    /// Locks the next notifier. Nothing panics while it is locked.
    fn next(&self) -> MutexGuard<'_, Option<Box<dyn DriverNotify + Send>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notifies on each request, until the owner ends the thread.
fn run(shared: &Shared, mut notify: Box<dyn DriverNotify + Send>) {
    loop {
        // The task is cleared first: the next round handles a request that comes meanwhile. Acquire pairs with the
        // release in `tell`.
        let told = shared.told.swap(NOTHING, Ordering::Acquire);
        if told & REPLACE != 0 {
            // The old notifier is dropped after the unlock.
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

/// Tells the thread to end, and does not wait for it. A blocked thread ends when it is unblocked.
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
