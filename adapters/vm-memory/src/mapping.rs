//! The memories that vm-memory has.

use core::any::TypeId;
use core::ptr::NonNull;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

use crate::memory::{Memory, Region};

/// What a mapping must be for: `prot` says what `mmap` was asked for. Of a mapping that was made elsewhere,
/// `MmapRegion::build_raw` demands that it says what is so.
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// What every mapping has, and what is called of one that is not plain.
///
/// With its feature `xen`, vm-memory has another `MmapRegion`, for grants that are mapped no longer than a guard
/// lives. That one has no method `owned`, so what is called is that of this trait: the method of a type goes before
/// that of a trait.
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

/// Makes the memories of a version of vm-memory memories here. `$backend` is its trait for a memory that stays.
macro_rules! memories {
    ($version:ident, $backend:ident) => {
        impl<R: Region + $version::GuestMemoryRegion> Memory for $version::GuestRegionCollection<R> {
            type Region = R;

            // PERF: most memories have one region. vm-memory's search costs more (`split-guest-table/direct-8-burst-32`).
            #[inline(always)]
            fn find(&self, addr: DriverAddr) -> Option<&R> {
                let first = $version::$backend::iter(self).next()?;
                let offset = addr.0.wrapping_sub($version::GuestMemoryRegion::start_addr(first).0);
                if offset < $version::GuestMemoryRegion::len(first) {
                    return Some(first);
                }
                $version::$backend::find_region(self, $version::GuestAddress(addr.0))
            }
        }

        impl<B: $version::bitmap::Bitmap + 'static> Region for $version::GuestRegionMmap<B> {
            #[inline]
            fn range(&self) -> DriverRange {
                use $version::GuestMemoryRegion;
                // vm-memory makes no region that ends beyond 2^64.
                DriverRange::new(DriverAddr(self.start_addr().0), self.len()).unwrap_or(DriverRange::EMPTY)
            }

            #[inline]
            fn memory(&self, access: Access) -> Option<DeviceRange<'_>> {
                let mapping: &$version::MmapRegion<B> = self;
                // It compiles for a plain mapping alone, which stays for as long as its `MmapRegion`.
                let _: bool = mapping.owned();
                if mapping.prot() & READ_WRITE != READ_WRITE {
                    return None;
                }
                let ptr = NonNull::new(mapping.as_ptr())?;
                // SAFETY: a plain `MmapRegion` of vm-memory maps `size` bytes at `as_ptr` until it is dropped, which is
                // not while `self` is borrowed, and nothing changes that before. (1) They are mapped for reading and
                // for writing, whatever `access` is, and bound to no thread. (2) Safe code gets no reference to them
                // from vm-memory but to an atomic (`VolatileMemory::get_atomic_ref`). All else there (`VolatileSlice`,
                // `VolatileRef`, `VolatileArrayRef`, and `Bytes` on top of them) is an atomic or volatile access or a
                // copy by raw pointer, made for memory that a guest writes at the same time. So vm-memory's accesses
                // elsewhere in the VMM are those of one more agent like the guest: no side relies on what the other one
                // leaves alone. (3) They are one mapping, and no mapping is longer than `isize::MAX`.
                Some(unsafe { DeviceRange::new(ptr, mapping.size(), access) })
            }

            #[inline]
            fn mark_dirty(&self, offset: usize, len: usize) {
                let mapping: &$version::MmapRegion<B> = self;
                mapping.bitmap().mark_dirty(offset, len);
            }

            #[inline]
            fn is_tracked() -> bool {
                TypeId::of::<B>() != TypeId::of::<()>()
            }
        }

        impl<B> NotPlain for $version::MmapRegion<B> {}
    };
}

memories!(vm_memory, GuestMemoryBackend);
#[cfg(feature = "vm-memory-0-17")]
memories!(vm_memory_0_17, GuestMemory);
