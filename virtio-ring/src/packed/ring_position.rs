//! Positions in a packed ring.

use super::{OffWrap, QueueSize};

/// A place in a packed ring of a given size, with the wrap counter that goes with it there.
///
/// Unlike an [`OffWrap`] it is proved: the slot exists. It only ever advances. VIRTIO 1.4 §2.8.1 "Driver and Device Ring
/// Wrap Counters" (PACK-WRAP-1, PACK-WRAP-4).
///
/// ```
/// use virtio_ring::packed::{QueueSize, RingPosition};
///
/// let start = RingPosition::start(QueueSize::new(3)?);
/// assert_eq!((start.slot(), start.wrap()), (0, true));
/// let next = start.advanced(4);
/// assert_eq!((next.slot(), next.wrap()), (1, false));
/// # Ok::<_, virtio_ring::QueueSizeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition {
    /// INVARIANT: less than `size`.
    slot: u16,
    wrap: bool,
    size: QueueSize,
}

impl RingPosition {
    /// Returns where both sides begin: the first slot, with the wrap counter set.
    #[inline]
    #[must_use]
    pub const fn start(size: QueueSize) -> Self {
        Self { slot: 0, wrap: true, size }
    }

    /// Returns the place that `place` names, if the ring has it.
    #[inline]
    #[must_use]
    pub const fn from_off_wrap(place: OffWrap, size: QueueSize) -> Option<Self> {
        let slot = place.offset();
        if slot < size.get() { Some(Self { slot, wrap: place.wrap(), size }) } else { None }
    }

    /// Returns the place as event suppression structures hold it.
    #[inline]
    #[must_use]
    pub const fn off_wrap(self) -> OffWrap {
        OffWrap::new(self.slot, self.wrap)
    }

    /// Returns the slot, always less than the queue size.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u16 {
        self.slot
    }

    /// Returns the wrap counter.
    #[inline]
    #[must_use]
    pub const fn wrap(self) -> bool {
        self.wrap
    }

    /// Returns the place `count` slots further on. The wrap counter changes whenever the last slot is passed, by a list that is
    /// as long as the ring as well.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "what is left of a division by the size fits like the size")]
    pub const fn advanced(self, count: u16) -> Self {
        let size = self.size.get() as u32;
        let ahead = self.slot as u32 + count as u32;
        if ahead < size {
            Self { slot: ahead as u16, ..self }
        } else {
            Self { slot: (ahead % size) as u16, wrap: self.wrap == (ahead / size % 2 == 0), ..self }
        }
    }
}
