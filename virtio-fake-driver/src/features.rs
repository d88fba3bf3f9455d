//! Masks of the feature bits.
//!
//! VIRTIO 1.4 §6 "Reserved Feature Bits".

/// The driver can use indirect descriptors.
pub const INDIRECT_DESC: u64 = 1 << 28;
/// Each side can name the event that it waits for.
pub const EVENT_IDX: u64 = 1 << 29;
/// The device and the driver are not legacy ones.
pub const VERSION_1: u64 = 1 << 32;
/// The ring is packed.
pub const RING_PACKED: u64 = 1 << 34;
/// The device uses buffers in the order in which they were made available.
pub const IN_ORDER: u64 = 1 << 35;
