//! Virtqueues on split rings.
//!
//! VIRTIO 1.4 §2.7 "Split Virtqueues".

mod descriptors;
mod positions;
mod restore;
mod ring;
mod serve;
mod walk;

pub use positions::SplitPositions;
pub use ring::SplitRing;
pub use walk::{SplitPlace, SplitWalk};
