//! The memory of a virtio driver, as the device sees it.
//!
//! A driver shares memory with a device, and gives the device addresses in it. An address is only a claim. This crate
//! is the only way from a claim to an access:
//!
//! * [`DriverAddr`] and [`DriverRange`] are claims of the driver. They prove nothing.
//! * [`DriverMem`] translates a claim. A VMM, a vhost-user back end or a hypervisor implements it.
//! * [`DeviceRange`] is memory that a `DriverMem` has proved: the device can access it, for reading, writing or both.
//! * [`DeviceArray`] is a `DeviceRange` viewed as an array, for tables that are accessed often.
//! * [`Region`] is a region that is translated once. A memory of many regions can be made of them.
//! * [`RegionCache`] remembers one region, so that a memory that searches does not search for each address.
//! * [`Area`] is a proved part of memory that is kept: one of the three areas of a virtqueue.
//! * [`IoVec`] is a piece of memory in the form that system calls take.
//!
//! The driver can write any byte at any time. So this crate forms no reference and no slice of shared memory. It copies
//! every value out of shared memory before the value is used. All accesses are atomic in Rust's memory model. All
//! `unsafe` code of the layers is here.
//!
//! To write a device, use the crates above (`virtio-queue-core`, `virtio-chain`) with an implementation of `DriverMem`.
//! [`HeapMem`] is an implementation for tests. [`DumpMem`] is one for tools that read rings. This crate is not for
//! drivers or transports.
//!
//! ```
//! use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
//!
//! let mem = HeapMem::new(DriverAddr(0x4000), 0x1000)?;
//! let claim = DriverRange::new(DriverAddr(0x4ff0), 0x20).ok_or("beyond 2^64")?;
//!
//! // The driver claims 0x20 bytes. Only the first 0x10 exist.
//! let proved = mem.translate(claim, Access::Read)?;
//! assert_eq!(proved.len(), 0x10);
//! assert_eq!(proved.read::<[u8; 4]>(8)?, [0; 4]);
//! assert!(proved.write(8, &1_u32).is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `alloc`: adds [`HeapMem`]. `Box`, `Rc` and `Arc` of a memory implement `DriverMem`. A [`DumpMem`] can own its
//!   bytes.
//! * `avx`: makes copies of 256 bytes and more use AVX, if the processor has AVX. This feature needs the standard
//!   library. A kernel must not enable it, because the vector registers belong to its programs.
//! * `conformance`: adds the suite that an implementor of `DriverMem` runs in its own tests.
//!
//! The crate needs a target with 64-bit atomics, because a used descriptor of a packed ring is one store of 64 bits.
//!
//! # `zerocopy`
//!
//! A type that is read or written as a whole implements traits of [`zerocopy`]. This crate exports `zerocopy`, so that
//! you need no dependency of the same version. The derives of `zerocopy` must be told the path of the crate.
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
//! An id such as SPLIT-USED-4 names a rule of the specification. The file `docs/conformance.md` of the repository lists
//! each rule with its section in VIRTIO 1.4.

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

/// The fence that these crates use. A model checker can replace it.
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
