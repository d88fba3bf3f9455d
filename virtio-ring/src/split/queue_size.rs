//! The size of a split virtqueue.

use crate::QueueSizeError;

/// The number of descriptors of a split virtqueue: a power of two from 1 to 32768.
///
/// VIRTIO 1.4 §2.7 "Split Virtqueues" (LAY-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueSize(
    /// INVARIANT: a power of two.
    u16,
);

impl QueueSize {
    /// The largest size.
    pub const MAX: Self = Self(1 << 15);

    /// Returns `size` as a queue size.
    ///
    /// # Errors
    ///
    /// If it is not a power of two.
    #[inline]
    pub const fn new(size: u16) -> Result<Self, QueueSizeError> {
        if size.is_power_of_two() { Ok(Self(size)) } else { Err(QueueSizeError { size }) }
    }

    /// Returns the size as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}
