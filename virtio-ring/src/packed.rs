//! Packed virtqueues: one ring of descriptors that both sides write.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues". Here is what the event arithmetic needs; the areas are not.

mod off_wrap;
mod queue_size;

pub use off_wrap::OffWrap;
pub use queue_size::QueueSize;
