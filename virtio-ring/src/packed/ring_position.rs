//! Positions in a packed ring.

use super::{OffWrap, QueueSize};

/// A place in a packed ring of a given size, with the wrap counter that goes with it there.
///
/// Unlike an [`OffWrap`] it was proved once: the slot exists. From then on it only ever advances, in rings of that
/// size. VIRTIO 1.4 §2.8.1 "Driver and Device Ring Wrap Counters" (PACK-WRAP-1, PACK-WRAP-4).
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
    /// Where both sides begin: the first slot, with the wrap counter set.
    pub const START: Self = Self(OffWrap::new(0, true));

    /// Returns the place that `place` names, if a ring of `size` has it.
    #[inline]
    #[must_use]
    pub const fn from_off_wrap(place: OffWrap, size: QueueSize) -> Option<Self> {
        if place.offset() < size.get() { Some(Self(place)) } else { None }
    }

    /// Returns the place as event suppression structures hold it.
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

    /// Returns the place `count` slots further on, in a ring of `size`. The wrap counter changes whenever the last slot
    /// is passed, by a list that is as long as the ring as well.
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
    #[expect(clippy::cast_possible_truncation, reason = "what is left of a division by the size fits like the size")]
    const fn wrapped(self, ahead: u32, size: u32) -> Self {
        Self(OffWrap::new((ahead % size) as u16, self.wrap() == (ahead / size % 2 == 0)))
    }
}
