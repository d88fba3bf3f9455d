//! A region whose translation is known.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::access::Access;
use crate::device_range::DeviceRange;
use crate::driver_mem::{DriverMem, StableMem};
use crate::driver_range::{DriverAddr, DriverRange};

/// The place of a region, for reading, writing or both. An address in it is found with two comparisons.
///
/// PERF: one place and two lengths, so that only the length depends on the kind of access (`direct-8-burst-32`).
#[derive(Clone, Copy)]
pub(crate) struct Known<'m> {
    start: DriverAddr,
    /// INVARIANT: the demands of [`DeviceRange::new`] hold during `'m` for as many bytes as the larger of `lens`. The
    /// device can read as many bytes as the first of `lens`, and write as many as the second.
    ptr: NonNull<u8>,
    /// The lengths of the region for reading and for writing, in bytes.
    lens: [usize; 2],
    _memory: PhantomData<DeviceRange<'m>>,
}

// SAFETY: it is a `DeviceRange` for reading and one for writing, which are `Send`.
unsafe impl Send for Known<'_> {}
// SAFETY: as for `Send`; a `DeviceRange` is `Sync`.
unsafe impl Sync for Known<'_> {}

impl<'m> Known<'m> {
    /// Returns a region without bytes.
    pub(crate) const fn nothing() -> Self {
        Self { start: DriverAddr(0), ptr: NonNull::dangling(), lens: [0; 2], _memory: PhantomData }
    }

    /// Returns the region of `mem` that contains the start of `range`, for reading or for writing. The memory is asked
    /// for no other right (FEAT-12).
    pub(crate) fn ask(mem: &'m (impl DriverMem + ?Sized), range: DriverRange, access: Access) -> Option<Self> {
        let (around, memory) = mem.region(range, access).ok().filter(|(_, memory)| memory.access().allows(access))?;
        Some(Self::of(around, memory, access))
    }

    /// Returns the part of `range` that lies in the region of its start.
    fn ask_within(mem: &'m (impl DriverMem + ?Sized), range: DriverRange, access: Access) -> Option<Self> {
        let (around, memory) = mem.region(range, access).ok().filter(|(_, memory)| memory.access().allows(access))?;
        let skipped = around.offset_of(range.start())?;
        let part = range.prefix(around.len() - skipped);
        Some(Self::of(part, memory.after(usize::try_from(skipped).ok()?), access))
    }

    /// Returns a region that `memory` backs. It never goes beyond `range`, even if the host mapping does.
    fn of(range: DriverRange, memory: DeviceRange<'m>, access: Access) -> Self {
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX).min(memory.len());
        let lens = [access.reads(), access.writes()].map(|allowed| if allowed { len } else { 0 });
        Self { start: range.start(), ptr: memory.as_ptr(), lens, _memory: PhantomData }
    }

    /// Returns the region for every access that `self` or `other` allows, if the two begin at the same place.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        let ([reading, writing], [other_reading, other_writing]) = (self.lens, other.lens);
        let lens = [reading.max(other_reading), writing.max(other_writing)];
        (self.start == other.start && self.ptr == other.ptr).then_some(Self { lens, ..self })
    }

    /// Returns the `len` bytes at `addr`, for reading or for writing, if they are all in the region.
    #[inline(always)]
    pub(crate) fn find(&self, addr: DriverAddr, len: usize, access: Access) -> Option<DeviceRange<'m>> {
        if access == Access::ReadWrite {
            return None;
        }
        let known = *self.lens.get(usize::from(access.writes()))?;
        let offset = usize::try_from(addr.0.wrapping_sub(self.start.0)).ok()?;
        if offset.checked_add(len)? > known {
            return None;
        }
        // SAFETY: `offset <= known`, so the result is inside the region by the invariant.
        let ptr = unsafe { self.ptr.add(offset) };
        // SAFETY: (1), (2) and (3) by the invariant, for reading or for writing as `access` says.
        Some(unsafe { DeviceRange::new(ptr, len, access) })
    }
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [reading, writing] = self.lens;
        write!(f, "{} at {:p}, {reading:#x} bytes for reading and {writing:#x} for writing", self.start, self.ptr)
    }
}

/// A region of driver memory that is translated once.
///
/// A memory of many regions can be made of such regions, and finds an address in a few instructions.
///
/// [`new`](Self::new) translates the region for reading and for writing, if translations of the memory
/// [last](DriverMem::translations_last). If they do not last, the region has no bytes. The region keeps a handle on the
/// memory, so it can be moved and kept.
///
/// A device does not need this type. The region table of the crate virtio-util is made of such regions.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverRange, HeapMem, Region};
///
/// let mem = HeapMem::new(DriverAddr(0x4000), 0x1000)?;
/// let region = Region::new(&mem, DriverRange::new(DriverAddr(0x4100), 0x100).ok_or("beyond 2^64")?);
/// assert!(region.find(DriverAddr(0x41ff), 1, Access::Write).is_some());
/// assert!(region.find(DriverAddr(0x41ff), 2, Access::Write).is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Region<M> {
    /// INVARIANT: valid until `_mem` is dropped, not for `'static`.
    known: Known<'static>,
    _mem: Option<M>,
}

impl<M: StableMem> Region<M> {
    /// Returns a region without bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self { known: Known::nothing(), _mem: None }
    }

    /// Translates the part of `range` that lies in one piece with its start.
    #[must_use]
    pub fn new(mem: M, range: DriverRange) -> Self {
        let known = if mem.translations_last() { Self::known(&mem, range) } else { Known::nothing() };
        let Known { start, ptr, lens, .. } = known;
        // The pointer outlives the borrow that it came from: `M: StableMem` keeps the memory at the pointer valid.
        Self { known: Known { start, ptr, lens, _memory: PhantomData }, _mem: Some(mem) }
    }

    fn known(mem: &M, range: DriverRange) -> Known<'_> {
        match [Access::Read, Access::Write].map(|access| Known::ask_within(mem, range, access)) {
            [Some(read), Some(write)] => read.and(write).unwrap_or(read),
            [read, write] => read.or(write).unwrap_or(Known::nothing()),
        }
    }

    /// Returns the `len` bytes at `addr`, for reading or for writing, if they are all in the region.
    ///
    /// `None` gives no reason. After `None`, ask the memory.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.known.find(addr, usize::try_from(len).ok()?, access)
    }
}

impl<M> fmt::Debug for Region<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Region").field(&self.known).finish()
    }
}
