//! Virtqueues on packed rings.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues".

mod descriptors;
mod positions;
mod restore;
mod ring;
mod serve;
mod stored;
mod walk;

pub use positions::PackedPositions;
pub use ring::PackedRing;
pub use walk::{PackedPlace, PackedWalk};
