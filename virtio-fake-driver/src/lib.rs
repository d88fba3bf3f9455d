//! The driver's side of a virtqueue, to test devices with.
//!
//! A test of a virtio device needs a driver. This crate has one:
//!
//! * [`Fixture`] has a running queue, its driver, memory, and a count of the interrupts.
//! * [`Driver`] makes [`DriverChain`]s available and takes [`UsedBuffer`]s back, and keeps to the rules of the
//!   specification. [`RawSplit`](split::RawSplit) and [`RawPacked`](packed::RawPacked) can break every rule.
//! * [`TestMem`] is memory that can log or refuse each access of the device, and can change between two reads.
//! * [`Traffic`] supplies random chains.
//!
//! By default, the memory is on the heap. To test an adapter, or a device with a memory of its own, use
//! [`FixtureOptions::build_within`] or [`Driver::within`]. Both take any [`DriverMem`](virtio_mem_traits::DriverMem).
//!
//! The drivers share no code with the queues that they test. A mistake of the device is a [`DeviceViolation`]. A
//! mistake of the test is a panic.
//!
//! Use this crate only in tests: its code is clear and not fast. Do not build a real driver on it.
//!
//! ```
//! use virtio_fake_driver::{DriverChain, SplitFixture};
//! use virtio_mem_traits::{Access, DriverMem, StableMem};
//! use virtio_queue_core::{DriverNotify, FatalError, SplitQueue};
//!
//! /// The device under test. It writes zeros to every writable element.
//! fn serve<M: StableMem>(queue: &mut SplitQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
//!     while let Some(chain) = queue.next_chain()? {
//!         let (mem, mut written) = (chain.mem(), 0);
//!         for element in chain.walk().map_while(Result::ok) {
//!             if element.access != Access::Write {
//!                 continue;
//!             }
//!             let Ok(piece) = mem.translate_all(element.range, element.access) else { break };
//!             let Ok(()) = piece.fill(0, piece.len(), 0) else { break };
//!             mem.written(element.range);
//!             written += piece.len() as u32;
//!         }
//!         chain.return_written(written).expect("the device writes only into writable elements");
//!     }
//!     Ok(())
//! }
//!
//! let mut fixture = SplitFixture::new(8);
//! let id = fixture.driver.add(&DriverChain::new().readable(b"ignored").writable_cut(100, &[1, 0, 42]))?;
//! assert!(fixture.driver.needs_kick());
//!
//! serve(&mut fixture.queue)?;
//! assert_eq!(fixture.notifications.count(), 1);
//!
//! let used = fixture.driver.reap()?.expect("the device has used the buffer");
//! assert_eq!(used.id, id);
//! assert_eq!(used.written(), [0; 100]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! The feature `hostile` adds the module `hostile`: with one call, it attacks a device with everything that a driver
//! can do wrong. It needs the standard library.
//!
//! The crate allocates. It enables features of other crates that it needs. A device must not rely on those features,
//! because they are enabled only in tests.
//!
//! ```toml
//! [dependencies]
//! virtio-mem-traits = "0.1"
//! virtio-queue-core = "0.1"
//!
//! [dev-dependencies]
//! virtio-fake-driver = "0.1"
//! ```
//!
//! # Clauses
//!
//! An id such as SPLIT-USED-4 names a rule of the specification. The file `docs/conformance.md` of the repository lists
//! each rule with its section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "hostile")]
extern crate std;

mod any;
mod chain;
mod driver;
mod error;
pub mod features;
mod fixture;
mod format;
mod free_list;
#[cfg(feature = "hostile")]
pub mod hostile;
mod memory;
mod notification_data;
mod options;
pub mod packed;
mod placed;
mod pool;
mod restrictions;
pub mod split;
mod traffic;
mod used;
mod view;

pub use any::{Any, AnyDriver, AnyRaw};
pub use chain::DriverChain;
pub use driver::Driver;
pub use error::{AddError, DeviceViolation};
pub use fixture::{
    AnyFixture, AnyFixtureOptions, Fixture, FixtureOptions, PackedFixture, PackedFixtureOptions, QueueFormat,
    SplitFixture, SplitFixtureOptions,
};
pub use format::Format;
pub use memory::{MemEvent, TestMem};
pub use notification_data::NotificationData;
pub use options::DriverOptions;
pub use packed::{Packed, PackedDriver, PackedOptions};
pub use pool::AddressPool;
pub use split::{Split, SplitDriver, SplitOptions};
pub use traffic::{Traffic, TrafficLimits};
pub use used::UsedBuffer;
pub use view::DriverView;
