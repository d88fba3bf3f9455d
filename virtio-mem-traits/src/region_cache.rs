//! A region that is accessed often.

use core::cell::Cell;
use core::fmt;

use crate::driver_mem::whole;
use crate::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Driver memory that remembers one of its regions, so that an address in it is found by two comparisons, however long the
/// memory itself has to search.
///
/// The first address that it is asked for decides which, and later every sixteenth of those that lie elsewhere: a region that is asked
/// for now and then seldom takes the place of one that is asked for often. Only what the device may both read and write is
/// remembered.
///
/// It is a borrow of the memory, and for one thread: make one beside a queue, or for a burst.
///
/// # When not to use it
///
/// For a memory that is a single region, which is as fast by itself. Where no region has more buffers than others: then it
/// costs a few comparisons and gains nothing. Behind an IOMMU whose mappings the driver changes: what was remembered
/// goes on being answered when the mapping is gone.
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
    known: Cell<Region<'m>>,
    /// How many addresses were not found.
    misses: Cell<u32>,
}

/// One in so many addresses that were not found decides which region is remembered.
const MISSES: u32 = 16;

/// What is remembered: where the driver has it, and where it is.
#[derive(Clone, Copy)]
struct Region<'m> {
    start: DriverAddr,
    /// INVARIANT: it may be read and written.
    memory: DeviceRange<'m>,
}

impl<'m, M: DriverMem + ?Sized> RegionCache<'m, M> {
    /// Returns `mem` with nothing remembered.
    #[inline]
    #[must_use]
    pub const fn new(mem: &'m M) -> Self {
        let nothing = Region { start: DriverAddr(0), memory: DeviceRange::empty() };
        Self { mem, known: Cell::new(nothing), misses: Cell::new(0) }
    }

    /// Returns what is remembered of the first `len` bytes at `start`, if that is all of them.
    #[inline]
    fn find(&self, start: DriverAddr, len: u64) -> Option<DeviceRange<'m>> {
        let Region { start: from, memory } = self.known.get();
        let offset = usize::try_from(start.0.wrapping_sub(from.0)).ok()?;
        memory.slice(offset, usize::try_from(len).ok()?)
    }

    /// Asks the memory for what is not remembered.
    #[cold]
    #[inline(never)]
    fn ask(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'m>, TranslateError> {
        let misses = self.misses.get();
        self.misses.set(misses.wrapping_add(1));
        if misses % MISSES == 0 {
            self.remember(range);
        }
        self.mem.translate(range, access)
    }

    /// Remembers the region that `range` begins in.
    #[cold]
    #[inline(never)]
    fn remember(&self, range: DriverRange) {
        let Ok((around, memory)) = self.mem.region(range, Access::ReadWrite) else { return };
        if memory.access() == Access::ReadWrite {
            // What lies beyond the region is nobody's answer, should the memory behind it go on.
            let memory = memory.prefix(usize::try_from(around.len()).unwrap_or(usize::MAX));
            self.known.set(Region { start: around.start(), memory });
        }
    }
}

impl<M: DriverMem + ?Sized> DriverMem for RegionCache<'_, M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range.start(), range.len()) {
            Some(memory) => Ok(memory.for_access(access)),
            None => self.ask(range, access),
        }
    }

    #[inline]
    fn translate_all(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range.start(), range.len()) {
            Some(memory) => Ok(memory.for_access(access)),
            None => whole(range, self.ask(range, access)?),
        }
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.mem.region(range, access)
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
        f.debug_struct("RegionCache").field("known", &self.known.get().memory).finish_non_exhaustive()
    }
}
