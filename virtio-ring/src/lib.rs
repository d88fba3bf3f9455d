//! The rings of a virtqueue: where everything is, and type-safe access to it.
//!
//! This is the least that makes a ring in shared memory usable: sizes, offsets and alignments, the structures on the
//! wire, and one method for each field that one side may read or write, with the memory order that it needs. It holds
//! no positions and knows no protocol; `virtio-queue-core` builds a virtqueue from it, and that is what a device wants.
//! Use this crate alone to write another kind of queue, or a tool that looks at rings: [`split`] and [`packed`] each
//! show the rings of a memory dump.
//!
//! The two formats of VIRTIO 1.4 mirror each other: [`split`] and [`packed`]. [`RingFeatures`] are the feature bits
//! that concern them, and [`event`] has the arithmetic by which either side decides to notify.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, HeapMem};
//! use virtio_ring::split::{DescriptorIndex, DeviceArea, Layout, QueueSize, RingIndex, UsedElement};
//!
//! let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
//! let layout = Layout::new(QueueSize::new(8)?);
//! let used = DeviceArea::new(&mem, layout, DriverAddr(0x1100))?;
//!
//! // Give the chain of descriptor 3 back, with 16 bytes written.
//! used.set_used(RingIndex::new(0), UsedElement::new(DescriptorIndex(3), 16))?;
//! used.publish(RingIndex::new(1))?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! It has none. The examples with a `HeapMem` need the feature `alloc` of `virtio-mem-traits`:
//!
//! ```toml
//! [dependencies]
//! virtio-mem-traits = { version = "0.1", features = ["alloc"] }
//! virtio-ring = "0.1"
//! ```
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules. The file `docs/conformance.md` of the repository lists each of them, with its
//! section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

mod descriptor_table;
pub mod event;
mod features;
mod flags;
mod notification;
pub mod packed;
mod queue_size_error;
pub mod split;

pub use descriptor_table::{DescriptorIndex, DescriptorTable, TableEntry, TableError};
pub use features::{FeaturesError, RingFeatures};
pub use notification::{DriverNotification, NextHint};
pub use queue_size_error::QueueSizeError;
