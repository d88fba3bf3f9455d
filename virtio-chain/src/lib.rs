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
//! A request in several parts stays a chain. A [`Reader`] and a [`Writer`] borrow it, and are
//! [split](Writer::split_last) into the parts. What need not be copied is [handed](Writer::transfer) to `readv` and the
//! like as it lies in memory, or [lent](Writer::lend) to io_uring.
//!
//! ```
//! use virtio_chain::zerocopy::little_endian::U64;
//! use virtio_chain::{Reader, Writer};
//! use virtio_queue_core::ChainElements;
//!
//! /// Answers a sector number with the sector and a status, and returns how many bytes the driver is to be told of.
//! fn read_sector(chain: &impl ChainElements, disk: &[u8]) -> Result<u32, Box<dyn core::error::Error>> {
//!     let sector: U64 = Reader::new(chain).read_obj()?;
//!     let mut payload = Writer::new(chain);
//!     // From its end: the driver may have put both into one descriptor, or the payload into several.
//!     let mut status = payload.split_last(1)?;
//!
//!     let found = usize::try_from(sector.get()).ok().and_then(|sector| disk.chunks(512).nth(sector));
//!     if let Some(bytes) = found {
//!         payload.write_all(bytes)?;
//!     }
//!     status.write_all(&[u8::from(found.is_none())])?;
//!     payload.join(status)?;
//!     Ok(payload.prefix())
//! }
//!
//! # use virtio_fake_driver::{DriverChain, SplitFixture};
//! # let mut fixture = SplitFixture::new(16);
//! # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
//! # driver.add(&DriverChain::new().readable(&[1, 0, 0, 0, 0, 0, 0, 0]).writable(500).writable(13)).unwrap();
//! # let disk = [7; 1024];
//! while let Some(chain) = queue.next_chain()? {
//!     let written = read_sector(&chain, &disk)?;
//!     chain.return_written(written)?;
//! }
//! # let used = driver.reap()?.ok_or("not returned")?;
//! # assert_eq!((used.written()[511], used.written()[512]), (7, 0));
//! # Ok::<_, Box<dyn core::error::Error>>(())
//! ```
//!
//! # When not to use it
//!
//! The crate works on any [`Chain`](virtio_queue_core::Chain), in any format and any memory. Devices that move whole
//! descriptors and never look inside need only `virtio-queue-core`.
//!
//! # Features
//!
//! * `std`: readers are a `std::io::Read`, writers are a `std::io::Write`, and errors turn into a `std::io::Error`.
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules. The file `docs/conformance.md` of the repository lists each of them, with its section
//! in VIRTIO 1.4.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod cursor;
mod error;
#[cfg(feature = "std")]
mod io;
mod lent;
mod readable;
mod reader;
mod transfer;
mod writable;
mod writer;

pub use error::{IncompleteError, JoinError, Remaining, TransferError};
pub use lent::{Lent, SettleError};
pub use readable::ReadableChain;
pub use reader::Reader;
pub use transfer::{TransferCause, TransferFailed};
/// What [`Reader::transfer`] and [`Writer::transfer`] hand out.
pub use virtio_mem_traits::IoVec;
pub use writable::WritableChain;
pub use writer::Writer;
/// Its traits say what can be [read](Reader::read_obj) and [written](Writer::write_obj) as an object. A struct that
/// derives them from here has the attribute `#[zerocopy(crate = "virtio_chain::zerocopy")]`.
pub use zerocopy;
