//! Event arithmetic: decides whether an event has happened that the other side waits for.
//!
//! Both sides of a virtqueue use this arithmetic to decide whether to notify. Positions lie on a circle. The circle of
//! a split ring has 2^16 positions. The circle of a packed ring has two laps of the ring. In both formats the question
//! is: is the event one of the last `count` positions before `new`? The position directly before `new` has distance 0:
//!
//! ```text
//! crossed  =  (new - event - 1) mod circle  <  count
//! ```
//!
//! `count` is the number of positions since the question was last asked, not since the last publication (EVA-2). An
//! event inside a skipped list counts like any other (EVA-9). For this reason the functions compare distances, and
//! never test for equality. Any event is harmless (HOST-22).

use crate::packed;
use crate::split::RingIndex;

/// Returns whether `event` is one of the `count` entries of a split ring before `new`.
///
/// VIRTIO 1.4 §2.7.7.2 "Device Requirements: Used Buffer Notification Suppression" (SPLIT-UNOT-5, EVA-1).
///
/// ```
/// use virtio_ring::event::split_crossed;
/// use virtio_ring::split::RingIndex;
///
/// // Entries 3, 4 and 5 were added, so the index went from 3 to 6.
/// let new = RingIndex::new(6);
/// assert!(split_crossed(RingIndex::new(3), new, 3));
/// assert!(split_crossed(RingIndex::new(5), new, 3));
/// assert!(!split_crossed(RingIndex::new(6), new, 3));
/// assert!(!split_crossed(RingIndex::new(2), new, 3));
/// ```
#[inline]
#[must_use]
pub const fn split_crossed(event: RingIndex, new: RingIndex, count: u32) -> bool {
    // `count` has 32 bits. A count of 2^16 or more covers every event; with 16 bits, such a count would become a
    // smaller one (EVA-3).
    (new.distance_from(event).wrapping_sub(1) as u32) < count
}

/// Returns whether `event` is one of the `count` descriptors of a packed ring before `new`.
///
/// `count` is a number of descriptors. It includes the descriptors that a list skips (EVA-6, EVA-9). An event whose
/// offset is outside the ring has no meaning. For such an event, the result can be `true` or `false` (EVA-16).
///
/// VIRTIO 1.4 §2.8.10 "Driver and Device Event Suppression" (PACK-EVT-2).
///
/// ```
/// use virtio_ring::event::packed_crossed;
/// use virtio_ring::packed::{OffWrap, QueueSize};
///
/// // In a ring of four slots, a list of three descriptors was in slots 2, 3 and 0. The next slot is 1.
/// let size = QueueSize::new(4).unwrap();
/// let new = OffWrap::new(1, false);
/// assert!(packed_crossed(size, OffWrap::new(3, true), new, 3));
/// assert!(packed_crossed(size, OffWrap::new(0, false), new, 3));
/// assert!(!packed_crossed(size, OffWrap::new(0, true), new, 3));
/// ```
#[inline]
#[must_use]
pub const fn packed_crossed(size: packed::QueueSize, event: packed::OffWrap, new: packed::OffWrap, count: u32) -> bool {
    let lap = size.get() as u32;
    // A whole lap crosses every slot (EVA-10).
    if count >= lap {
        return true;
    }
    // PERF: no division is needed, because both places are on the circle (`direct-1-burst-1`). An event outside the
    // circle is not crossed.
    let back = new.linear(size).wrapping_sub(event.linear(size)).wrapping_sub(1);
    let back = if back > i32::MAX as u32 { back.wrapping_add(2 * lap) } else { back };
    back < count
}
