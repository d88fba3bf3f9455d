//! Remembers a region that is accessed often.

use core::cell::Cell;
use core::fmt;

use crate::access::Access;
use crate::device_range::DeviceRange;
use crate::driver_mem::whole;
use crate::driver_mem::{DriverMem, TranslateError};
use crate::driver_range::{DriverAddr, DriverRange};
use crate::region::Known;

/// A driver memory that remembers one region of another memory.
///
/// An address in the remembered region is found with two comparisons, even if the memory itself needs a long search.
///
/// The cache remembers the region of the first address. Then it replaces the region on every sixteenth miss, so that a
/// rare region rarely evicts a busy one. It remembers reading after a translation for reading, and writing after a
/// translation for writing. So it never asks the memory for more rights than the caller asks for (FEAT-12).
/// Translations for reading and writing at once always go to the memory.
///
/// If translations of the memory do not [last](DriverMem::translations_last), as behind an IOMMU, the cache remembers
/// nothing: each address goes to the memory.
///
/// The cache borrows the memory, and works in one thread. Make one beside a queue, or one for each burst.
///
/// # When not to use it
///
/// Do not use it for a memory of one region, or for the region table of the crate virtio-util: both are as fast without
/// it. Use it for a memory that searches, such as a binary tree of another crate.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem, RegionCache};
///
/// let mem = HeapMem::new(DriverAddr(0x4000), 0x1000)?;
/// let cache = RegionCache::new(&mem);
/// let buffer = DriverRange::new(DriverAddr(0x4ff0), 0x20).ok_or("beyond 2^64")?;
/// assert_eq!(cache.translate(buffer, Access::Read)?.len(), 0x10);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct RegionCache<'m, M: ?Sized> {
    mem: &'m M,
    known: Cell<Known<'m>>,
    /// How many addresses were not found, for reading and for writing.
    misses: [Cell<u32>; 2],
}

/// One in so many misses replaces the remembered region.
const MISSES: u32 = 16;

impl<'m, M: DriverMem + ?Sized> RegionCache<'m, M> {
    /// Returns a cache of `mem` that remembers nothing yet.
    #[inline]
    #[must_use]
    pub const fn new(mem: &'m M) -> Self {
        Self { mem, known: Cell::new(Known::nothing()), misses: [const { Cell::new(0) }; 2] }
    }

    /// Returns the `len` bytes at `addr`, if they all lie in the remembered region.
    // PERF: the value is not copied out of the cell (`cache/direct-8-burst-32`).
    #[inline(always)]
    fn find(&self, addr: DriverAddr, len: u64, access: Access) -> Option<DeviceRange<'m>> {
        // SAFETY: only `ask` writes to the cell. `ask` does not run while this reference is alive: not in this thread,
        // and not in another thread, because a cell is not `Sync`.
        let known = unsafe { &*self.known.as_ptr() };
        known.find(addr, usize::try_from(len).ok()?, access)
    }

    /// Translates in the memory what the cache does not remember.
    #[cold]
    #[inline(never)]
    fn ask(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'m>, TranslateError> {
        if access != Access::ReadWrite && self.missed(access) && self.mem.translations_last() {
            if let Some(found) = Known::ask(self.mem, range, access) {
                self.known.set(self.known.get().and(found).unwrap_or(found));
            }
        }
        self.mem.translate(range, access)
    }

    /// Counts a miss, and returns whether the cache must remember its region.
    fn missed(&self, access: Access) -> bool {
        let [reading, writing] = &self.misses;
        let count = if access.writes() { writing } else { reading };
        let misses = count.get();
        count.set(misses.wrapping_add(1));
        misses % MISSES == 0
    }
}

impl<M: DriverMem + ?Sized> DriverMem for RegionCache<'_, M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range.start(), range.len(), access) {
            Some(memory) => Ok(memory),
            None => self.ask(range, access),
        }
    }

    #[inline]
    fn translate_all(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range.start(), range.len(), access) {
            Some(memory) => Ok(memory),
            None => whole(range, self.ask(range, access)?),
        }
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.mem.region(range, access)
    }

    #[inline]
    fn translations_last(&self) -> bool {
        self.mem.translations_last()
    }

    /// Returns `None` on a miss, without asking the memory. The caller then calls `translate`, which counts the miss.
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.find(addr, len.into(), access)
    }

    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        self.mem.reports(access)
    }

    #[inline]
    fn before_read(&self, range: DriverRange) {
        self.mem.before_read(range);
    }

    #[inline]
    fn written(&self, range: DriverRange) {
        self.mem.written(range);
    }
}

impl<M: ?Sized> fmt::Debug for RegionCache<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionCache").field("known", &self.known.get()).finish_non_exhaustive()
    }
}
