//! A place in a packed ring, with a wrap counter.

use core::fmt;

use super::queue_size::QueueSize;

/// The offset of a descriptor in the ring, with the wrap counter at that offset.
///
/// Event suppression structures and notifications of the driver have this form. The offset is in bits 0 to 14. The wrap
/// counter is in bit 15.
///
/// A driver can write the offset of a slot that does not exist. VIRTIO 1.4 §2.8.14 "Event Suppression Structure
/// Format".
///
/// ```
/// use virtio_ring::packed::OffWrap;
///
/// let place = OffWrap::from_bits(0x8005);
/// assert_eq!((place.offset(), place.wrap()), (5, true));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffWrap(u16);

impl OffWrap {
    const WRAP: u16 = 1 << 15;

    /// Returns the place at the low 15 bits of `offset`.
    #[inline]
    #[must_use]
    pub const fn new(offset: u16, wrap: bool) -> Self {
        Self(offset & !Self::WRAP | if wrap { Self::WRAP } else { 0 })
    }

    /// Returns the place for its number in memory.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the number in memory.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the offset, which can lie outside the ring if the driver supplied it.
    #[inline]
    #[must_use]
    pub const fn offset(self) -> u16 {
        self.0 & !Self::WRAP
    }

    /// Returns the wrap counter.
    #[inline]
    #[must_use]
    pub const fn wrap(self) -> bool {
        self.0 & Self::WRAP != 0
    }

    /// Returns the place on a circle of two laps. Places with the wrap counter set are in the second lap.
    #[inline]
    #[must_use]
    pub(crate) const fn linear(self, size: QueueSize) -> u32 {
        self.offset() as u32 + if self.wrap() { size.get() as u32 } else { 0 }
    }
}

impl fmt::Debug for OffWrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffWrap({}, {})", self.offset(), self.wrap())
    }
}
