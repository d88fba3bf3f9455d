//! The size of a split virtqueue.

use core::fmt;

use crate::queue_size_error::QueueSizeError;

/// The number of descriptors of a split virtqueue: a power of two from 1 to 32768.
///
/// VIRTIO 1.4 §2.7 "Split Virtqueues" (LAY-3).
///
/// ```
/// use virtio_ring::split::QueueSize;
///
/// assert_eq!(QueueSize::new(256)?.get(), 256);
/// assert!(QueueSize::new(0).is_err() && QueueSize::new(300).is_err());
/// # Ok::<_, virtio_ring::QueueSizeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSize(
    /// The largest slot. It is the mask that reduces an index to its slot. INVARIANT: a power of two, minus one.
    u16,
);

impl QueueSize {
    /// The largest size.
    pub const MAX: Self = Self((1 << 15) - 1);

    /// Returns `size` as a queue size.
    ///
    /// # Errors
    ///
    /// If `size` is not a power of two. A `u16` cannot hold a larger power of two than 32768.
    #[inline]
    pub const fn new(size: u16) -> Result<Self, QueueSizeError> {
        if size.is_power_of_two() { Ok(Self(size - 1)) } else { Err(QueueSizeError::Split { size }) }
    }

    /// Returns the size as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0 + 1
    }

    /// Returns the largest slot of a ring. It is also the mask of all bits that a slot can have.
    #[inline]
    #[must_use]
    pub const fn last_slot(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for QueueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueSize({})", self.get())
    }
}
