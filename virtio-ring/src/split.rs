//! Split virtqueues: a table of descriptors, and a ring in each direction.
//!
//! VIRTIO 1.4 §2.7 "Split Virtqueues". The specification's terms: the Descriptor Area is the descriptor table, the Driver
//! Area is the available ring, the Device Area is the used ring.

mod descriptor;
mod descriptor_area;
mod device_area;
mod driver_area;
mod layout;
mod queue_size;
mod ring_index;

pub use descriptor::{Descriptor, DescriptorFlags};
pub use descriptor_area::DescriptorArea;
pub use device_area::{DeviceArea, UsedElement, UsedFlags};
pub use driver_area::{AvailableFlags, DriverArea};
pub use layout::Layout;
pub use queue_size::QueueSize;
pub use ring_index::RingIndex;

pub use crate::descriptor_table::{DescriptorIndex, TableError};

/// A table of descriptors of a split virtqueue.
pub type DescriptorTable<'m, M> = crate::descriptor_table::DescriptorTable<'m, M, Descriptor>;
