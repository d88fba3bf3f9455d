//! Packed virtqueues: one ring of descriptors that both sides write.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues". The specification's terms: the Descriptor Area is the descriptor ring, the Driver
//! Area and the Device Area are one event suppression structure each.

mod descriptor;
mod descriptor_area;
mod device_area;
mod driver_area;
mod event_suppression;
mod layout;
mod off_wrap;
mod queue_size;
mod ring_position;

pub use descriptor::{BufferId, Descriptor, DescriptorFlags, UsedDescriptor};
pub use descriptor_area::DescriptorArea;
pub use device_area::DeviceArea;
pub use driver_area::DriverArea;
pub use event_suppression::{EventSuppression, NotificationMode};
pub use layout::Layout;
pub use off_wrap::OffWrap;
pub use queue_size::QueueSize;
pub use ring_position::RingPosition;

pub use crate::descriptor_table::{DescriptorIndex, TableError};

/// A table of descriptors of a packed virtqueue: its ring, or an indirect one.
pub type DescriptorTable<'m, M> = crate::descriptor_table::DescriptorTable<'m, M, Descriptor>;
