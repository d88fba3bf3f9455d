//! A region that is accessed often.

use core::cell::Cell;
use core::fmt;

use crate::driver_mem::whole;
use crate::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Driver memory that remembers one of its regions for reading and one for writing, so that an address in it is found
/// by two comparisons, however long the memory itself has to search.
///
/// The first address that it is asked for decides which, and later every sixteenth of those that lie elsewhere: a
/// region that is asked for now and then seldom takes the place of one that is asked for often. Reading and writing are
/// remembered apart: the memory is asked for no more rights than the caller asks for (FEAT-12). What is asked for both
/// at once is not looked up.
///
/// Nothing is remembered of a memory whose translations do not [last](DriverMem::translations_last), as behind an
/// IOMMU: each address goes through to it.
///
/// It is a borrow of the memory, and for one thread: make one beside a queue, or for a burst.
///
/// # When not to use it
///
/// For a memory that is a single region, which is as fast by itself. Where no region has more buffers than others, or
/// where translations do not last: then it costs a few comparisons and gains nothing.
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
    for_reading: Slot<'m>,
    for_writing: Slot<'m>,
}

/// One in so many addresses that were not found decides which region is remembered.
const MISSES: u32 = 16;

/// A place for one region, to be accessed in one way.
struct Slot<'m> {
    known: Cell<Region<'m>>,
    /// How many addresses were not found.
    misses: Cell<u32>,
}

/// What is remembered: where the driver has it, and where it is.
#[derive(Clone, Copy)]
struct Region<'m> {
    start: DriverAddr,
    /// With the rights of its slot, and no others.
    memory: DeviceRange<'m>,
}

impl<'m> Slot<'m> {
    const fn empty() -> Self {
        let nothing = Region { start: DriverAddr(0), memory: DeviceRange::empty() };
        Self { known: Cell::new(nothing), misses: Cell::new(0) }
    }

    /// Returns what is remembered of the first `len` bytes at `start`, if that is all of them.
    #[inline]
    fn find(&self, start: DriverAddr, len: u64) -> Option<DeviceRange<'m>> {
        let Region { start: from, memory } = self.known.get();
        let offset = usize::try_from(start.0.wrapping_sub(from.0)).ok()?;
        memory.slice(offset, usize::try_from(len).ok()?)
    }

    /// Counts an address that was not found, and returns whether its region is to be remembered.
    fn missed(&self) -> bool {
        let misses = self.misses.get();
        self.misses.set(misses.wrapping_add(1));
        misses % MISSES == 0
    }
}

impl<'m, M: DriverMem + ?Sized> RegionCache<'m, M> {
    /// Returns `mem` with nothing remembered.
    #[inline]
    #[must_use]
    pub const fn new(mem: &'m M) -> Self {
        Self { mem, for_reading: Slot::empty(), for_writing: Slot::empty() }
    }

    /// Returns where a region for `access` is remembered, if it is at all.
    #[inline]
    const fn slot(&self, access: Access) -> Option<&Slot<'m>> {
        match access {
            Access::Read => Some(&self.for_reading),
            Access::Write => Some(&self.for_writing),
            Access::ReadWrite => None,
        }
    }

    /// Returns what is remembered of `range`, if that is all of it.
    #[inline]
    fn find(&self, range: DriverRange, access: Access) -> Option<DeviceRange<'m>> {
        self.slot(access)?.find(range.start(), range.len())
    }

    /// Asks the memory for what is not remembered.
    #[cold]
    #[inline(never)]
    fn ask(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'m>, TranslateError> {
        if let Some(slot) = self.slot(access) {
            if slot.missed() && self.mem.translations_last() {
                self.remember(slot, range, access);
            }
        }
        self.mem.translate(range, access)
    }

    /// Remembers the region that `range` begins in.
    #[cold]
    #[inline(never)]
    fn remember(&self, slot: &Slot<'m>, range: DriverRange, access: Access) {
        let Ok((around, memory)) = self.mem.region(range, access) else { return };
        if memory.access().allows(access) {
            // What lies beyond the region is nobody's answer, should the memory behind it go on.
            let memory = memory.prefix(usize::try_from(around.len()).unwrap_or(usize::MAX)).for_access(access);
            slot.known.set(Region { start: around.start(), memory });
        }
    }
}

impl<M: DriverMem + ?Sized> DriverMem for RegionCache<'_, M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range, access) {
            Some(memory) => Ok(memory),
            None => self.ask(range, access),
        }
    }

    #[inline]
    fn translate_all(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.find(range, access) {
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
        let Region { start, memory } = self.slot(access)?.known.get();
        memory.slice_u32(addr.0.wrapping_sub(start.0), len)
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
        f.debug_struct("RegionCache")
            .field("for_reading", &self.for_reading.known.get().memory)
            .field("for_writing", &self.for_writing.known.get().memory)
            .finish_non_exhaustive()
    }
}
