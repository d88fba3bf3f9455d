//! A region that is accessed often.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

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
    latest: Latest<'m>,
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

/// The region that was remembered last, for one way of access, and for the other one as well if that is the same
/// region.
///
/// PERF: an address in it is found without asking which slot to look into, and each field is loaded where it is
/// compared (`direct-8-burst-32`).
struct Latest<'m> {
    start: Cell<DriverAddr>,
    /// INVARIANT: all that [`DeviceRange::new`] demands holds during `'m` for as many bytes as each of `lens` says, and
    /// the device may read the first ones and write the second ones.
    ptr: Cell<NonNull<u8>>,
    /// How long the region is for reading, and for writing.
    lens: [Cell<usize>; 2],
    _memory: PhantomData<DeviceRange<'m>>,
}

impl<'m> Latest<'m> {
    const fn nothing() -> Self {
        let (start, ptr, lens) =
            (Cell::new(DriverAddr(0)), Cell::new(NonNull::dangling()), [const { Cell::new(0) }; 2]);
        Self { start, ptr, lens, _memory: PhantomData }
    }

    /// Returns the `len` bytes at `addr`, for reading or for writing, if they are in the region.
    #[inline(always)]
    fn find(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'m>> {
        let known = self.lens.get(usize::from(access.writes()))?.get();
        let offset = usize::try_from(addr.0.wrapping_sub(self.start.get().0)).ok()?;
        let len = usize::try_from(len).ok()?;
        if offset.checked_add(len)? > known {
            return None;
        }
        // SAFETY: `offset <= known`, so it stays inside of the region by the invariant.
        let ptr = unsafe { self.ptr.get().add(offset) };
        // SAFETY: (1), (2) and (3) by the invariant, for what `access` is of the two.
        Some(unsafe { DeviceRange::new(ptr, len, access) })
    }

    /// Remembers a region for reading or for writing, and the other one of the two if it is the same region.
    fn remember(&self, Region { start, memory }: Region<'m>) {
        let same = self.start.get() == start && self.ptr.get() == memory.as_ptr();
        for (writes, len) in [false, true].into_iter().zip(&self.lens) {
            if memory.access().writes() == writes {
                len.set(memory.len());
            } else if !same {
                len.set(0);
            }
        }
        self.start.set(start);
        self.ptr.set(memory.as_ptr());
    }
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
        Self { mem, for_reading: Slot::empty(), for_writing: Slot::empty(), latest: Latest::nothing() }
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
            // Never answers beyond the region, even if the host mapping goes on.
            let memory = memory.prefix(usize::try_from(around.len()).unwrap_or(usize::MAX)).for_access(access);
            let region = Region { start: around.start(), memory };
            slot.known.set(region);
            self.latest.remember(region);
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
        if access == Access::ReadWrite { None } else { self.latest.find(addr, len, access) }
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
