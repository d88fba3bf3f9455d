//! Many notifications in one.

use core::sync::atomic::{AtomicBool, Ordering};

use virtio_queue_core::DriverNotify;

/// A notifier that holds notifications back, and passes on at most one for all of them when it is flushed or dropped.
///
/// It is for devices whose chains come back one by one, perhaps in several queues with one interrupt, while they know
/// when a round of work is over. Lend it to the queues and [`flush`](Self::flush) at the end of each round. Any thread
/// may notify and flush.
///
/// # When not to use it
///
/// Where a [`Burst`](virtio_queue_core::Burst) does: that also publishes the chains together, and asks the driver once
/// rather than for each of them whether it wants to know. And never without a flush in every path that goes to sleep: a
/// driver that waits for a notification that is held back waits for ever.
///
/// # Examples
///
/// ```
/// use virtio_queue_core::DriverNotify;
/// use virtio_util::{BufferedNotify, NotificationCounter};
///
/// let interrupt = NotificationCounter::new();
/// let buffered = BufferedNotify::new(&interrupt);
/// for _ in 0..3 {
///     buffered.notify(); // as a queue does that was made with `&buffered`
/// }
/// assert_eq!(interrupt.count(), 0);
/// buffered.flush();
/// assert_eq!(interrupt.count(), 1);
/// ```
#[derive(Debug)]
pub struct BufferedNotify<N: DriverNotify> {
    notify: N,
    /// Whether a notification is held back.
    pending: AtomicBool,
}

impl<N: DriverNotify> BufferedNotify<N> {
    /// Begins to hold back what is meant for `notify`.
    #[inline]
    pub const fn new(notify: N) -> Self {
        Self { notify, pending: AtomicBool::new(false) }
    }

    /// Passes on a notification, if there has been any since the last time.
    #[inline]
    pub fn flush(&self) {
        // The flag is cleared first: a notification that comes meanwhile is passed on next time rather than forgotten.
        // Acquire, for what the notifying threads have published; it pairs with the swap in `notify`.
        if self.pending.swap(false, Ordering::Acquire) {
            self.notify.notify();
        }
    }
}

/// Held back until the next flush.
impl<N: DriverNotify> DriverNotify for BufferedNotify<N> {
    #[inline]
    fn notify(&self) {
        // Release, so that what was published is visible before the driver is told; it pairs with the swap in `flush`.
        // A store would cut off what other threads released by setting the same flag earlier, a swap goes on with it.
        self.pending.swap(true, Ordering::Release);
    }
}

/// Flushes.
impl<N: DriverNotify> Drop for BufferedNotify<N> {
    #[inline]
    fn drop(&mut self) {
        self.flush();
    }
}
