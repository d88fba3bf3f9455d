//! Implements the traits for the memories of vm-memory.

use core::any::TypeId;
use core::ptr::NonNull;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

use crate::memory::{Memory, Region};

/// The protection that a mapping must have. `prot` returns the protection that was passed to `mmap`. For a mapping from
/// elsewhere, `MmapRegion::build_raw` requires the caller to pass the true protection.
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// A fallback method for mappings that are not plain.
///
/// With its feature `xen`, vm-memory has another `MmapRegion`, for grants that are mapped only while a guard lives.
/// That type has no method `owned`, so the call resolves to the method of this trait. If a type has a method of that
/// name, the call resolves to the method of the type.
#[allow(dead_code, reason = "vm-memory's features decide whether it is called")]
trait NotPlain: Sized {
    /// Does not compile.
    fn owned(&self) -> bool {
        const {
            assert!(
                size_of::<Self>() == usize::MAX,
                "memory must stay mapped: build vm-memory without its feature `xen`"
            );
        }
        false
    }
}

/// Implements [`Memory`] and [`Region`] for one version of vm-memory. `$backend` is its trait for a memory that stays
/// mapped.
macro_rules! memories {
    ($version:ident, $backend:ident) => {
        impl<R: Region + $version::GuestMemoryRegion> Memory for $version::GuestRegionCollection<R> {
            type Region = R;

            #[inline]
            fn find(&self, addr: DriverAddr) -> Option<&R> {
                $version::$backend::find_region(self, $version::GuestAddress(addr.0))
            }

            #[inline]
            fn regions(&self) -> impl Iterator<Item = &R> {
                $version::$backend::iter(self)
            }
        }

        impl<B: $version::bitmap::Bitmap + 'static> Region for $version::GuestRegionMmap<B> {
            #[inline]
            fn range(&self) -> DriverRange {
                use $version::GuestMemoryRegion;
                // vm-memory creates no region that ends beyond 2^64.
                DriverRange::new(DriverAddr(self.start_addr().0), self.len()).unwrap_or(DriverRange::EMPTY)
            }

            #[inline]
            fn memory(&self, access: Access) -> Option<DeviceRange<'_>> {
                let mapping: &$version::MmapRegion<B> = self;
                // This compiles only for a plain mapping. Such a mapping lives as long as its `MmapRegion`.
                let _: bool = mapping.owned();
                if mapping.prot() & READ_WRITE != READ_WRITE {
                    return None;
                }
                let ptr = NonNull::new(mapping.as_ptr())?;
                // SAFETY: a plain `MmapRegion` of vm-memory maps `size` bytes at `as_ptr` until it is dropped. It is
                // not dropped while `self` is borrowed, and nothing changes the mapping before. (1) The bytes are
                // mapped for reading and for writing, whatever `access` is, and are bound to no thread. (2) Safe code
                // gets no reference to the bytes from vm-memory, except to an atomic
                // (`VolatileMemory::get_atomic_ref`). All other access types (`VolatileSlice`, `VolatileRef`,
                // `VolatileArrayRef`, and `Bytes` on top of them) use atomic or volatile accesses or copies by raw
                // pointer. They are meant for memory that a guest writes at the same time. So vm-memory's accesses
                // elsewhere in the VMM are like those of one more guest: no side relies on unchanged bytes. (3) The
                // bytes are one mapping, and no mapping is longer than `isize::MAX`.
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
