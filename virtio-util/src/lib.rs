//! Wrappers that most virtio devices want, and some do not.
//!
//! `virtio-queue-core` has one owner for a queue, calls a notifier when the driver wants to know, and leaves memory to
//! whoever implements [`DriverMem`](virtio_mem_traits::DriverMem). What people put around that again and again is here:
//!
//! | item | for | feature |
//! | --- | --- | --- |
//! | [`SharedQueue`] | chains that are fetched and returned on several threads | |
//! | [`DescChainStream`] | devices written with `async` | |
//! | [`BufferedNotify`] | many notifications in one | |
//! | [`EventFd`] | signals through KVM, vhost-user and everything else that uses eventfds | `eventfd` |
//! | [`RegionTable`] | driver memory in several regions | `alloc` |
//! | [`IommuMem`] | driver memory behind an IOMMU, for ACCESS_PLATFORM | |
//! | [`NotificationCounter`] | tests | |
//!
//! Those who write a device on one thread, with one region of memory and a signal of its own kind, need none of it:
//! each item says when not to use it. The crates below use none of it, and anybody can write what suits them better.
//!
//! ```
//! use virtio_mem_traits::{DriverAddr, HeapMem};
//! use virtio_queue_core::{QueueConfig, QueueLimits, SplitQueue};
//! use virtio_ring::RingFeatures;
//! use virtio_util::{NotificationCounter, SharedQueue};
//!
//! let mem = HeapMem::new(DriverAddr(0x10_0000), 0x1_0000)?;
//! let config = QueueConfig::new(256, RingFeatures::from_negotiated(1 << 32)?, DriverAddr(0x10_0000), DriverAddr(0x10_1000), DriverAddr(0x10_2000));
//! let queue = SplitQueue::new(&config, &mem, NotificationCounter::new())?;
//! let queue = SharedQueue::<parking_lot::RawMutex, _, _>::new(queue);
//!
//! std::thread::scope(|scope| {
//!     for _worker in 0..2 {
//!         scope.spawn(|| {
//!             while let Some(chain) = queue.next_chain()? {
//!                 // Work on it, while others fetch and return theirs.
//!                 let _ = chain.return_written(0);
//!             }
//!             Ok::<_, virtio_queue_core::FatalError>(())
//!         });
//!     }
//! });
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `alloc`: [`RegionTable`]; `Rc` and `Arc` of memories and notifiers are memories and notifiers.
//! * `eventfd`: [`EventFd`], on Linux. It needs the standard library.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "alloc", feature = "eventfd", target_os = "linux")),
    allow(rustdoc::broken_intra_doc_links, reason = "the docs name what the features add")
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
extern crate std;

mod buffered_notify;
mod desc_chain_stream;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
mod event_fd;
mod iommu_mem;
mod notification_counter;
#[cfg(feature = "alloc")]
mod region_table;
mod shared_queue;

pub use buffered_notify::BufferedNotify;
pub use desc_chain_stream::DescChainStream;
#[cfg(all(feature = "eventfd", target_os = "linux"))]
pub use event_fd::EventFd;
pub use iommu_mem::{Iommu, IommuMem};
pub use notification_counter::NotificationCounter;
#[cfg(feature = "alloc")]
pub use region_table::{RegionError, RegionTable};
pub use shared_queue::{SharedChain, SharedQueue};
pub use {atomic_waker, lock_api};
