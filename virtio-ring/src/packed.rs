//! Packed virtqueues: one ring of descriptors that both sides write.
//!
//! VIRTIO 1.4 §2.8 "Packed Virtqueues". The Descriptor Area is the descriptor ring. The Driver Area and the Device Area
//! are one event suppression structure each.
//!
//! # A dump
//!
//! This example shows a queue in a memory dump: its available and used descriptors, and the notifications that each
//! side wants.
//!
//! The ring does not show its current lap. To tell available descriptors from used ones, a tool must know the slot
//! where the device reports the next used buffer, and the device's wrap counter at that slot. No area has these two
//! values. A saved queue has them. A vhost-user back end gives them in the upper half of its vring base. In a new queue
//! they are `OffWrap::new(0, true)`.
//!
//! A device overwrites only the first descriptor of a list that it used. The other descriptors of the list do not
//! change.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, DumpMem};
//! use virtio_ring::packed::{DescriptorArea, DeviceArea, DriverArea, Layout, OffWrap, QueueSize, UsedDescriptor};
//!
//! /// Shows a queue of `size` descriptors, whose three areas are at `areas`. Its device reports the next used buffer
//! /// at `next_used`.
//! fn show(
//!     mem: &DumpMem<'_>,
//!     size: u16,
//!     areas: [u64; 3],
//!     next_used: OffWrap,
//! ) -> Result<String, Box<dyn std::error::Error>> {
//!     let layout = Layout::new(QueueSize::new(size)?);
//!     let [descriptor, driver, device] = areas.map(DriverAddr);
//!     let descriptors = DescriptorArea::new(mem, layout, descriptor)?;
//!     let (driver, device) = (DriverArea::new(mem, layout, driver)?, DeviceArea::for_reading(mem, layout, device)?);
//!
//!     let mut text = String::new();
//!     for (slot, descriptor) in descriptors.table().iter().enumerate() {
//!         let d = descriptor?;
//!         let used = UsedDescriptor::from(d);
//!         // The wrap counter with which the device passed this slot last.
//!         let passed = next_used.wrap() == (slot < usize::from(next_used.offset()));
//!         text += &if d.flags().is_available(!passed) {
//!             format!("{slot}: available: {} bytes at {}, buffer {}, {}\n", d.len(), d.addr(), d.id(), d.flags())
//!         } else if d.flags().is_used(passed) {
//!             format!("{slot}: used: buffer {}, {} bytes written\n", used.id, used.len)
//!         } else if d.flags().is_available(passed) {
//!             format!("{slot}: used: a later descriptor of a list, {} bytes at {}\n", d.len(), d.addr())
//!         } else {
//!             format!("{slot}: used in a lap that has not begun: one side broke the rules\n")
//!         };
//!     }
//!     text += &format!("the driver wants: {:?}\n", driver.event_suppression()?.mode(true));
//!     text += &format!("the device wants: {:?}", device.event_suppression()?.mode(true));
//!     Ok(text)
//! }
//!
//! let mut dump = [0; 0x80];
//! // Buffer 7 was a list of two descriptors. It was used with 512 bytes written. Buffer 8 is available.
//! dump[..16].copy_from_slice(&[0, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 7, 0, 0x82, 0x80]);
//! dump[16..32].copy_from_slice(&[0, 0x48, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0x82, 0]);
//! dump[32..48].copy_from_slice(&[0, 0x50, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0x80, 0]);
//! // The driver wants no notifications. The device wants one for slot 3.
//! dump[0x40..0x44].copy_from_slice(&[0, 0, 1, 0]);
//! dump[0x44..0x48].copy_from_slice(&[3, 0x80, 2, 0]);
//!
//! let mem = DumpMem::new(DriverAddr(0x1000), &dump)?;
//! // Slot 3 was never used. It is zero, which looks like a used descriptor of the lap before the first.
//! let expected = "\
//! 0: used: buffer 7, 512 bytes written
//! 1: used: a later descriptor of a list, 1 bytes at 0x4800
//! 2: available: 16 bytes at 0x5000, buffer 8, AVAIL
//! 3: used: buffer 0, 0 bytes written
//! the driver wants: Disable
//! the device wants: Descriptor(OffWrap(3, true))";
//! assert_eq!(show(&mem, 4, [0x1000, 0x1040, 0x1044], OffWrap::new(2, true))?, expected);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! In this text, "available" means that the device has not overwritten the slot yet. The device can have fetched the
//! descriptor already. If the device uses buffers in another order, it can have reported the buffer already, in an
//! earlier slot.

mod descriptor;
mod descriptor_area;
mod device_area;
mod driver_area;
mod event_suppression;
mod layout;
mod off_wrap;
mod queue_size;
mod ring_position;

pub use descriptor::{BufferId, Descriptor, DescriptorFlags, DescriptorTable, UsedDescriptor};
pub use descriptor_area::{DescriptorArea, Slots};
pub use device_area::DeviceArea;
pub use driver_area::DriverArea;
pub use event_suppression::{EventSuppression, NotificationMode};
pub use layout::Layout;
pub use off_wrap::OffWrap;
pub use queue_size::QueueSize;
pub use ring_position::RingPosition;

pub use crate::descriptor_table::{DescriptorIndex, TableError};
