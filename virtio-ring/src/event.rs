//! Event arithmetic: whether an event that the other side waits for has happened.
//!
//! Both sides of a virtqueue decide by it whether to notify. Each format counts positions on a circle, of 2^16 for a
//! split ring and of two laps for a packed one, and asks the same question: is the event among the last `count`
//! positions before `new`? Going back from `new`, the position just before it is at distance 0:
//!
//! ```text
//! crossed  =  (new - event - 1) mod circle  <  count
//! ```
//!
//! `count` is everything since the question was last asked, not since something was last published (EVA-2). An event
//! that lies in the middle of what was skipped counts like any other (EVA-9), so nothing here compares for equality.

use crate::packed;
use crate::split::RingIndex;

/// Returns whether a split ring's `event` is one of the `count` entries before `new` (EVA-1).
///
/// VIRTIO 1.4 §2.7.7.2 "Device Requirements: Used Buffer Notification Suppression" (SPLIT-UNOT-5).
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
    // In 32 bits, so that a count of 2^16 or more, which 16 bits would fold to less, covers every event (EVA-3).
    (new.distance_from(event).wrapping_sub(1) as u32) < count
}

/// Returns whether a packed ring's `event` is one of the `count` descriptors before `new` (EVA-6).
///
/// `count` is in descriptors, those skipped by a list included (EVA-9). An event whose offset is not inside the ring
/// has no meaning; the answer is then one or the other (EVA-16).
///
/// VIRTIO 1.4 §2.8.10 "Driver and Device Event Suppression" (PACK-EVT-2).
///
/// ```
/// use virtio_ring::event::packed_crossed;
/// use virtio_ring::packed::{OffWrap, QueueSize};
///
/// // A list of three descriptors in a ring of four went from slot 2 over the end to slot 1.
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
    // A whole lap passes every slot (EVA-10).
    if count >= lap {
        return true;
    }
    // PERF: without a division, since both places are on the circle (`direct-1-burst-1`). What is not, is not crossed.
    let back = new.linear(size).wrapping_sub(event.linear(size)).wrapping_sub(1);
    let back = if back > i32::MAX as u32 { back.wrapping_add(2 * lap) } else { back };
    back < count
}
