//! Complete virtio devices, built on nothing but the crates of this workspace.
//!
//! A device here takes chains from a virtqueue and answers them. It knows no transport: whoever has one makes the
//! [`Queue`](virtio_queue_core::Queue), exposes what the device says of itself (features, configuration space), and
//! calls [`Device::serve`] when the driver kicks:
//!
//! ```
//! use virtio_examples::blk::{BlockDevice, MemStorage};
//! use virtio_examples::Device;
//! use virtio_queue_core::{Armed, DriverNotify, FatalError, Queue, Ring};
//!
//! /// Answers everything that is available, and returns when the driver is going to kick again.
//! fn kicked<R: Ring, N: DriverNotify>(
//!     disk: &mut BlockDevice<MemStorage>,
//!     queue: &mut Queue<R, N>,
//! ) -> Result<(), FatalError> {
//!     queue.suppress_notifications();
//!     loop {
//!         let served = disk.serve(queue, 64)?;
//!         // With more queues, this is where the others have their turn.
//!         if !served.pending && queue.enable_notifications()? == Armed::Waiting {
//!             return Ok(());
//!         }
//!     }
//! }
//! ```
//!
//! Drivers are needed to try the devices with. So there is a program for each of them, which serves it to front ends of
//! vhost-user: the crate [`virtio_vhost_user`] has all but the device.
//!
//! The devices are meant to be read, and to be driven by real drivers in tests.
//!
//! # Three shapes
//!
//! A device answers a chain at once, or it is deferred and answers later in any order, or it is `async` and has a task
//! for each chain.
//!
//! | device | shape |
//! | --- | --- |
//! | [`rng`] | At once, in the simplest form: [`process`](Device::process) fills a chain and returns it. |
//! | [`blk`] | At once. Up to 64 requests are held as tokens, so that their reads wait together, and answered in their order. |
//! | [`net`], transmit | At once: a packet is copied out of its chain, which is returned. |
//! | [`net`], receive | At once where a packet fits into one buffer. Else deferred: buffers are kept as tokens until they suffice. |
//!
//! None of them has I/O that completes later, or tasks. The crate `virtio-util` shows a pool of threads and an `async`
//! device, on owned chains.

#![deny(unsafe_code)]
#![expect(clippy::std_instead_of_alloc, reason = "the examples have the standard library")]

pub mod blk;
#[cfg(doctest)]
mod guides;
pub mod net;
#[expect(unsafe_code, reason = "a hint for the processor takes a pointer")]
mod prefetch;
pub mod rng;
mod unpublished;

pub use virtio_vhost_user::{Device, Serve, Served, Turn, WaitsFor};
