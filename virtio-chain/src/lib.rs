//! A descriptor chain as bytes.
//!
//! A device wants to read a request and write an answer, and does not care how the driver has cut either into
//! descriptors; it is not even allowed to (VIRTIO 1.4 §2.7.4.1 "Device Requirements: Message Framing", FRAME-1).
//! [`ReadableChain`] is a chain at the beginning of what the driver says, [`WritableChain`] is one at the beginning of
//! what the device answers. Either returns its chain to the driver.
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
//!     // An error if there is more in the request than two numbers.
//!     let mut answer = request.into_writable()?;
//!     answer.write_obj(&(a + b))?;
//!     // The driver is told that 4 bytes were written. Dropping the answer would do the same.
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
//! On any error the chain goes back to the driver all the same. The `try_` variant of a call hands it back instead.
//!
//! # Header, payload, status
//!
//! An answer in several parts is [split](WritableChain::split_last), and [joined](WritableChain::join) again where the
//! next part begins. So the status has its place whatever becomes of the payload: the driver may have named memory for
//! the payload that is not there.
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
//!     // From its end: the driver may have put both into one descriptor, or the payload into several.
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
//! What need not be copied is [handed](Writer::transfer) to `readv` and the like as it lies in memory, or
//! [lent](Lent) to io_uring or another thread, which answers later.
//!
//! # Which way
//!
//! * Begin with [`ReadableChain`] and [`WritableChain`]: they own the chain, return it, and count for themselves. Use a
//!   borrowed [`Reader`] and [`Writer`] if both halves are needed at a time, or if the parts of an answer are written
//!   in another order than they lie. Return the chain with [`Writer::prefix`] then.
//! * End an answer with [`return_prefix`](WritableChain::return_prefix). To drop it does the same, without an error if
//!   the queue is broken. [`return_complete`](WritableChain::return_complete) is for devices whose answer must fill the
//!   chain. [`return_written`](WritableChain::return_written) is for devices that report another length.
//! * A `try_` variant is for a device that needs the chain after an error.
//!
//! # When not to use it
//!
//! The crate works on any [`Chain`](virtio_queue_core::Chain), in any format and any memory. Devices that move whole
//! descriptors and never look inside need only `virtio-queue-core`.
//!
//! # Features
//!
//! ```toml
//! [dependencies]
//! virtio-chain = "0.1"
//! virtio-queue-core = "0.1"
//! ```
//!
//! The examples need no feature. The queues and drivers in them that are not shown are those of the crate
//! `virtio-fake-driver`, for `[dev-dependencies]`.
//!
//! * `std`: readers are a `std::io::Read`, writers are a `std::io::Write`, and errors turn into a `std::io::Error`.
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules. The file `docs/conformance.md` of the repository lists each of them, with its
//! section in VIRTIO 1.4.

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
/// What [`Reader::transfer`] and [`Writer::transfer`] hand out.
pub use virtio_mem_traits::IoVec;
pub use writable::WritableChain;
pub use writer::Writer;
/// Its traits say what can be [read](Reader::read_obj) and [written](Writer::write_obj) as an object. A struct for
/// either derives `FromBytes`, `Immutable` and `IntoBytes`, and has the attributes `#[repr(C)]` and
/// `#[zerocopy(crate = "virtio_chain::zerocopy")]`.
pub use zerocopy;
