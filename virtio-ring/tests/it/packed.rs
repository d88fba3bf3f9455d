//! Packed virtqueues.

mod areas;
mod descriptor;
mod event_suppression;
mod layout;
mod ring_position;
mod table;

use virtio_ring::packed::{OffWrap, QueueSize, RingPosition};

fn size(size: u16) -> QueueSize {
    QueueSize::new(size).unwrap()
}

/// A place in a ring.
fn at(ring: u16, slot: u16, wrap: bool) -> RingPosition {
    RingPosition::from_off_wrap(OffWrap::new(slot, wrap), size(ring)).unwrap()
}
