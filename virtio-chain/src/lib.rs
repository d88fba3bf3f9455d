//! A descriptor chain as bytes.
//!
//! A device wants to read a request and write an answer, and does not care how the driver has cut either into
//! descriptors; it is not even allowed to (VIRTIO 1.4 §2.7.4.1 "Device Requirements: Message Framing", FRAME-1).
//! [`ReadableChain`] is a chain at the beginning of what the driver says, [`WritableChain`] is one at the beginning of
//! what the device answers. Either returns its chain to the driver.
//!
//! A request that has several parts is [split](Reader::split_at) into as many readers and writers: header, payload,
//! status. What need not be copied is handed out as [fragments](Reader::fragments), for `readv` and io_uring.
//!
//! The crate works on any [`Chain`](virtio_queue_core::Chain), in any format and any memory. Devices that move whole
//! descriptors and never look inside need only `virtio-queue-core`.
//!
//! ```
//! use virtio_chain::{ReadableChain, TransferError};
//! use virtio_queue_core::Chain;
//!
//! /// Answers a request of two numbers with their sum, and says whether that worked.
//! fn add<'m>(chain: impl Chain<'m>) -> Result<(), TransferError> {
//!     let mut request = ReadableChain::new(chain);
//!     let a: u32 = request.read_obj()?;
//!     let b: u32 = request.read_obj()?;
//!
//!     let Ok(mut answer) = request.into_writable() else {
//!         return Ok(()); // There was more in the request than two numbers: not for us.
//!     };
//!     answer.write_obj(&a.wrapping_add(b))?;
//!     // The drop returns the chain, with 4 bytes written.
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! * `std`: a [`Reader`] is a `std::io::Read`, a [`Writer`] is a `std::io::Write`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod cursor;
mod error;
#[cfg(feature = "std")]
mod io;
mod iovec;
mod readable;
mod reader;
mod writable;
mod writer;

pub use error::{IncompleteError, Remaining, TransferError};
pub use iovec::IoVec;
pub use readable::ReadableChain;
pub use reader::Reader;
pub use writable::WritableChain;
pub use writer::Writer;
