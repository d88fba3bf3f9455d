//! Packed virtqueues: one ring of descriptors that both sides write.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues". The specification's terms: the Descriptor Area is the descriptor ring, the Driver
//! Area and the Device Area are one event suppression structure each.
//!
//! # A dump
//!
//! What a dumped queue looked like: its descriptors, made available or used, and what either side wants to be notified
//! of.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, DumpMem};
//! use virtio_ring::packed::{DescriptorArea, DeviceArea, DriverArea, Layout, QueueSize, UsedDescriptor};
//!
//! /// Shows the queue of `size` whose three areas are at `areas`, with the wrap counter of its first lap.
//! fn show(mem: &DumpMem<'_>, size: u16, areas: [u64; 3]) -> Result<String, Box<dyn std::error::Error>> {
//!     let layout = Layout::new(QueueSize::new(size)?);
//!     let [descriptor, driver, device] = areas.map(DriverAddr);
//!     let descriptors = DescriptorArea::new(mem, layout, descriptor)?;
//!     let (driver, device) = (DriverArea::new(mem, layout, driver)?, DeviceArea::for_reading(mem, layout, device)?);
//!
//!     let mut text = String::new();
//!     for (slot, descriptor) in descriptors.table().iter().enumerate() {
//!         let d = descriptor?;
//!         let used = UsedDescriptor::from(d);
//!         text += &if d.flags().is_available(true) {
//!             format!("{slot}: available: {} bytes at {}, buffer {}\n", d.len(), d.addr(), d.id())
//!         } else if d.flags().is_used(true) {
//!             format!("{slot}: used: buffer {}, {} bytes written\n", used.id, used.len)
//!         } else {
//!             format!("{slot}: of another lap\n")
//!         };
//!     }
//!     text += &format!("the driver wants: {:?}\n", driver.event_suppression()?.mode(true));
//!     text += &format!("the device wants: {:?}", device.event_suppression()?.mode(true));
//!     Ok(text)
//! }
//!
//! let mut dump = [0; 0x80];
//! // Buffer 7 was used with 512 bytes written, and buffer 8 is available.
//! dump[..16].copy_from_slice(&[0, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 7, 0, 0x82, 0x80]);
//! dump[16..32].copy_from_slice(&[0, 0x50, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0x80, 0]);
//! // The driver wants no notifications, the device one for slot 2.
//! dump[0x40..0x44].copy_from_slice(&[0, 0, 1, 0]);
//! dump[0x44..0x48].copy_from_slice(&[2, 0x80, 2, 0]);
//!
//! let mem = DumpMem::new(DriverAddr(0x1000), &dump)?;
//! let expected = "\
//! 0: used: buffer 7, 512 bytes written
//! 1: available: 16 bytes at 0x5000, buffer 8
//! 2: of another lap
//! the driver wants: Disable
//! the device wants: Descriptor(OffWrap(2, true))";
//! assert_eq!(show(&mem, 3, [0x1000, 0x1040, 0x1044])?, expected);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

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
pub use descriptor_area::{DescriptorArea, Slots};
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
