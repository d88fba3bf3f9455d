//! Where both sides of a packed ring are.

use virtio_ring::packed::{RingPosition, UsedDescriptor};

/// The positions of a packed ring, as the device remembers them. Nothing of it is ever read back from memory.
#[derive(Clone, Copy, Debug)]
pub struct PackedPositions {
    /// Where the descriptor to be fetched next is. The wrap counter is what the driver's flags are compared with.
    pub(super) next_available: RingPosition,
    /// Where the used descriptor to be written next goes. It never passes the other.
    pub(super) next_used: RingPosition,
    /// The first of the used descriptors that are not published: it has not been written.
    pub(super) unpublished: Option<(RingPosition, UsedDescriptor)>,
    /// How many slots lie between that and `next_used`. INVARIANT: with those in flight, at most the ring's size.
    pub(super) unpublished_slots: u16,
    /// How many slots an earlier life of the queue has fetched that nobody here knows.
    pub(super) lost: u16,
    /// What the driver was last asked for.
    pub(super) wanted: Wanted,
}

/// Which notifications the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// None.
    Nothing,
    /// One for every descriptor (without EVENT_IDX).
    Everything,
    /// One for the descriptor at this place (with EVENT_IDX).
    Descriptor(RingPosition),
}
