//! Connects memory of [`vm-memory`](https://docs.rs/vm-memory) as driver memory to virtio devices.
//!
//! A VMM on rust-vmm keeps the memory of its guest in a `GuestMemoryMmap`, alone or in a `GuestMemoryAtomic`.
//! [`VmMemory`] gives this memory to the queues of this workspace. You write no unsafe code:
//!
//! ```
//! use std::sync::Arc;
//!
//! use virtio_mem_traits::{DriverAddr, DriverMem};
//! use virtio_queue_core::{AnyQueue, DriverNotify, QueueConfig, RingFeatures};
//! use virtio_vm_memory::VmMemory;
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! struct Interrupt;
//!
//! impl DriverNotify for Interrupt {
//!     fn notify(&self) { /* an irqfd, an MSI */ }
//! }
//!
//! type Queue = AnyQueue<VmMemory<Arc<GuestMemoryMmap>>, Interrupt>;
//!
//! let memory = Arc::new(GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000)])?);
//! let features = RingFeatures::from_negotiated(1 << 32)?;
//! let config = QueueConfig::new(256, features, DriverAddr(0x1000), DriverAddr(0x2000), DriverAddr(0x3000));
//! let mut queue: Queue = AnyQueue::new(&config, VmMemory::new(Arc::clone(&memory)), Interrupt)?;
//!
//! // The guest makes five bytes at 0x8000 available: address, length, flags and next, then ring entry and index.
//! memory.write_slice(b"hello", GuestAddress(0x8000))?;
//! memory.write_obj([0x8000_u64.to_le(), 5_u64.to_le()], GuestAddress(0x1000))?;
//! memory.write_obj([0_u16, 1_u16.to_le(), 0], GuestAddress(0x2000))?;
//!
//! // The device reads them. The crate virtio-chain has more functions for that.
//! let mut burst = queue.burst();
//! let chain = burst.next_chain()?.ok_or("nothing is available")?;
//! for element in chain.walk() {
//!     let element = element?;
//!     let bytes = chain.mem().translate_all(element.range, element.access)?;
//!     assert_eq!(bytes.read::<[u8; 5]>(0)?, *b"hello");
//! }
//!
//! // The drop returns the chain. The driver sees it when the burst ends.
//! drop(chain);
//! drop(burst);
//!
//! let used: u16 = memory.read_obj(GuestAddress(0x3002))?;
//! assert_eq!(u16::from_le(used), 1);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Handles
//!
//! A queue owns its memory, so it needs a handle that keeps the memory in place:
//!
//! | you have | the queue's memory is |
//! | --- | --- |
//! | `Arc<GuestMemoryMmap<B>>` | `VmMemory::new(arc)`, a `VmMemory<Arc<GuestMemoryMmap<B>>>` |
//! | `GuestMemoryAtomic<GuestMemoryMmap<B>>` | `VmMemory::from(&atomic)`, of the same type |
//! | any `GuestAddressSpace` as a type parameter `S` | `VmMemory::new(space.memory())`, a `VmMemory<S::T>`, if `S::T` is a [`Handle`] |
//! | a `GuestRegionCollection` of your own regions | the same, if they implement [`Region`] |
//! | your own memory | the same, if it implements [`Memory`] |
//!
//! Each `VmMemory` is a [`StableMem`](virtio_mem_traits::StableMem), so a queue can own it.
//!
//! # Speed
//!
//! Make one `VmMemory` for each memory, and clone it for each queue. The first one translates every region: it takes
//! note of its place, its length and its rights. Then an address is found as in a `RegionTable` of virtio-util, with as
//! many loads, also among hundreds of regions. A [`RegionCache`](virtio_mem_traits::RegionCache) around it gains
//! nothing.
//!
//! # Memory that is replaced
//!
//! The conversion from a `GuestMemoryAtomic` takes a snapshot. A queue uses its snapshot, and keeps it mapped, even
//! after the VMM replaces the memory in the `GuestMemoryAtomic`, for example to plug in memory. After each replacement,
//! pass the new snapshot to every queue: `queue.replace_mem(VmMemory::from(&atomic))`. Chains in flight stay in flight.
//!
//! # Dirty bitmaps
//!
//! If the regions have a bitmap, `VmMemory` marks each byte that the device writes, after the write, and no other byte.
//! It marks the bytes of a buffer before the driver can see that the buffer is used.
//!
//! * In buffers, it marks the written bytes, and not the rest of the buffer. The code that writes must report the
//!   bytes. virtio-chain does so, also for pieces that a system call writes.
//! * In a split queue, it marks used elements, the used index, and the flags or `avail_event` when the device sets
//!   them. In a packed queue, it marks the length, the id and the flags of used descriptors, and the device's event
//!   suppression.
//! * Reads are not marked.
//!
//! Most bitmaps track whole pages, so the whole page becomes dirty. Memory with the bitmap `()` has no cost: `VmMemory`
//! does not look up written bytes there.
//!
//! # Unsupported memory
//!
//! * A region that is not mapped for both reading and writing. A device reads rings with atomic loads, and these need
//!   writable memory. Map a ROM privately and writable instead.
//! * Memory of a build with vm-memory's feature `xen`. A grant is mapped only while a guard lives, so the translations
//!   of a queue would become invalid. [`VmMemory`] does not compile in such a build.
//! * vm-memory's `IommuMemory`, because its translations change. Wrap the memory behind the IOMMU in
//!   `virtio_util::IommuMem`.
//!
//! # Other accesses to the memory
//!
//! The rest of the VMM can continue to use vm-memory. Its accesses are atomic, volatile, or copies by raw pointer. A
//! device treats them like accesses by the guest: each value can have changed, and the device reads it once. There must
//! be no reference or slice of that memory. Only unsafe code can create one. You must not truncate a file behind a
//! region: an access beyond its end raises SIGBUS. The same holds for vm-memory itself.
//!
//! # When not to use it
//!
//! For memory that you map yourself: [`DriverMem`](virtio_mem_traits::DriverMem) has only one required method.
//!
//! # Features
//!
//! | feature | default | what it adds | what it needs |
//! | --- | --- | --- | --- |
//! | `atomic` | yes | `GuestMemoryAtomic` and its guards | `backend-atomic` of vm-memory, with arc-swap |
//! | `vm-memory-0-17` | no | the types of vm-memory 0.17.1, beside those of 0.18 | vm-memory 0.17.1, and no other 0.17 |
//!
//! # Versions
//!
//! The types are those of vm-memory 0.18. vm-memory 0.17.2 and later 0.17 versions export the same types, so a VMM on
//! 0.17.2 needs no feature. The types of 0.17.1 are different. vhost-user-backend 0.22 pins 0.17.1. With the feature
//! `vm-memory-0-17`, the types of 0.17.1 implement [`Memory`] as well. One program can use both versions.
//!
//! The crate works on Unix only. On other systems, vm-memory does not tell how a region is mapped.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

#[cfg(not(unix))]
compile_error!("virtio-vm-memory must be built for Unix: elsewhere, vm-memory does not tell how a region is mapped");

extern crate alloc;

#[cfg(feature = "atomic")]
mod atomic;
mod handle;
mod mapping;
mod memory;
mod searched;
mod vm_memory;

pub use self::handle::Handle;
pub use self::memory::{Memory, Region};
pub use self::vm_memory::VmMemory;
