//! The positions of driver and device in a split ring.

use virtio_ring::split::RingIndex;

/// The positions of a split ring, as the device remembers them. The device never reads them back from memory.
#[derive(Clone, Copy, Debug)]
pub struct SplitPositions {
    /// The index of the available entry to be fetched next.
    pub(super) next_available: RingIndex,
    /// The driver's available index, as it was last read. Entries before it can be fetched without another read.
    pub(super) known_available: RingIndex,
    /// The index of the used element to be written next.
    pub(super) next_used: RingIndex,
    /// The used index that was published last. INVARIANT: `next_available` and the known available index are at most
    /// the ring's size ahead of it.
    pub(super) published: RingIndex,
    /// The number of buffers that an earlier life of the queue fetched, and that were not adopted.
    pub(super) lost: u16,
    /// The notifications that the driver was last asked for.
    pub(super) wanted: Wanted,
}

/// The notifications that the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No notification.
    Nothing,
    /// A notification for every entry. Used without EVENT_IDX.
    Everything,
    /// A notification for the entry at this index. Used with EVENT_IDX.
    Entry(RingIndex),
}
