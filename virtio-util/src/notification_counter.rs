//! Notifications, counted.

use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_queue_core::DriverNotify;

/// A notifier that counts, and signals nobody.
///
/// It is for tests: lend it to a queue, or share it in an `Arc` (feature `alloc`), and ask how often the driver would
/// have been signalled.
///
/// # When not to use it
///
/// In a device: the driver hears nothing. To count what a driver is sent, implement
/// [`DriverNotify`] for a type of your own that counts and then signals.
///
/// # Examples
///
/// ```
/// use virtio_queue_core::DriverNotify;
/// use virtio_util::NotificationCounter;
///
/// let counter = NotificationCounter::new();
/// (&counter).notify(); // as a queue does that was made with `&counter`
/// assert_eq!(counter.count(), 1);
/// assert_eq!(counter.take(), 1);
/// assert_eq!(counter.count(), 0);
/// ```
#[derive(Debug, Default)]
pub struct NotificationCounter(AtomicUsize);

impl NotificationCounter {
    /// Begins at zero.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Returns how many notifications there have been since the beginning or the last [`take`](Self::take).
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        // Acquire, as for any signal: who sees it also sees what it is about. It pairs with the addition in `notify`.
        self.0.load(Ordering::Acquire)
    }

    /// Returns how many notifications there have been, and begins at zero again.
    #[inline]
    pub fn take(&self) -> usize {
        // Acquire, as in `count`.
        self.0.swap(0, Ordering::Acquire)
    }
}

impl DriverNotify for NotificationCounter {
    #[inline]
    fn notify(&self) {
        // Release: the chains that it is about were published before.
        self.0.fetch_add(1, Ordering::Release);
    }
}
