//! Notifications, in both directions.

/// Signals the driver that buffers were used: an interrupt, an eventfd, a hypercall.
///
/// A queue calls it after it has published, and only if the driver wants to know. To put several notifications into one,
/// use a [burst](crate::Queue::burst), or `BufferedNotify` of the crate virtio-util.
pub trait DriverNotify {
    /// Signals the driver.
    fn notify(&self);
}

impl<N: DriverNotify + ?Sized> DriverNotify for &N {
    #[inline]
    fn notify(&self) {
        (**self).notify();
    }
}

#[cfg(feature = "alloc")]
impl<N: DriverNotify + ?Sized> DriverNotify for alloc::rc::Rc<N> {
    #[inline]
    fn notify(&self) {
        (**self).notify();
    }
}

#[cfg(feature = "alloc")]
impl<N: DriverNotify + ?Sized> DriverNotify for alloc::sync::Arc<N> {
    #[inline]
    fn notify(&self) {
        (**self).notify();
    }
}

/// What a device finds when it asks the driver for notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "if more is available already, the driver may not notify: fetch it before waiting"]
pub enum Armed {
    /// Nothing is available. The driver will notify when something is.
    Waiting,
    /// Something is available already, and the driver may not notify of it.
    MoreAvailable,
}
