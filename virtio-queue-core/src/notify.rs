//! Notifications in both directions.

/// Signals the driver that buffers were used: an interrupt, an eventfd, a hypercall.
///
/// ```
/// use virtio_queue_core::DriverNotify;
///
/// struct Interrupt(u32);
///
/// impl DriverNotify for Interrupt {
///     fn notify(&self) {
///         // Inject interrupt number `self.0`.
///     }
/// }
/// ```
///
/// A queue calls `notify` after it has published buffers, and only if the driver wants a notification. To send one
/// notification for several chains, use a [burst](crate::Queue::burst), or `BufferedNotify` of the crate virtio-util.
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

/// Tells whether a device that asked for notifications can wait for one.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// use virtio_queue_core::Armed;
///
/// assert_eq!(queue.enable_notifications()?, Armed::Waiting);
/// driver.add(&DriverChain::new().writable(1)).unwrap();
/// // A device that would wait now would wait for ever.
/// assert_eq!(queue.enable_notifications()?, Armed::MoreAvailable);
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "if chains are available already, the driver does not have to notify: fetch them before waiting"]
pub enum Armed {
    /// No chain is available. The driver will notify of the next one.
    Waiting,
    /// Chains are available already, and the driver does not have to notify of them. Fetch them before waiting.
    MoreAvailable,
}
