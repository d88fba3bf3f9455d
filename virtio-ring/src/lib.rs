//! The rings of a virtqueue: the layout, and type-safe access to each field.
//!
//! This crate has the sizes, offsets and alignments of the rings, and the structures in memory. It has one method for
//! each field that a side can read or write. Each method uses the memory order that its field needs. The crate keeps no
//! position in a ring and has no protocol.
//!
//! To write a device, use `virtio-queue-core`, which builds a virtqueue from this crate. Use this crate alone to write
//! another kind of queue, or a tool that reads rings. The modules [`split`] and [`packed`] each show how to read the
//! rings of a memory dump.
//!
//! VIRTIO 1.4 has two formats of virtqueues. The modules [`split`] and [`packed`] have the same names for the same
//! things. [`RingFeatures`] are the feature bits that concern rings. The module [`event`] has the arithmetic with which
//! each side decides whether to notify.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, HeapMem};
//! use virtio_ring::split::{DescriptorIndex, DeviceArea, Layout, QueueSize, RingIndex, UsedElement};
//!
//! let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
//! let layout = Layout::new(QueueSize::new(8)?);
//! let used = DeviceArea::new(&mem, layout, DriverAddr(0x1100))?;
//!
//! // Return the chain that begins with descriptor 3, with 16 bytes written.
//! used.set_used(RingIndex::new(0), UsedElement::new(DescriptorIndex(3), 16))?;
//! used.publish(RingIndex::new(1))?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! The crate has no features. The examples with a `HeapMem` need the feature `alloc` of `virtio-mem-traits`:
//!
//! ```toml
//! [dependencies]
//! virtio-mem-traits = { version = "0.1", features = ["alloc"] }
//! virtio-ring = "0.1"
//! ```
//!
//! # Clauses
//!
//! An id such as SPLIT-USED-4 names a rule of the specification. The file `docs/conformance.md` of the repository lists
//! each rule with its section in VIRTIO 1.4.

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
