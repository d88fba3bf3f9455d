//! The size of a packed virtqueue.

use crate::queue_size_error::QueueSizeError;

/// The number of descriptors of a packed ring, from 1 to 32768. It does not need to be a power of two.
///
/// VIRTIO 1.4 §2.8 "Packed Virtqueues" (LAY-8).
///
/// ```
/// use virtio_ring::packed::QueueSize;
///
/// assert_eq!(QueueSize::new(300)?.get(), 300);
/// assert!(QueueSize::new(0).is_err() && QueueSize::new(32769).is_err());
/// # Ok::<_, virtio_ring::QueueSizeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSize(
    /// INVARIANT: in `1..=MAX`.
    u16,
);

impl QueueSize {
    /// The largest size.
    pub const MAX: Self = Self(1 << 15);

    /// Returns `size` as a queue size.
    ///
    /// # Errors
    ///
    /// If `size` is 0 or more than 32768.
    #[inline]
    pub const fn new(size: u16) -> Result<Self, QueueSizeError> {
        if size == 0 || size > Self::MAX.0 { Err(QueueSizeError::Packed { size }) } else { Ok(Self(size)) }
    }

    /// Returns the size as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}
