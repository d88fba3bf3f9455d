//! Counts notifications.

use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_queue_core::DriverNotify;

/// A notifier that counts notifications and sends no signal.
///
/// Use it in tests. Lend it to a queue, or share it in an `Arc` (feature `alloc`). Then read how many signals the
/// driver would have received.
///
/// # When not to use it
///
/// In a device: the driver would get no signal. To count the signals of a device, implement [`DriverNotify`] for your
/// own type that counts and then signals.
///
/// # Examples
///
/// ```
/// use virtio_queue_core::DriverNotify;
/// use virtio_util::NotificationCounter;
///
/// let counter = NotificationCounter::new();
/// (&counter).notify(); // a queue with the notifier `&counter` does the same
/// assert_eq!(counter.count(), 1);
/// assert_eq!(counter.take(), 1);
/// assert_eq!(counter.count(), 0);
/// ```
#[derive(Debug, Default)]
pub struct NotificationCounter(AtomicUsize);

impl NotificationCounter {
    /// Creates a counter that begins at zero.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Returns the number of notifications since the creation or the last [`take`](Self::take).
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        // Acquire, as for any signal: a reader that sees the count also sees the chains. It pairs with the addition in
        // `notify`.
        self.0.load(Ordering::Acquire)
    }

    /// Returns the number of notifications, and resets the counter to zero.
    #[inline]
    pub fn take(&self) -> usize {
        // Acquire, as in `count`.
        self.0.swap(0, Ordering::Acquire)
    }
}

impl DriverNotify for NotificationCounter {
    #[inline]
    fn notify(&self) {
        // Release: the chains were published before the notification.
        self.0.fetch_add(1, Ordering::Release);
    }
}
