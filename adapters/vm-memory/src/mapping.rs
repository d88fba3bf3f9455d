//! The memories that vm-memory has.

use core::any::TypeId;
use core::ptr::NonNull;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};
use vm_memory::bitmap::Bitmap;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestRegionCollection, GuestRegionMmap, MmapRegion,
};

use crate::memory::{Memory, Region};

impl<R: Region + GuestMemoryRegion> Memory for GuestRegionCollection<R> {
    type Region = R;

    #[inline]
    fn find(&self, addr: DriverAddr) -> Option<&R> {
        self.find_region(GuestAddress(addr.0))
    }
}

impl<B: Bitmap + 'static> Region for GuestRegionMmap<B> {
    #[inline]
    fn range(&self) -> DriverRange {
        // vm-memory makes no region that ends beyond 2^64.
        DriverRange::new(DriverAddr(self.start_addr().0), self.len()).unwrap_or(DriverRange::EMPTY)
    }

    #[inline]
    fn memory(&self, access: Access) -> Option<DeviceRange<'_>> {
        let mapping: &MmapRegion<B> = self;
        demand_plain(mapping);
        if !is_read_write(mapping) {
            return None;
        }
        let ptr = NonNull::new(mapping.as_ptr())?;
        // SAFETY: a plain `MmapRegion` of vm-memory maps `size` bytes at `as_ptr` until it is dropped, which is not
        // while `self` is borrowed, and nothing changes that before.
        // (1) They are mapped for reading and for writing, whatever `access` is, and bound to no thread.
        // (2) Safe code gets no reference to them from vm-memory but to an atomic (`VolatileMemory::get_atomic_ref`).
        // All else there (`VolatileSlice`, `VolatileRef`, `VolatileArrayRef`, and `Bytes` on top of them) is an
        // atomic or volatile access or a copy by raw pointer, made for memory that a guest writes at the same time.
        // So vm-memory's accesses elsewhere in the VMM are those of one more agent like the guest: no side relies on
        // what the other one leaves alone.
        // (3) They are one mapping, and no mapping is longer than `isize::MAX`.
        Some(unsafe { DeviceRange::new(ptr, mapping.size(), access) })
    }

    #[inline]
    fn mark_dirty(&self, offset: usize, len: usize) {
        let mapping: &MmapRegion<B> = self;
        mapping.bitmap().mark_dirty(offset, len);
    }

    #[inline]
    fn is_tracked() -> bool {
        TypeId::of::<B>() != TypeId::of::<()>()
    }
}

/// Returns whether a mapping is for reading and for writing.
///
/// `prot` says what `mmap` was asked for. Of a mapping that was made elsewhere, `MmapRegion::build_raw` demands that
/// it says what is so.
#[inline]
fn is_read_write<B: Bitmap>(mapping: &MmapRegion<B>) -> bool {
    const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    mapping.prot() & READ_WRITE == READ_WRITE
}

/// Compiles for a plain mapping alone, which stays for as long as its `MmapRegion`.
///
/// With its feature `xen`, vm-memory has another `MmapRegion`, for grants that are mapped no longer than a guard
/// lives. That one has no method `owned`, so what is called is that of [`NotPlain`]: the method of a type goes before
/// that of a trait.
#[inline]
fn demand_plain<B: Bitmap>(mapping: &MmapRegion<B>) {
    let _: bool = mapping.owned();
}

/// What every mapping has, and what is called of one that is not plain.
#[allow(dead_code, reason = "vm-memory decides whether it is called")]
trait NotPlain: Sized {
    /// Does not compile.
    fn owned(&self) -> bool {
        const {
            assert!(
                size_of::<Self>() == usize::MAX,
                "memory must stay mapped: build without vm-memory's feature `xen`"
            );
        }
        false
    }
}

impl<B> NotPlain for MmapRegion<B> {}
