//! Split virtqueues: a table of descriptors, and a ring in each direction.
//!
//! VIRTIO 1.4 §2.7 "Split Virtqueues". The Descriptor Area is the descriptor table. The Driver Area is the available
//! ring. The Device Area is the used ring.
//!
//! # A dump
//!
//! This example shows a queue in a memory dump: its descriptors, its available ring and its used ring.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, DumpMem};
//! use virtio_ring::split::{DescriptorArea, DeviceArea, DriverArea, Layout, QueueSize, RingIndex};
//!
//! /// Shows a queue of `size` descriptors, whose three areas are at `areas`.
//! fn show(mem: &DumpMem<'_>, size: u16, areas: [u64; 3]) -> Result<String, Box<dyn std::error::Error>> {
//!     let layout = Layout::new(QueueSize::new(size)?);
//!     let [descriptor, driver, device] = areas.map(DriverAddr);
//!     let descriptors = DescriptorArea::new(mem, layout, descriptor)?;
//!     let available = DriverArea::new(mem, layout, driver)?;
//!     let used = DeviceArea::for_reading(mem, layout, device)?;
//!
//!     let mut text = String::new();
//!     for (index, descriptor) in descriptors.table().iter().enumerate() {
//!         let d = descriptor?;
//!         text += &format!("{index}: {} bytes at {}, flags {}, next {}\n", d.len(), d.addr(), d.flags(), d.next());
//!     }
//!     text += &format!("available: flags {}, index {}:", available.flags()?, available.index()?);
//!     for slot in 0..size {
//!         text += &format!(" {}", available.entry(RingIndex::new(slot))?);
//!     }
//!     text += &format!("\nused: flags {}, index {}:", used.flags()?, used.index()?);
//!     for slot in 0..size {
//!         let element = used.used(RingIndex::new(slot))?;
//!         text += &format!(" {} ({} bytes)", element.id(), element.len());
//!     }
//!     Ok(text)
//! }
//!
//! let mut dump = [0; 0x80];
//! // Descriptor 0 is readable. The chain continues in descriptor 1, which is writable.
//! dump[..16].copy_from_slice(&[0, 0x40, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0]);
//! dump[16..32].copy_from_slice(&[0, 0x50, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
//! // The chain was made available, and used with 512 bytes written.
//! dump[0x40..0x46].copy_from_slice(&[0, 0, 1, 0, 0, 0]);
//! dump[0x60..0x6c].copy_from_slice(&[1, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
//!
//! let mem = DumpMem::new(DriverAddr(0x1000), &dump)?;
//! let expected = "\
//! 0: 16 bytes at 0x4000, flags NEXT, next 1
//! 1: 512 bytes at 0x5000, flags WRITE, next 0
//! available: flags none, index 1: 0 0
//! used: flags NO_NOTIFY, index 1: 0 (512 bytes) 0 (0 bytes)";
//! assert_eq!(show(&mem, 2, [0x1000, 0x1040, 0x1060])?, expected);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod descriptor;
mod descriptor_area;
mod device_area;
mod driver_area;
mod layout;
mod queue_size;
mod ring_index;
mod used_element;

pub use descriptor::{Descriptor, DescriptorFlags, DescriptorTable};
pub use descriptor_area::DescriptorArea;
pub use device_area::{DeviceArea, UsedElements, UsedFlags};
pub use driver_area::{AvailableEntries, AvailableFlags, DriverArea};
pub use layout::Layout;
pub use queue_size::QueueSize;
pub use ring_index::RingIndex;
pub use used_element::UsedElement;

pub use crate::descriptor_table::{DescriptorIndex, TableError};
