//! Where both sides of a split ring are.

use virtio_ring::split::RingIndex;

/// The positions of a split ring, as the device remembers them. Nothing of it is ever read back from memory.
#[derive(Clone, Copy, Debug)]
pub struct SplitPositions {
    /// The available entry to be fetched next.
    pub(super) next_available: RingIndex,
    /// The driver's available index when it was last read: entries before it can be fetched without looking again.
    pub(super) known_available: RingIndex,
    /// The used element to be written next.
    pub(super) next_used: RingIndex,
    /// The used index as it was published last. INVARIANT: `next_available` and what is known to be available are at
    /// most the ring's size ahead of it.
    pub(super) published: RingIndex,
    /// How many buffers an earlier life of the queue has fetched that nobody here knows.
    pub(super) lost: u16,
    /// What the driver was last asked for.
    pub(super) wanted: Wanted,
}

/// Which notifications the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// None.
    Nothing,
    /// One for every entry (without EVENT_IDX).
    Everything,
    /// One for the entry at this index (with EVENT_IDX).
    Entry(RingIndex),
}
