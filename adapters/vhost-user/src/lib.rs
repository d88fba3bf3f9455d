//! Devices behind a vhost-user socket.
//!
//! A back end is a program that serves a device to whoever connects to a socket: QEMU, DPDK, libblkio. Everything that
//! device types have in common in that is here. One of them brings its [`VhostUserDevice`] and a `main`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use virtio_chain::{TransferError, WritableChain};
//! use virtio_queue_core::Chain;
//! use virtio_vhost_user::{Device, Options, VhostUserDevice};
//!
//! /// Answers every chain with what the clock says.
//! struct Clock;
//!
//! impl Device for Clock {
//!     type Error = TransferError;
//!
//!     fn process(&mut self, chain: impl Chain) -> Result<u64, TransferError> {
//!         let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
//!         WritableChain::new(chain).write_all(&now.to_le_bytes())?;
//!         Ok(8)
//!     }
//! }
//!
//! impl VhostUserDevice for Clock {
//!     type Worker = Clock;
//!
//!     fn worker(&self, _index: usize, _features: u64) -> Clock {
//!         Clock
//!     }
//! }
//!
//! /// Says what time it is
//! #[derive(clap::Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     options: Options,
//! }
//!
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Clock)))
//! }
//! ```
//!
//! The messages are handled on the main thread, and each ring that runs has a thread of its own, or one together with
//! those that it belongs to. Between messages and rings there is one rule: whatever concerns a ring that runs is
//! changed while it does not. Its thread ends at a point where nothing is in flight, and another one goes on from
//! there.
//!
//! # Front ends that are not to be trusted
//!
//! A front end can make its own device fail, and nothing else. Two things remain that no back end can prevent, because
//! it is the front end who owns what is shared. If it makes the file behind a region shorter afterwards, then an access
//! ends this process with SIGBUS; what is beyond the end of the file from the beginning is refused. And if it makes the
//! eventfd of a ring block, and fills it, then the next notification waits until it is read, and so does whoever stops
//! that ring.

mod back_end;
mod chains;
mod deferred;
mod early;
mod event;
mod group;
mod inflight;
mod lanes;
#[expect(unsafe_code, reason = "bits of shared memory are set by atomic operations")]
mod log;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod memory;
mod options;
mod patience;
mod program;
mod report;
mod serve;
mod session;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod shm;
#[expect(unsafe_code, reason = "a signal handler, and the pages that it replaces")]
mod sigbus;
#[expect(unsafe_code, reason = "a file descriptor is taken over by its number")]
mod socket;
mod vhost_user_device;
mod vring;
mod worker;

pub use back_end::BackEnd;
pub use chains::Chains;
pub use event::Call;
pub use inflight::{AnyRecordedRing, AnyRecorder};
pub use log::Logged;
pub use memory::{GuestMem, Mapping};
pub use options::Options;
pub use program::run;
pub use serve::{Device, Serve, Served, Turn, WaitsFor};
pub use vhost_user_device::VhostUserDevice;
pub use worker::{BorrowedChain, KeptChain, Worker};
