//! The memory that a VMM has in [`vm-memory`](https://docs.rs/vm-memory) as driver memory for virtio devices.
//!
//! A VMM on rust-vmm keeps its guest's memory in a `GuestMemoryMmap`, alone or in a `GuestMemoryAtomic`. [`VmMemory`]
//! lets the queues of this workspace have it, without unsafe code of your own:
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
//! // The device reads them. The crate virtio-chain has more than that for devices.
//! let mut burst = queue.burst();
//! let chain = burst.next_chain()?.ok_or("nothing is available")?;
//! for element in chain.walk() {
//!     let element = element?;
//!     let bytes = chain.mem().translate_all(element.range, element.access)?;
//!     assert_eq!(bytes.read::<[u8; 5]>(0)?, *b"hello");
//! }
//!
//! // The chain goes back when it is dropped, and the driver sees it when the burst ends.
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
//! A queue keeps its memory, and so needs a handle that keeps the memory in place:
//!
//! | you have | the queue's memory is |
//! | --- | --- |
//! | `Arc<GuestMemoryMmap<B>>` | `VmMemory::new(arc)`, a `VmMemory<Arc<GuestMemoryMmap<B>>>` |
//! | `GuestMemoryAtomic<GuestMemoryMmap<B>>` | `VmMemory::from(&atomic)`, of the same type |
//! | any `GuestAddressSpace` as a type parameter `S` | `VmMemory::new(space.memory())`, a `VmMemory<S::T>` |
//! | a `GuestRegionCollection` of regions of your own | the same, once they are a [`Region`] |
//! | a memory of your own | the same, once it is a [`Memory`] |
//!
//! With an `Arc`, or with the guard of a `GuestMemoryAtomic`, a `VmMemory` is a
//! [`StableMem`](virtio_mem_traits::StableMem). With other handles it is a
//! [`DriverMem`](virtio_mem_traits::DriverMem) and no more.
//!
//! # Memory that is replaced
//!
//! What is taken from a `GuestMemoryAtomic` is a snapshot. A queue stays in the snapshot that it was given, and keeps
//! it mapped, when the VMM plugs memory in and replaces what the `GuestMemoryAtomic` has. Whoever replaces the memory
//! hands the new snapshot to every queue: `queue.replace_mem(VmMemory::from(&atomic))`. Chains in flight stay in
//! flight.
//!
//! # Dirty bitmaps
//!
//! If the regions have a bitmap, each byte that the device writes is marked in it, after the write, and no other byte
//! is. Those of a buffer are marked before the driver can see that the buffer is used.
//!
//! * In buffers, that is what was written, and not the rest of the buffer. It is marked by whoever writes: virtio-chain
//!   does, also for pieces that were handed to a system call.
//! * In a split queue, those are used elements, the used index, and the flags or `avail_event` when they are set. In
//!   a packed queue, those are the length, the id and the flags of used descriptors, and the device's event
//!   suppression.
//! * What the device reads is not marked.
//!
//! A bitmap marks pages, as a rule, so what is dirty in the end is the page. Memory with the bitmap `()` is not
//! searched for what was written, and costs nothing.
//!
//! # What is refused
//!
//! * A region that is not mapped for both reading and writing. A device reads rings by atomic loads, which need
//!   writable memory also where they only read. Map a ROM privately and writable instead.
//! * Memory of a build with vm-memory's feature `xen`. A grant is mapped no longer than a guard lives, and what a
//!   queue has translated would be gone. [`VmMemory`] does not compile there.
//! * vm-memory's `IommuMemory`, whose translations change. Put `virtio_util::IommuMem` around the memory behind the
//!   IOMMU.
//!
//! # Who else accesses the memory
//!
//! The rest of the VMM can go on to use vm-memory, whose accesses are atomic, volatile, or copies by raw pointer. A
//! device takes them for accesses by the guest: whatever it reads may have changed, and is read once. What must not
//! be is a reference or a slice of that memory, which only unsafe code can make. A file behind a region must not be
//! truncated: an access beyond its end is a SIGBUS, with vm-memory as well.
//!
//! # When not to use it
//!
//! For memory that you map yourself, for which [`DriverMem`](virtio_mem_traits::DriverMem) is one method. With many
//! regions and much traffic, put a [`RegionCache`](virtio_mem_traits::RegionCache) around it: vm-memory searches its
//! regions for each address.
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
//! The types are those of vm-memory 0.18. From 0.17.2 on, 0.17 has the same types under its own names: a VMM on 0.17.2
//! needs no feature. The types of 0.17.1, which vhost-user-backend 0.22 pins, are different ones. With the feature
//! `vm-memory-0-17` they are a [`Memory`] as well. Both versions can be used in one program.
//!
//! It is for Unix: there is no mapping to ask for its rights elsewhere.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

#[cfg(not(unix))]
compile_error!("virtio-vm-memory is for Unix, where vm-memory says how a region is mapped");

extern crate alloc;

#[cfg(feature = "atomic")]
mod atomic;
mod mapping;
mod memory;
mod vm_memory;

pub use self::memory::{Memory, Region};
pub use self::vm_memory::VmMemory;
