//! Driver memory on the heap, for tests, examples and drivers in the same program.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use core::{error, fmt};

use crate::access::Access;
#[cfg(not(virtio_loom))]
use crate::copy;
use crate::device_range::DeviceRange;
use crate::driver_mem::{DriverMem, TranslateError};
use crate::driver_range::{DriverAddr, DriverRange};
#[cfg(virtio_loom)]
use crate::model as copy;

/// One zeroed, page-aligned region of driver memory, allocated on the heap.
///
/// Both sides of a virtqueue can use it from different threads: every access is atomic, or equivalent to atomic.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0x8000_0000), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x8000_0010), 5).ok_or("too long")?;
/// mem.translate_all(range, Access::Write)?.write_bytes(0, b"hello")?;
/// assert_eq!(mem.translate_all(range, Access::Read)?.read::<[u8; 5]>(0)?, *b"hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct HeapMem {
    /// INVARIANT: `layout` bytes of the heap, which belong to this value until its drop.
    ptr: NonNull<u8>,
    layout: Layout,
    /// INVARIANT: as long as the allocation.
    range: DriverRange,
}

// SAFETY: the allocation belongs to this value, and is accessed only through `DeviceRange`.
unsafe impl Send for HeapMem {}
// SAFETY: as for `Send`; `DeviceRange` can be used from any thread.
unsafe impl Sync for HeapMem {}

impl HeapMem {
    /// The alignment of the first byte on the host, in bytes.
    ///
    /// For the driver, the first byte is as aligned as `base`.
    pub const ALIGN: usize = 4096;

    /// Allocates `len` zeroed bytes, which the driver knows at the addresses from `base` on.
    ///
    /// # Errors
    ///
    /// If `len` is zero, if the range ends beyond 2^64, or if there is not enough memory.
    pub fn new(base: DriverAddr, len: usize) -> Result<Self, HeapMemError> {
        let range = DriverRange::new(base, len as u64).filter(|range| !range.is_empty());
        let range = range.ok_or(HeapMemError::BadRange { base, len })?;
        let out_of_memory = HeapMemError::OutOfMemory { len };
        let layout = Layout::from_size_align(len, Self::ALIGN).map_err(|_| out_of_memory)?;
        // SAFETY: `layout` has at least one byte.
        let ptr = unsafe { alloc_zeroed(layout) };
        let ptr = NonNull::new(ptr).ok_or(out_of_memory)?;
        Ok(Self { ptr, layout, range })
    }

    /// Allocates memory that has `skipped` zeros and then `bytes`.
    pub(crate) fn holding(base: DriverAddr, skipped: usize, bytes: &[u8]) -> Result<Self, HeapMemError> {
        let len = skipped.saturating_add(bytes.len());
        let mem = Self::new(base, len)?;
        // SAFETY: `skipped` is at most `len`, which was allocated.
        let place = unsafe { mem.ptr.add(skipped) };
        // SAFETY: (1) `bytes.len()` bytes follow, because `skipped + bytes.len()` bytes were allocated (a sum that
        // saturates is too large to allocate); (2) the bytes are new.
        unsafe { copy::copy_out(bytes, place) };
        Ok(mem)
    }

    /// Returns all of the memory, for `access`.
    #[inline]
    pub(crate) const fn all(&self, access: Access) -> DeviceRange<'_> {
        // SAFETY: (1) the allocation is zeroed, so it can be read, and like all heap memory, it can be written; it
        // lives as long as `self` and is bound to no thread; (2) it leaves this module only as a `DeviceRange`; (3) it
        // is one allocation, so it is at most `isize::MAX` long.
        unsafe { DeviceRange::new(self.ptr, self.layout.size(), access) }
    }

    /// Returns the driver's addresses of the memory.
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }
}

impl DriverMem for HeapMem {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let Some(offset) = self.range.offset_of(range.start()) else {
            return Err(TranslateError::Unmapped { addr: range.start() });
        };
        let len = range.len().min(self.range.len() - offset);
        #[expect(clippy::cast_possible_truncation, reason = "both are at most the length of the allocation")]
        let (offset, len) = (offset as usize, len as usize);
        Ok(self.all(access).after(offset).prefix(len))
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        if self.range.offset_of(range.start()).is_none() {
            return Err(TranslateError::Unmapped { addr: range.start() });
        }
        Ok((self.range, self.all(access)))
    }

    #[inline]
    fn translations_last(&self) -> bool {
        true
    }

    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        let offset = usize::try_from(addr.0.wrapping_sub(self.range.start().0)).ok()?;
        self.all(access).slice(offset, usize::try_from(len).ok()?)
    }

    #[inline(always)]
    fn reports(&self, _access: Access) -> bool {
        false
    }
}

impl Drop for HeapMem {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout, and nothing can access it any more.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
    }
}

impl fmt::Debug for HeapMem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapMem({})", self.range)
    }
}

/// The reason why heap memory cannot be made.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let error = HeapMem::new(DriverAddr(0x1000), 0).unwrap_err();
/// assert!(error.to_string().starts_with("0 bytes at 0x1000 are not a range of driver memory"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapMemError {
    /// The range is empty, or ends beyond 2^64.
    BadRange {
        /// The first address.
        base: DriverAddr,
        /// The length in bytes.
        len: usize,
    },
    /// There is not enough memory.
    OutOfMemory {
        /// The length in bytes.
        len: usize,
    },
}

impl fmt::Display for HeapMemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange { base, len } => {
                write!(f, "{len} bytes at {base} are not a range of driver memory: ")?;
                f.write_str("it must have at least 1 byte and end at 2^64 at most")
            }
            Self::OutOfMemory { len } => write!(f, "{len} bytes could not be allocated: there is not enough memory"),
        }
    }
}

impl error::Error for HeapMemError {}
