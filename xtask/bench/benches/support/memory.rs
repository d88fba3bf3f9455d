//! The memory that all contenders of a benchmark share.

use std::sync::Arc;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, RegionCache};
use virtio_util::RegionTable;
use virtio_vm_memory::{Memory as VmMem, VmMemory};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

/// Driver memory as our queues hold it.
///
/// This is the counterpart of the peer's `GuestMemoryMmap`, a vector of regions that is sorted by address: both search
/// for the region of each address, also where there is only one, and reach it through an `Arc`, since memory is shared
/// by the queues of a machine, and regions by the tables of which one replaces the other.
pub(crate) type Table = Arc<RegionTable<Arc<HeapMem>>>;

/// The same memory in vm-memory, as our queues hold it.
pub(crate) type Guest = VmMemory<Arc<GuestMem>>;

/// The memory of the peer, and what it is the memory of.
pub(crate) struct GuestMem {
    guest: GuestMemoryMmap,
    _memory: Arc<Memory>,
}

impl VmMem for GuestMem {
    type Region = GuestRegionMmap;

    fn find(&self, addr: DriverAddr) -> Option<&GuestRegionMmap> {
        self.guest.find(addr)
    }

    fn regions(&self) -> impl Iterator<Item = &GuestRegionMmap> {
        self.guest.regions()
    }
}

/// Memory as a device looks buffers up in it while it serves a queue.
pub(crate) trait LookUp: DriverMem {
    /// What the device asks.
    type Through<'m>: DriverMem
    where
        Self: 'm;

    /// Returns that, for as long as the device goes on.
    fn look_up(&self) -> Self::Through<'_>;
}

/// What is recommended.
impl LookUp for Table {
    type Through<'m> = &'m RegionTable<Arc<HeapMem>>;

    fn look_up(&self) -> &RegionTable<Arc<HeapMem>> {
        self
    }
}

/// What a memory that searches is put into. A table gains nothing by it.
impl LookUp for Arc<Table> {
    type Through<'m> = RegionCache<'m, RegionTable<Arc<HeapMem>>>;

    fn look_up(&self) -> Self::Through<'_> {
        RegionCache::new(self)
    }
}

/// What is recommended as well.
impl LookUp for Guest {
    type Through<'m> = &'m Self;

    fn look_up(&self) -> &Self {
        self
    }
}

/// A single region is as fast by itself.
impl LookUp for Arc<HeapMem> {
    type Through<'m> = &'m HeapMem;

    fn look_up(&self) -> &HeapMem {
        self
    }
}

/// Driver memory: the first region has the rings and indirect tables, and all have buffers.
#[derive(Debug)]
pub(crate) struct Memory {
    table: Table,
    regions: Vec<Arc<HeapMem>>,
    /// How much of the first region has been given away.
    taken: u64,
}

/// Where the first region begins, and how far the beginnings of regions are apart: there are gaps between them.
const BASE: u64 = 0x1_0000_0000;
const STRIDE: u64 = 0x1000_0000;

impl Memory {
    /// Allocates as many regions, each with a pool of bytes for buffers, the first one with `room` for more.
    pub(crate) fn new(regions: u16, pool: u64, room: u64) -> Self {
        let region = |index| {
            let len = pool + if index == 0 { room } else { 0 };
            let len = usize::try_from(len).expect("it is less than the stride");
            let mem = HeapMem::new(DriverAddr(BASE + STRIDE * u64::from(index)), len);
            Arc::new(mem.expect("there is as much memory"))
        };
        let regions: Vec<_> = (0..regions).map(region).collect();
        let table = RegionTable::new(regions.iter().map(|mem| (mem.range(), Arc::clone(mem))));
        Self { table: Arc::new(table.expect("regions do not overlap")), regions, taken: pool }
    }

    /// Gives away `len` bytes of the first region, in cache lines.
    pub(crate) fn take(&mut self, len: usize) -> DriverAddr {
        let addr = DriverAddr(BASE + self.taken);
        self.taken += (len as u64).next_multiple_of(64);
        addr
    }

    /// Returns the address of what lies `offset` bytes into the pool of a region.
    pub(crate) fn pool(region: u16, offset: u64) -> DriverAddr {
        DriverAddr(BASE + STRIDE * u64::from(region) + offset)
    }

    /// Returns all regions as one memory.
    pub(crate) fn table(&self) -> Table {
        Arc::clone(&self.table)
    }

    /// Returns the first region as a memory of its own.
    pub(crate) fn flat(&self) -> Arc<HeapMem> {
        Arc::clone(&self.regions[0])
    }

    /// Returns the memory at an address, for the driver.
    pub(crate) fn range(&self, addr: DriverAddr, len: usize) -> DeviceRange<'_> {
        let range = DriverRange::new(addr, len as u64).expect("it is in a region");
        self.table.translate_all(range, Access::ReadWrite).expect("it is in a region")
    }

    /// Returns the address of the same byte on this side.
    pub(crate) fn host(&self, addr: DriverAddr) -> u64 {
        self.range(addr, 1).as_ptr().addr().get() as u64
    }

    /// Returns how far the addresses on this side are from the driver's, in the first region.
    pub(crate) fn offset(&self) -> u64 {
        self.host(DriverAddr(BASE)).wrapping_sub(BASE)
    }

    /// Returns what a driver that shares the device's address space would call an address: it is as far from the one on
    /// this side as in the first region, whatever region it is in. The raw loops know no regions.
    pub(crate) fn direct(&self, addr: DriverAddr) -> DriverAddr {
        DriverAddr(self.host(addr).wrapping_sub(self.offset()))
    }

    /// Returns the same memory in vm-memory, for our queues.
    pub(crate) fn guest(self: &Arc<Self>) -> Guest {
        // SAFETY: (1) both are kept together.
        let guest = unsafe { self.for_peer() };
        VmMemory::new(Arc::new(GuestMem { guest, _memory: Arc::clone(self) }))
    }

    /// Returns the same memory for the peer.
    ///
    /// # Safety
    ///
    /// 1. This memory outlives what is returned.
    pub(crate) unsafe fn for_peer(&self) -> GuestMemoryMmap {
        let region = |mem: &Arc<HeapMem>| {
            let range = mem.range();
            let len = usize::try_from(range.len()).expect("it was allocated");
            let ptr = self.range(range.start(), len).as_ptr().as_ptr();
            let builder = MmapRegionBuilder::new(len).with_mmap_prot(PROT_READ_WRITE);
            // SAFETY: `len` bytes from `ptr` on are mapped and page-aligned, and stay so by (1). No references to them
            // are formed.
            let builder = unsafe { builder.with_raw_mmap_pointer(ptr) };
            let mapping = builder.build().expect("the pointer is aligned");
            GuestRegionMmap::new(mapping, GuestAddress(range.start().0)).expect("no overflow")
        };
        GuestMemoryMmap::from_regions(self.regions.iter().map(region).collect()).expect("regions do not overlap")
    }
}

/// What `mmap` calls PROT_READ and PROT_WRITE.
const PROT_READ_WRITE: i32 = 1 | 2;
