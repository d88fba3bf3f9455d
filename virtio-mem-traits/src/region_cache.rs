//! A region that is accessed often.

use core::cell::Cell;
use core::fmt;

use crate::driver_mem::whole;
use crate::region::Known;
use crate::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Driver memory that remembers one of its regions, so that an address in it is found by two comparisons, however long
/// the memory itself has to search.
///
/// The first address that it is asked for decides which, and later every sixteenth of those that are not found: a
/// region that is asked for now and then seldom takes the place of one that is asked for often. It is remembered to be
/// read once it was read, and to be written once it was written: the memory is asked for no more rights than the caller
/// asks for (FEAT-12). What is asked for both at once is not looked up.
///
/// Nothing is remembered of a memory whose translations do not [last](DriverMem::translations_last), as behind an
/// IOMMU: each address goes through to it.
///
/// It is a borrow of the memory, and for one thread: make one beside a queue, or for a burst.
///
/// # When not to use it
///
/// For a memory that is a single region, and for the region table of the crate virtio-util: these are as fast by
/// themselves. It is for memories that search, such as a binary tree of somebody else's.
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
    /// How many addresses were not found, to be read and to be written.
    misses: [Cell<u32>; 2],
}

/// One in so many addresses that were not found decides which region is remembered.
const MISSES: u32 = 16;

impl<'m, M: DriverMem + ?Sized> RegionCache<'m, M> {
    /// Returns `mem` with nothing remembered.
    #[inline]
    #[must_use]
    pub const fn new(mem: &'m M) -> Self {
        Self { mem, known: Cell::new(Known::nothing()), misses: [const { Cell::new(0) }; 2] }
    }

    /// Returns the `len` bytes at `addr`, if they are all remembered.
    // PERF: the cell is not copied out of (`cache/direct-8-burst-32`).
    #[inline(always)]
    fn find(&self, addr: DriverAddr, len: u64, access: Access) -> Option<DeviceRange<'m>> {
        // SAFETY: only `ask` writes to the cell, which does not run while this reference is alive: not here, and not in
        // another thread, since a cell is not `Sync`.
        let known = unsafe { &*self.known.as_ptr() };
        known.find(addr, usize::try_from(len).ok()?, access)
    }

    /// Asks the memory for what is not remembered.
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

    /// Counts an address that was not found, and returns whether its region is to be remembered.
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

    /// What is not remembered is not asked for: whoever asks for it then decides what is.
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
