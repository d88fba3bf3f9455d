//! Free-running indices.

use core::fmt;

use super::queue_size::QueueSize;

/// An index into an available or used ring. It counts all entries ever made, modulo 2^16.
///
/// Two indices have no order. An index can be advanced, gives its distance from another index, and gives its slot in a
/// ring. VIRTIO 1.4 §2.7.6 "The Virtqueue Available Ring" (SPLIT-AVAIL-2).
///
/// ```
/// use virtio_ring::split::{QueueSize, RingIndex};
///
/// let last = RingIndex::new(0xffff);
/// let next = last.advanced(2);
/// assert_eq!(next, RingIndex::new(1));
/// assert_eq!(next.distance_from(last), 2);
/// assert_eq!(last.slot(QueueSize::new(256).unwrap()), 255);
/// assert_eq!(last.to_string(), "65535");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RingIndex(u16);

impl RingIndex {
    /// Returns the index for its number in memory.
    #[inline]
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Returns the number in memory.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the index `count` entries later.
    #[inline]
    #[must_use]
    pub const fn advanced(self, count: u16) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Returns the number of entries from `earlier` to this index.
    #[inline]
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u16 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Returns the slot of a ring of `size` entries, always less than `size`.
    #[inline]
    #[must_use]
    pub const fn slot(self, size: QueueSize) -> u16 {
        self.0 & size.last_slot()
    }
}

impl fmt::Display for RingIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
