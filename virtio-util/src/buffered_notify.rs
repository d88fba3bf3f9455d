//! Merges many notifications into one.

use core::sync::atomic::{AtomicBool, Ordering};

use virtio_queue_core::DriverNotify;

/// A notifier that holds back notifications. A flush or a drop passes on at most one notification for all of them.
///
/// Use it if your device returns chains one by one and knows when a round of work is over. The queues can share one
/// interrupt. Lend the notifier to the queues, and call [`flush`](Self::flush) at the end of each round. Any thread can
/// notify and flush.
///
/// # When not to use it
///
/// If a [`Burst`](virtio_queue_core::Burst) is enough: a burst also publishes the chains together, and checks once for
/// all of them whether the driver wants a notification. You must flush before every sleep. Otherwise the driver can
/// wait forever for a notification that was held back.
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
///     buffered.notify(); // a queue with the notifier `&buffered` does the same
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
    /// Creates a notifier that holds back the notifications for `notify`.
    #[inline]
    pub const fn new(notify: N) -> Self {
        Self { notify, pending: AtomicBool::new(false) }
    }

    /// Passes on one notification if there was any since the last flush.
    #[inline]
    pub fn flush(&self) {
        // The flag is cleared first: the next flush passes on a notification that comes meanwhile. Acquire, so that
        // this thread sees what the notifying threads published. It pairs with the swap in `notify`.
        if self.pending.swap(false, Ordering::Acquire) {
            self.notify.notify();
        }
    }
}

/// Holds back each notification until the next flush.
impl<N: DriverNotify> DriverNotify for BufferedNotify<N> {
    #[inline]
    fn notify(&self) {
        // Release, so that the chains are visible before the driver is notified. It pairs with the swap in `flush`. A
        // store would end the release sequence of the threads that set the flag earlier. A swap continues it.
        self.pending.swap(true, Ordering::Release);
    }
}

/// Flushes the notifier.
impl<N: DriverNotify> Drop for BufferedNotify<N> {
    #[inline]
    fn drop(&mut self) {
        self.flush();
    }
}
