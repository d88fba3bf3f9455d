//! Reads and writes a descriptor chain as bytes.
//!
//! A device reads a request and writes an answer. The driver can cut both into any descriptors, and the device must not
//! depend on the cuts (VIRTIO 1.4 §2.7.4.1 "Device Requirements: Message Framing"). [`ReadableChain`] reads the request
//! of the driver. [`WritableChain`] writes the answer of the device. Both return the chain to the driver.
//!
//! ```
//! use virtio_chain::zerocopy::little_endian::U32;
//! use virtio_chain::{IncompleteError, ReadableChain, TransferError};
//! use virtio_queue_core::Chain;
//!
//! /// Answers a request of two numbers with their sum.
//! fn add(chain: impl Chain) -> Result<(), Box<dyn core::error::Error>> {
//!     let mut request = ReadableChain::new(chain);
//!     let (a, b): (U32, U32) = (request.read_obj()?, request.read_obj()?);
//!     // This is an error if the request has more bytes than the two numbers.
//!     let mut answer = request.into_writable()?;
//!     answer.write_obj(&(a + b))?;
//!     // The driver learns that 4 bytes were written. A drop of the answer does the same.
//!     Ok(answer.return_prefix()?)
//! }
//! # use virtio_fake_driver::{DriverChain, SplitFixture};
//! # let mut fixture = SplitFixture::new(16);
//! # fixture.driver.add(&DriverChain::new().readable(b"\x02\0\0\0\x03\0\0\0").writable(4)).unwrap();
//! # add(fixture.queue.next_chain()?.ok_or("nothing is available")?)?;
//! # assert_eq!(fixture.driver.reap()?.ok_or("not returned")?.written(), b"\x05\0\0\0");
//! # Ok::<_, Box<dyn core::error::Error>>(())
//! ```
//!
//! On any error, the chain still returns to the driver. The `try_` variant of a call gives the chain back to you
//! instead.
//!
//! # Header, payload, status
//!
//! [Split](WritableChain::split_last) an answer that has several parts, and [join](WritableChain::join) the parts
//! again. Then you can write the status even if the payload fails. A payload fails, for example, if its descriptors
//! name memory that does not exist.
//!
//! ```
//! use virtio_chain::zerocopy::little_endian::U64;
//! use virtio_chain::ReadableChain;
//! use virtio_queue_core::Chain;
//!
//! /// Answers a sector number with the sector and a status.
//! fn read_sector(chain: impl Chain, disk: &[u8]) -> Result<(), Box<dyn core::error::Error>> {
//!     let mut request = ReadableChain::new(chain);
//!     let sector: U64 = request.read_obj()?;
//!     let mut answer = request.into_writable()?;
//!     // Split from the end: the driver can put both parts into one descriptor, or the payload into several.
//!     let status = answer.split_last(1)?;
//!
//!     let found = usize::try_from(sector.get()).ok().and_then(|sector| disk.chunks(512).nth(sector));
//!     let read = found.is_some_and(|bytes| answer.write_all(bytes).is_ok());
//!     answer.join(status)?;
//!     answer.write_all(&[u8::from(!read)])?;
//!     Ok(answer.return_prefix()?)
//! }
//!
//! # let mut fixture = virtio_fake_driver::SplitFixture::new(16);
//! # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
//! # let request = virtio_fake_driver::DriverChain::new().readable(1_u64.to_le_bytes()).writable(500).writable(13);
//! # driver.add(&request).unwrap();
//! # let disk = [7; 1024];
//! while let Some(chain) = queue.next_chain()? {
//!     read_sector(chain, &disk)?;
//! }
//! # let used = driver.reap()?.ok_or("not returned")?;
//! # assert_eq!((used.written()[511], used.written()[512]), (7, 0));
//! # Ok::<_, Box<dyn core::error::Error>>(())
//! ```
//!
//! To avoid a copy, [pass](Writer::transfer) the pieces in driver memory to `readv` and similar calls. Or [lend](Lent)
//! them to io_uring or to another thread, which completes later.
//!
//! # Which type to use
//!
//! * Start with [`ReadableChain`] and [`WritableChain`]: they own the chain, count the written bytes, and return the
//!   chain. Use a borrowed [`Reader`] and [`Writer`] if you need both halves at the same time, or if you write the
//!   parts of an answer out of order. Then return the chain with the length from [`Writer::prefix`].
//! * End an answer with [`return_prefix`](WritableChain::return_prefix). A drop does the same, but reports no error if
//!   the queue is broken. [`return_complete`](WritableChain::return_complete) is for devices whose answer must fill the
//!   chain. [`return_written`](WritableChain::return_written) is for devices that report another length.
//! * Use a `try_` variant if your device needs the chain after an error.
//!
//! # When not to use it
//!
//! If your device moves whole descriptors and never reads their contents: `virtio-queue-core` is enough. This crate
//! works on any [`Chain`](virtio_queue_core::Chain), in any format and any memory.
//!
//! # Features
//!
//! ```toml
//! [dependencies]
//! virtio-chain = "0.1"
//! virtio-queue-core = "0.1"
//! ```
//!
//! The examples need no feature. Their hidden lines take queues and drivers from the crate `virtio-fake-driver`, which
//! belongs in `[dev-dependencies]`.
//!
//! * `std`: readers implement `std::io::Read`, writers implement `std::io::Write`, and errors convert into
//!   `std::io::Error`.
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules of the specification. The file `docs/conformance.md` of the repository lists
//! each of them, with its section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod copies;
mod cursor;
mod error;
#[cfg(feature = "std")]
mod io;
mod lent;
mod pieces;
mod readable;
mod reader;
mod tail;
mod transfer;
mod writable;
mod writer;

pub use error::{IncompleteError, JoinError, Remaining, TransferError};
pub use lent::{Lent, SettleError};
pub use readable::ReadableChain;
pub use reader::Reader;
pub use tail::Tail;
pub use transfer::{TransferCause, TransferFailed};
/// A piece of memory that [`Reader::transfer`] and [`Writer::transfer`] pass to a system call.
pub use virtio_mem_traits::IoVec;
pub use writable::WritableChain;
pub use writer::Writer;
/// The traits of zerocopy mark the types that can be [read](Reader::read_obj) and [written](Writer::write_obj) as
/// objects. Derive `FromBytes`, `Immutable` and `IntoBytes` for such a struct. Add the attributes `#[repr(C)]` and
/// `#[zerocopy(crate = "virtio_chain::zerocopy")]`.
pub use zerocopy;
