//! Complete virtio devices on the crates of this workspace.
//!
//! A device here takes chains from a virtqueue and answers them. It does not know its transport. The transport creates
//! the [`Queue`](virtio_queue_core::Queue), and exposes the features and the configuration space of the device. It
//! calls [`Device::serve`] when the driver kicks:
//!
//! ```
//! use virtio_examples::blk::{BlockDevice, MemStorage};
//! use virtio_examples::Device;
//! use virtio_queue_core::{Armed, DriverNotify, FatalError, Queue, Ring};
//!
//! /// Answers every available chain, and returns when the driver will kick again.
//! fn kicked<R: Ring, N: DriverNotify>(
//!     disk: &mut BlockDevice<MemStorage>,
//!     queue: &mut Queue<R, N>,
//! ) -> Result<(), FatalError> {
//!     queue.suppress_notifications();
//!     loop {
//!         let served = disk.serve(queue, 64)?;
//!         // With more queues, serve the others here.
//!         if !served.pending && queue.enable_notifications()? == Armed::Waiting {
//!             return Ok(());
//!         }
//!     }
//! }
//! ```
//!
//! You need a driver to try a device. So each device has a program that serves it to front ends of vhost-user. The
//! crate [`virtio_vhost_user`] contains everything except the device.
//!
//! The devices are examples to read, and tests run them with real drivers.
//!
//! # Three shapes
//!
//! There are three shapes. A device answers each chain at once, or it is deferred and answers later in any order, or it
//! is `async` and has a task for each chain.
//!
//! | device | shape |
//! | --- | --- |
//! | [`rng`] | At once: [`process`](Device::process) fills a chain and returns it. |
//! | [`blk`] | At once, in batches: up to 64 requests are held as tokens, and are answered in order. |
//! | [`blk::uring`] | Deferred, by io_uring: up to 128 chains are owned, and are answered in any order, or in theirs. |
//! | [`net`], transmit | At once: the device copies a packet out of its chain, and returns the chain. |
//! | [`net`], receive | At once if a packet fits into one buffer. Otherwise deferred: the device keeps buffers as tokens. |
//! | [`net`], control | At once: [`process`](Device::process) obeys a command and returns its chain. |
//! | [`vsock`], transmit | At once: the device moves the bytes of a packet into a socket, and returns the chain. |
//! | [`vsock`], receive | At once: when a socket has bytes, the device moves them into a chain, and returns it. |
//!
//! No device here has tasks. The guide `docs/guides/async-disk.md` shows a disk on tokio. The crate `virtio-util` shows
//! a pool of threads and an `async` device, on owned chains.

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
pub mod vsock;

pub use virtio_vhost_user::{Device, Serve, Served, Turn, WaitsFor};
