//! The positions of driver and device in a packed ring.

use virtio_ring::packed::{RingPosition, UsedDescriptor};

/// The positions of a packed ring, as the device remembers them. The device never reads them back from memory.
#[derive(Clone, Copy, Debug)]
pub struct PackedPositions {
    /// The position of the descriptor to be fetched next. The driver's flags are compared with its wrap counter.
    pub(super) next_available: RingPosition,
    /// The position of the used descriptor to be written next. It never passes `next_available`.
    pub(super) next_used: RingPosition,
    /// The first used descriptor that is not published. It is not written to the ring yet.
    pub(super) unpublished: Option<(RingPosition, UsedDescriptor)>,
    /// The number of slots from `unpublished` to `next_used`. INVARIANT: together with the slots in flight, at most the
    /// ring's size.
    pub(super) unpublished_slots: u16,
    /// The number of slots that an earlier life of the queue fetched, and that were not adopted.
    pub(super) lost: u16,
    /// The notifications that the driver was last asked for.
    pub(super) wanted: Wanted,
}

/// The notifications that the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No notification.
    Nothing,
    /// A notification for every descriptor. Used without EVENT_IDX.
    Everything,
    /// A notification for the descriptor at this position. Used with EVENT_IDX.
    Descriptor(RingPosition),
}
