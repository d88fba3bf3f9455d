//! The size of a split virtqueue.

use core::fmt;

use crate::QueueSizeError;

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
    /// The largest slot, by which an index is reduced to its slot. INVARIANT: a power of two, less one.
    u16,
);

impl QueueSize {
    /// The largest size.
    pub const MAX: Self = Self((1 << 15) - 1);

    /// Returns `size` as a queue size.
    ///
    /// # Errors
    ///
    /// If it is not a power of two. What `u16` holds beyond 32768 is none.
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

    /// Returns the largest slot of a ring, of which all bits are set that a slot may have.
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
