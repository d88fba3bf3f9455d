//! Positions in a packed ring.

use super::off_wrap::OffWrap;
use super::queue_size::QueueSize;

/// A slot of a packed ring of a given size, with the wrap counter at that slot.
///
/// The slot of a `RingPosition` exists in the ring. The slot of an [`OffWrap`] is not checked. A position only
/// advances, and only in rings of the same size. VIRTIO 1.4 §2.8.1 "Driver and Device Ring Wrap Counters" (PACK-WRAP-1,
/// PACK-WRAP-4).
///
/// ```
/// use virtio_ring::packed::{QueueSize, RingPosition};
///
/// let size = QueueSize::new(3)?;
/// let start = RingPosition::START;
/// assert_eq!((start.slot(), start.wrap()), (0, true));
/// let next = start.advanced(4, size);
/// assert_eq!((next.slot(), next.wrap()), (1, false));
/// # Ok::<_, virtio_ring::QueueSizeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition(OffWrap);

impl RingPosition {
    /// The position where both sides begin: the first slot, with the wrap counter set.
    pub const START: Self = Self(OffWrap::new(0, true));

    /// Returns the position at `place`, or `None` if a ring of `size` has no such slot.
    #[inline]
    #[must_use]
    pub const fn from_off_wrap(place: OffWrap, size: QueueSize) -> Option<Self> {
        if place.offset() < size.get() { Some(Self(place)) } else { None }
    }

    /// Returns the position in the form of event suppression structures.
    #[inline]
    #[must_use]
    pub const fn off_wrap(self) -> OffWrap {
        self.0
    }

    /// Returns the slot.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u16 {
        self.0.offset()
    }

    /// Returns the wrap counter.
    #[inline]
    #[must_use]
    pub const fn wrap(self) -> bool {
        self.0.wrap()
    }

    /// Returns the position `count` slots later, in a ring of `size`.
    ///
    /// The wrap counter flips each time the end of the ring is passed. A list that is as long as the ring passes the
    /// end too.
    #[inline]
    #[must_use]
    pub const fn advanced(self, count: u16, size: QueueSize) -> Self {
        let ahead = self.slot() as u32 + count as u32;
        if ahead < size.get() as u32 {
            return Self(OffWrap::from_bits(self.0.bits() + count));
        }
        self.wrapped(ahead, size.get() as u32)
    }

    #[cold]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder is less than the size, which has 16 bits")]
    const fn wrapped(self, ahead: u32, size: u32) -> Self {
        Self(OffWrap::new((ahead % size) as u16, self.wrap() == (ahead / size % 2 == 0)))
    }
}
