//! A proved part of driver memory that is kept and accessed often.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::{error, fmt};

use crate::access::Access;
use crate::access::{Readable, Rights, Writable};
use crate::device_array::DeviceArray;
use crate::device_range::{AccessError, DeviceRange};
use crate::driver_mem::{StableMem, TranslateError};
use crate::driver_range::{DriverAddr, DriverRange};
use crate::word::{Word, Words};
use crate::word::{load_words, store_words};

/// A part of driver memory that is proved once and accessed word by word.
///
/// An area of a virtqueue is such a part. Size, alignment and access are proved when it is made.
///
/// It holds a handle `M` on the memory, so it can be moved and kept. `A` is what the device can do with it. The
/// driver's address of the area is a multiple of `ALIGN` bytes. Words of a single access have at most `ALIGN` bytes.
/// Each access has a byte offset, is checked against the bounds, and is reported to the memory.
///
/// The rights `A` limit the device. The host always maps the memory for reading and writing, as [`DeviceRange::new`]
/// demands.
///
/// If the area is contiguous on the host, an access costs one comparison. An area in several pieces works too (LAY-4).
/// An access beyond its first piece translates again.
///
/// ```
/// use virtio_mem_traits::{Area, DriverAddr, DriverRange, HeapMem, ReadWrite};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x1010), 16).ok_or("too long")?;
/// let area = Area::<_, ReadWrite, 4>::new(&mem, range)?;
/// area.store_release(12, 7_u16)?;
/// assert_eq!(area.load_acquire::<u16>(12)?, 7);
/// assert!(area.load_acquire::<u16>(16).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Area<M, A, const ALIGN: usize> {
    /// INVARIANT: the demands of [`DeviceRange::new`] hold for `contiguous` bytes until `mem` is dropped; a multiple of
    /// `ALIGN`.
    ptr: NonNull<u8>,
    contiguous: usize,
    range: DriverRange,
    mem: M,
    _rights: PhantomData<A>,
}

// SAFETY: the memory at `ptr` can be accessed from any thread, by (1) of `DeviceRange::new`; `M` is `Send`.
unsafe impl<M: Send, A, const ALIGN: usize> Send for Area<M, A, ALIGN> {}
// SAFETY: as for `Send`; every access is atomic, and `M` is `Sync`.
unsafe impl<M: Sync, A, const ALIGN: usize> Sync for Area<M, A, ALIGN> {}

impl<M: StableMem, A: Rights, const ALIGN: usize> Area<M, A, ALIGN> {
    /// Proves that all of `range` is mapped, aligned and accessible, without accessing it.
    ///
    /// # Errors
    ///
    /// If a part of `range` is not mapped, not aligned or not accessible.
    pub fn new(mem: M, range: DriverRange) -> Result<Self, AreaError> {
        const { assert!(ALIGN.is_power_of_two()) };
        if !range.start().is_aligned_to(ALIGN as u64) {
            return Err(AreaError::Misaligned { addr: range.start(), align: ALIGN });
        }
        let first = Self::piece(&mem, range)?;
        let (ptr, contiguous) = (first.as_ptr(), first.len());
        let mut rest = range.after(contiguous as u64);
        while !rest.is_empty() {
            rest = rest.after(Self::piece(&mem, rest)?.len() as u64);
        }
        // The pointer outlives the borrow that it came from. `M: StableMem` keeps the memory at the pointer valid.
        Ok(Self { ptr, contiguous, range, mem, _rights: PhantomData })
    }

    /// Returns the handle on the memory.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &M {
        &self.mem
    }

    /// Returns the driver's addresses of the area.
    #[inline]
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Returns whether a `T` at `offset` is aligned and lies in the first piece of the area. Most areas are one piece.
    ///
    /// If the offset is known at compile time to be a multiple of the word's size, this is one comparison.
    #[inline]
    fn has<T: Words>(&self, offset: usize) -> bool {
        const { assert!(ALIGN % size_of::<T::Word>() == 0, "the area is not aligned for such words") };
        let inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.contiguous);
        inside && offset % size_of::<T::Word>() == 0
    }

    /// Returns the place of the `T` at `offset`.
    ///
    /// # Safety
    ///
    /// 1. [`has`](Self::has) returned `true` for this `T` and this `offset`.
    #[inline]
    unsafe fn place<T: Words>(&self, offset: usize) -> NonNull<T::Word> {
        // SAFETY: `offset` lies in the first piece by (1).
        unsafe { self.ptr.add(offset) }.cast()
    }

    /// Returns at most `len` elements from byte `offset` on as an array, within the first piece of the area.
    ///
    /// The array has fewer elements if the piece has fewer. It has none if `offset` is not aligned. The caller reports
    /// accesses to the array.
    #[inline(always)]
    #[must_use]
    pub fn array<T: Words>(&self, offset: usize, len: usize) -> DeviceArray<'_, T, A> {
        const { assert!(ALIGN % size_of::<T::Word>() == 0, "the area is not aligned for such words") };
        const { assert!(size_of::<T>() != 0, "an element has at least one word") };
        if offset > self.contiguous || offset % size_of::<T::Word>() != 0 {
            return DeviceArray::empty();
        }
        let len = len.min((self.contiguous - offset) / size_of::<T>());
        // SAFETY: `offset <= self.contiguous`.
        let ptr = unsafe { self.ptr.add(offset) };
        // SAFETY: (1) by the invariant of `ptr`, and because `offset` is a multiple of the word's size; (2) by the
        // invariant of `ptr`; `mem` outlives the borrow of `self`.
        unsafe { DeviceArray::new_unchecked(ptr.cast(), len) }
    }

    /// Returns the part of the driver's range that an access reports to the memory.
    #[inline]
    fn part(&self, offset: usize, size: usize) -> DriverRange {
        self.range.after(offset as u64).prefix(size as u64)
    }

    /// Reports that `size` bytes at `offset` are about to be read.
    #[inline(always)]
    fn before_read(&self, offset: usize, size: usize) {
        if self.mem.reports(Access::Read) {
            self.mem.before_read(self.part(offset, size));
        }
    }

    /// Reports that `size` bytes at `offset` were written.
    #[inline(always)]
    fn written(&self, offset: usize, size: usize) {
        if self.mem.reports(Access::Write) {
            self.mem.written(self.part(offset, size));
        }
    }

    /// Translates the first piece of `range`, and proves that it is accessible and that the host and the driver's
    /// address agree modulo `ALIGN`.
    fn piece(mem: &M, range: DriverRange) -> Result<DeviceRange<'_>, AreaError> {
        let addr = range.start();
        let piece = mem.translate(range, A::ACCESS)?;
        if piece.is_empty() && !range.is_empty() {
            return Err(TranslateError::Unmapped { addr }.into());
        }
        if !piece.access().allows(A::ACCESS) {
            return Err(TranslateError::Denied { addr, access: A::ACCESS }.into());
        }
        let shift = (piece.as_ptr().addr().get() as u64).wrapping_sub(addr.0);
        if shift % ALIGN as u64 != 0 {
            return Err(AreaError::HostMisaligned { addr, align: ALIGN });
        }
        Ok(piece.prefix(usize::try_from(range.len()).unwrap_or(usize::MAX)))
    }

    /// Translates the word `index` of a `T` at `offset`, if the `T` is not aligned or not wholly in the first piece.
    #[cold]
    #[inline(never)]
    fn translate_word<T: Words>(&self, offset: usize, index: usize) -> Result<DeviceRange<'_>, AreaError> {
        let (size, word) = (size_of::<T>(), size_of::<T::Word>());
        let out_of_range = AreaError::OutOfRange { offset, size, len: self.range.len() };
        let all = self.range.slice(offset as u64, size as u64).ok_or(out_of_range)?;
        if offset % word != 0 {
            return Err(AccessError::Misaligned { offset, align: word }.into());
        }
        let part = all.after((index * word) as u64).prefix(word as u64);
        Ok(self.mem.translate_all(part, A::ACCESS)?)
    }
}

impl<M: StableMem, A: Readable, const ALIGN: usize> Area<M, A, ALIGN> {
    /// Loads `T` at `offset`, each of its words once and relaxed.
    ///
    /// # Errors
    ///
    /// If the bytes are not inside the area or not aligned, or if the memory is gone.
    #[inline]
    pub fn load_relaxed<T: Words>(&self, offset: usize) -> Result<T, AreaError> {
        self.before_read(offset, size_of::<T>());
        if !self.has::<T>(offset) {
            return self.load_in_pieces(offset);
        }
        // SAFETY: (1) was checked above.
        let words = unsafe { self.place::<T>(offset) };
        // SAFETY: (1) and (2) by `has`, (3) by the invariant of `ptr`.
        Ok(unsafe { load_words(words) })
    }

    /// Loads the word at `offset` with acquire ordering.
    ///
    /// # Errors
    ///
    /// If the bytes are not inside the area or not aligned, or if the memory is gone.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn load_acquire<W: Word>(&self, offset: usize) -> Result<W, AreaError> {
        self.before_read(offset, size_of::<W>());
        if !self.has::<W>(offset) {
            // Stores have a function of their own for this case. Loads do not: packed rings are faster this way.
            return Ok(self.translate_word::<W>(offset, 0)?.load_acquire(0)?);
        }
        // SAFETY: (1) was checked above.
        let word = unsafe { self.place::<W>(offset) };
        // SAFETY: (1) and (2) by `has`, (3) by the invariant of `ptr`.
        Ok(unsafe { W::load_acquire(word) })
    }

    #[cold]
    #[inline(never)]
    fn load_in_pieces<T: Words>(&self, offset: usize) -> Result<T, AreaError> {
        T::try_from_fn(|index| Ok(self.translate_word::<T>(offset, index)?.load_relaxed(0)?))
    }
}

impl<M: StableMem, A: Writable, const ALIGN: usize> Area<M, A, ALIGN> {
    /// Stores `value` at `offset`, each of its words once and relaxed.
    ///
    /// # Errors
    ///
    /// If the value does not fit into the area or is not aligned, or if the memory is gone. If memory beyond the first
    /// piece goes away during the call, some words can already be stored. Those words are reported.
    #[inline]
    pub fn store_relaxed<T: Words>(&self, offset: usize, value: T) -> Result<(), AreaError> {
        if self.has::<T>(offset) {
            // SAFETY: (1) was checked above.
            let words = unsafe { self.place::<T>(offset) };
            // SAFETY: (1) and (2) by `has`, (3) by the invariant of `ptr`.
            unsafe { store_words(words, value) };
        } else {
            self.store_in_pieces(offset, value)?;
        }
        self.written(offset, size_of::<T>());
        Ok(())
    }

    /// Stores the word at `offset` with release ordering.
    ///
    /// # Errors
    ///
    /// If the word does not fit into the area or is not aligned, or if the memory is gone.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn store_release<W: Word>(&self, offset: usize, value: W) -> Result<(), AreaError> {
        if self.has::<W>(offset) {
            // SAFETY: (1) was checked above.
            let word = unsafe { self.place::<W>(offset) };
            // SAFETY: (1) and (2) by `has`, (3) by the invariant of `ptr`.
            unsafe { W::store_release(word, value) };
        } else {
            self.store_release_elsewhere(offset, value)?;
        }
        self.written(offset, size_of::<W>());
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn store_release_elsewhere<W: Word>(&self, offset: usize, value: W) -> Result<(), AreaError> {
        Ok(self.translate_word::<W>(offset, 0)?.store_release(0, value)?)
    }

    #[cold]
    #[inline(never)]
    fn store_in_pieces<T: Words>(&self, offset: usize, value: T) -> Result<(), AreaError> {
        // All words are translated first: if one of them is missing now, nothing is stored.
        for index in 0..value.as_words().len() {
            self.translate_word::<T>(offset, index)?;
        }
        for (index, word) in value.as_words().iter().enumerate() {
            if let Err(error) = self.store_word::<T>(offset, index, *word) {
                // The memory went away after the check. The words before this one are stored, and the caller does not
                // report them.
                if index != 0 {
                    self.written(offset, index * size_of::<T::Word>());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stores the word `index` of a `T` at `offset`, in any piece of the area.
    fn store_word<T: Words>(&self, offset: usize, index: usize, word: T::Word) -> Result<(), AreaError> {
        Ok(self.translate_word::<T>(offset, index)?.store_relaxed(0, word)?)
    }
}

impl<M, A, const ALIGN: usize> fmt::Debug for Area<M, A, ALIGN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area").field("range", &self.range).finish_non_exhaustive()
    }
}

/// The reason why an [`Area`] cannot be made, or why an access to it failed.
///
/// ```
/// use virtio_mem_traits::{Area, DriverAddr, DriverRange, HeapMem, ReadOnly};
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x18), 0x40).ok_or("beyond 2^64")?;
/// let error = Area::<_, ReadOnly, 16>::new(&mem, range).unwrap_err();
/// assert_eq!(error.to_string(), "address 0x18 of the area is not aligned: it must be a multiple of 16");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AreaError {
    /// The driver's address of the area is not aligned.
    Misaligned {
        /// The address.
        addr: DriverAddr,
        /// The alignment that the address needs, in bytes.
        align: usize,
    },
    /// The driver's address is aligned, but its host address is not.
    HostMisaligned {
        /// The driver's address.
        addr: DriverAddr,
        /// The alignment that the address needs, in bytes.
        align: usize,
    },
    /// The memory is not mapped, or not for this access.
    Translate(TranslateError),
    /// The access is not wholly inside the area.
    OutOfRange {
        /// Where the access begins, in bytes from the start of the area.
        offset: usize,
        /// The size of the access in bytes.
        size: usize,
        /// The length of the area in bytes.
        len: u64,
    },
    /// The translated memory refuses the access, because of its alignment or its rights.
    Access(AccessError),
}

impl From<TranslateError> for AreaError {
    fn from(error: TranslateError) -> Self {
        Self::Translate(error)
    }
}

impl From<AccessError> for AreaError {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { addr, align } => {
                write!(f, "address {addr} of the area is not aligned: it must be a multiple of {align}")
            }
            Self::HostMisaligned { addr, align } => {
                write!(f, "driver memory at {addr} is mapped to a host address that differs from it modulo {align}: ")?;
                f.write_str("the two addresses must be equal modulo that number, as those of a page are")
            }
            Self::Translate(error) => error.fmt(f),
            Self::OutOfRange { offset, size, len } => {
                write!(f, "{size} bytes at offset {offset} do not fit into an area of {len} bytes")
            }
            Self::Access(error) => error.fmt(f),
        }
    }
}

impl error::Error for AreaError {}
