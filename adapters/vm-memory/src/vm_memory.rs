//! The adapter type.

use alloc::sync::Arc;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, StableMem, TranslateError};
use virtio_util::RegionTable;

use crate::handle::Handle;
use crate::memory::{Memory, Region};
use crate::searched::Searched;

/// A memory of vm-memory as driver memory, through a handle `H`.
///
/// The handle is an `Arc` of a `GuestMemoryMmap`, the guard that `GuestMemoryAtomic::memory` returns, or another
/// [`Handle`]. A queue can own a `VmMemory`. A clone is another handle on the same memory, and costs one atomic
/// addition.
///
/// [`new`](Self::new) looks at all regions once, and takes note of the place, the length and the rights of each of
/// them. An access does not go through vm-memory any more, so it costs as much as in a [`RegionTable`].
///
/// A translation ends at the end of a region, even if the next region begins at the next address. A region that is not
/// mapped for both reading and writing refuses every access.
///
/// ```
/// use std::sync::Arc;
///
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange};
/// use virtio_vm_memory::VmMemory;
/// use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
///
/// let memory = Arc::new(GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0x1000), 0x1000)])?);
/// memory.write_obj(7_u32, GuestAddress(0x1ff8))?;
///
/// let mem = VmMemory::new(memory);
/// let range = DriverRange::new(DriverAddr(0x1ff8), 64).ok_or("beyond 2^64")?;
/// let piece = mem.translate(range, Access::Read)?;
/// assert_eq!(piece.len(), 8);
/// assert_eq!(piece.read::<u32>(0)?, 7);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct VmMemory<H> {
    shared: Arc<Shared<H>>,
}

/// What all clones have in common.
#[derive(Debug)]
struct Shared<H> {
    /// The regions, translated.
    table: RegionTable<Searched<H>>,
    searched: Searched<H>,
}

impl<H: Handle> VmMemory<H> {
    /// Wraps the memory behind `handle`, and translates its regions.
    ///
    /// Call it once for each memory, and clone the result for each queue.
    ///
    /// For the current snapshot of any `GuestAddressSpace`, call `VmMemory::new(space.memory())`. For a
    /// `GuestMemoryAtomic`, call `VmMemory::from(&atomic)`: its handle is better suited to being kept.
    #[must_use]
    pub fn new(handle: H) -> Self {
        let searched = Searched::new(handle);
        let regions = searched.handle().regions().map(|region| (region.range(), searched.clone()));
        // The regions of a memory that breaks its contract are searched each time.
        let table = RegionTable::new(regions).unwrap_or_default();
        Self { shared: Arc::new(Shared { table, searched }) }
    }

    /// Returns the handle.
    #[inline]
    #[must_use]
    pub fn handle(&self) -> &H {
        self.shared.searched.handle()
    }
}

impl<H: Handle> DriverMem for VmMemory<H> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.shared.searched.translate(range, access)
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.shared.searched.region(range, access)
    }

    #[inline]
    fn translations_last(&self) -> bool {
        self.shared.searched.translations_last()
    }

    // PERF: the table is one load away, and vm-memory's mapping is four (`split-guest/direct-8-burst-32`).
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.shared.table.translate_at_once(addr, len, access)
    }

    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        access.writes() && <H::Target as Memory>::Region::is_tracked()
    }

    #[inline]
    fn written(&self, range: DriverRange) {
        self.shared.searched.written(range);
    }
}

// SAFETY: (1) the clones share the handle, which is dropped after the last of them. A translation comes from the memory
// behind it, and a `Handle` keeps that in place. The regions in the table are translations of the same memory.
unsafe impl<H: Handle> StableMem for VmMemory<H> {}
