//! A place in a packed ring together with a wrap counter.

use core::fmt;

use super::QueueSize;

/// A descriptor's offset in the ring and the wrap counter that goes with it, as event suppression structures and
/// notifications of the driver hold them: the offset in bits 0 to 14, the wrap counter in bit 15.
///
/// VIRTIO 1.4 §2.8.14 "Event Suppression Structure Format". What the driver wrote may name a slot that does not exist.
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

    /// Returns the place at `offset`, of which the low 15 bits count.
    #[inline]
    #[must_use]
    pub const fn new(offset: u16, wrap: bool) -> Self {
        Self(offset & !Self::WRAP | if wrap { Self::WRAP } else { 0 })
    }

    /// Returns the place that the wire form stands for.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns the wire form.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns the offset, which may lie outside of the ring if the driver said it.
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

    /// Returns the place on a circle of two laps: those with the wrap counter set are the second one.
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
