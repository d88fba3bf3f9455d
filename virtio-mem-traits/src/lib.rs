//! Driver memory, as a virtio device sees it.
//!
//! A driver tells a device where things are, and shares the memory in which they are. This crate is the one door
//! between such a claim and an access:
//!
//! * [`DriverAddr`] and [`DriverRange`] are what the driver says. They prove nothing.
//! * [`DriverMem`] is implemented by whoever knows the memory: a VMM, a vhost-user back end, a hypervisor.
//! * [`DeviceRange`] is what a `DriverMem` has proved: memory that the device may access, now and in this way.
//! * [`DeviceArray`] is such memory as a table, for those who read it often.
//! * [`Region`] is a region that is translated once, for memories that are made of many.
//! * [`RegionCache`] saves a search for each address where a memory searches.
//! * [`Area`] is a proved part of memory that is kept for long: a part of a virtqueue.
//! * [`IoVec`] is such memory as system calls take it.
//!
//! No reference and no slice of shared memory is ever formed. Everything is copied out before it is looked at, by
//! accesses that are atomic in the sense of Rust's memory model, because the driver may write at any time whatever it
//! likes. All `unsafe` code of the workspace's libraries is here.
//!
//! Those who write a device need the crates above (`virtio-queue-core`, `virtio-chain`) and from here an implementation
//! of `DriverMem`; [`HeapMem`] is one for tests, [`DumpMem`] one for tools that look at rings. Those who write a
//! driver, or a transport, need something else.
//!
//! ```
//! use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
//!
//! let mem = HeapMem::new(DriverAddr(0x4000), 0x1000)?;
//! let claim = DriverRange::new(DriverAddr(0x4ff0), 0x20).ok_or("beyond 2^64")?;
//!
//! // Only the first half of what the driver claims is there.
//! let proved = mem.translate(claim, Access::Read)?;
//! assert_eq!(proved.len(), 0x10);
//! assert_eq!(proved.read::<[u8; 4]>(8)?, [0; 4]);
//! assert!(proved.write(8, &1_u32).is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `alloc`: `Box`, `Rc` and `Arc` of a memory are memories, there is [`HeapMem`], and a [`DumpMem`] can own its
//!   bytes.
//! * `avx`: copies of 256 bytes and more use AVX, if the processor that the program runs on has it. It is for programs
//!   with the standard library. It is not for a kernel, whose vector registers belong to its programs.
//! * `conformance`: the suite that an implementor of `DriverMem` runs in its own tests.
//!
//! The crate needs a target with 64-bit atomics: a used descriptor of a packed ring is stored in one piece.
//!
//! # `zerocopy`
//!
//! What is read or written as a whole implements the traits of [`zerocopy`], which is exported here: who uses that
//! needs no dependency of the same version. Its derives have to be told where it is.
//!
//! ```
//! use virtio_mem_traits::zerocopy::{self, FromBytes, Immutable, IntoBytes};
//! use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem};
//!
//! #[derive(FromBytes, IntoBytes, Immutable)]
//! #[zerocopy(crate = "zerocopy")]
//! #[repr(C)]
//! struct Header {
//!     kind: zerocopy::little_endian::U32,
//!     sector: zerocopy::little_endian::U32,
//! }
//!
//! let mem = HeapMem::new(DriverAddr(0), 64)?;
//! let range = mem.translate_all(mem.range(), Access::ReadWrite)?;
//! range.write(8, &Header { kind: 1.into(), sector: 7.into() })?;
//! assert_eq!(range.read::<Header>(8)?.sector.get(), 7);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Clauses
//!
//! Ids such as SPLIT-USED-4 name rules. The file `docs/conformance.md` of the repository lists each of them, with its
//! section in VIRTIO 1.4.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![cfg_attr(
    not(all(feature = "alloc", feature = "conformance")),
    allow(rustdoc::broken_intra_doc_links, reason = "the docs name what the features add")
)]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "virtio-mem-traits needs a target with 64-bit atomics: a used descriptor of a packed ring is one store of 64 bits"
);

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "avx", virtio_loom))]
extern crate std;

mod access;
mod area;
#[cfg(feature = "conformance")]
pub mod conformance;
mod copy;
mod device_array;
mod device_range;
mod driver_mem;
mod driver_range;
mod dump;
#[cfg(feature = "alloc")]
mod heap;
mod iovec;
#[cfg(virtio_loom)]
pub mod model;
mod region;
mod region_cache;
mod word;

/// The fence of these crates, which a model checker can see.
#[cfg(not(virtio_loom))]
#[doc(hidden)]
pub use core::sync::atomic::fence;

pub use access::{Access, ReadOnly, ReadWrite, Readable, Rights, Writable, WriteOnly};
pub use area::{Area, AreaError};
pub use device_array::DeviceArray;
pub use device_range::{AccessError, DeviceRange};
pub use driver_mem::{DriverMem, StableMem, TranslateError};
pub use driver_range::{DriverAddr, DriverRange};
pub use dump::{DumpMem, DumpMemError};
#[cfg(feature = "alloc")]
pub use heap::{HeapMem, HeapMemError};
pub use iovec::IoVec;
#[cfg(virtio_loom)]
#[doc(hidden)]
pub use model::fence;
pub use region::Region;
pub use region_cache::RegionCache;
pub use word::{Word, Words};
pub use zerocopy;
