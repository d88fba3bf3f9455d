//! A proved part of driver memory that is kept, and accessed again and again.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::{error, fmt};

use crate::access::{Readable, Rights, Writable};
use crate::word::{load_words, store_words};
use crate::{
    Access, AccessError, DeviceArray, DeviceRange, DriverAddr, DriverRange, StableMem, TranslateError, Word, Words,
};

/// A part of driver memory that was proved once, for size, alignment and access, and is accessed word by word from then
/// on: one of the three areas of a virtqueue.
///
/// It holds a handle `M` on the memory, so it may be moved and kept; `A` says what the device may do with it; the
/// driver gave its address as a multiple of `ALIGN`, and single accesses may be to words of that alignment at most.
/// Accesses go to byte offsets and are bounds-checked. Each is reported to the memory.
///
/// The rights are about the device. On the host the memory is mapped for reading and writing in any case, as
/// [`DeviceRange::new`] demands of whoever vouches for it.
///
/// An area that is contiguous here costs one comparison for an access. One that is not, because its host mapping is
/// fragmented (LAY-4), works as well: what lies beyond its first piece is translated anew for each access.
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
    /// INVARIANT: all that [`DeviceRange::new`] demands holds for `contiguous` bytes until `mem` is dropped; a multiple
    /// of `ALIGN`.
    ptr: NonNull<u8>,
    contiguous: usize,
    range: DriverRange,
    mem: M,
    _rights: PhantomData<A>,
}

// SAFETY: what `ptr` points at may be accessed from any thread, by (1) of `DeviceRange::new`; `M` is `Send`.
unsafe impl<M: Send, A, const ALIGN: usize> Send for Area<M, A, ALIGN> {}
// SAFETY: as for `Send`; every access is atomic, and `M` is `Sync`.
unsafe impl<M: Sync, A, const ALIGN: usize> Sync for Area<M, A, ALIGN> {}

impl<M: StableMem, A: Rights, const ALIGN: usize> Area<M, A, ALIGN> {
    /// Proves that all of `range` is there, aligned and accessible. It does not access it.
    ///
    /// # Errors
    ///
    /// If any of that is not so.
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
        // The pointer outlives the borrow that it came from: `M: StableMem` keeps what it points at valid.
        Ok(Self { ptr, contiguous, range, mem, _rights: PhantomData })
    }

    /// Returns the handle on the memory.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &M {
        &self.mem
    }

    /// Returns where the driver has it.
    #[inline]
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Returns whether a `T` at `offset` is aligned and all in the first piece of the area, which usually is all of it.
    ///
    /// With an offset that is a multiple of the word's size at compile time, that is one comparison.
    #[inline]
    fn has<T: Words>(&self, offset: usize) -> bool {
        const { assert!(ALIGN % size_of::<T::Word>() == 0, "the area is not aligned for such words") };
        let inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.contiguous);
        inside && offset % size_of::<T::Word>() == 0
    }

    /// Returns where a `T` at `offset` is.
    ///
    /// # Safety
    ///
    /// 1. [`has`](Self::has) says that it is there.
    #[inline]
    unsafe fn place<T: Words>(&self, offset: usize) -> NonNull<T::Word> {
        // SAFETY: `offset` lies in the first piece by (1).
        unsafe { self.ptr.add(offset) }.cast()
    }

    /// Returns what is in the first piece of the area from byte `offset` on, as an array of at most `len` elements:
    /// fewer if not as many are there, none if `offset` is not aligned. Whoever accesses them reports that.
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
        // SAFETY: (1) and (2) by the invariant of `ptr`, of which `offset` is a multiple; `mem` outlives the borrow of
        // `self`.
        unsafe { DeviceArray::new_unchecked(ptr.cast(), len) }
    }

    /// Returns the part of the driver's range that an access touches, for the report to the memory.
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

    /// Translates the beginning of `range`, and proves it accessible and as aligned here as it is for the driver.
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

    /// Translates the word `index` of a `T` at `offset` that does not lie in the first piece, or not all of it, or is
    /// not aligned.
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
    /// If it is not inside the area or not aligned, or if the memory is gone.
    #[inline]
    pub fn load_relaxed<T: Words>(&self, offset: usize) -> Result<T, AreaError> {
        self.before_read(offset, size_of::<T>());
        if !self.has::<T>(offset) {
            return self.load_in_pieces(offset);
        }
        // SAFETY: (1) was looked at.
        let words = unsafe { self.place::<T>(offset) };
        // SAFETY: (1) and (2) by `has`, (3) by the invariant of `ptr`.
        Ok(unsafe { load_words(words) })
    }

    /// Loads the word at `offset` with acquire ordering.
    ///
    /// # Errors
    ///
    /// If it is not inside the area or not aligned, or if the memory is gone.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn load_acquire<W: Word>(&self, offset: usize) -> Result<W, AreaError> {
        self.before_read(offset, size_of::<W>());
        if !self.has::<W>(offset) {
            // Not in a function of its own, as for stores: packed rings are faster like this.
            return Ok(self.translate_word::<W>(offset, 0)?.load_acquire(0)?);
        }
        // SAFETY: (1) was looked at.
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
    /// If it does not fit into the area or is not aligned, or if the memory is gone. Words beyond the first piece of
    /// the area may have been stored by then, if the memory of a later one went in the meantime; they were reported.
    #[inline]
    pub fn store_relaxed<T: Words>(&self, offset: usize, value: T) -> Result<(), AreaError> {
        if self.has::<T>(offset) {
            // SAFETY: (1) was looked at.
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
    /// If it does not fit into the area or is not aligned, or if the memory is gone.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn store_release<W: Word>(&self, offset: usize, value: W) -> Result<(), AreaError> {
        if self.has::<W>(offset) {
            // SAFETY: (1) was looked at.
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
        // Nothing is stored unless there is a place for every word, as it looks.
        for index in 0..value.as_words().len() {
            self.translate_word::<T>(offset, index)?;
        }
        for (index, word) in value.as_words().iter().enumerate() {
            if let Err(error) = self.store_word::<T>(offset, index, *word) {
                // The place is gone after all. The words before it were stored, and the caller reports none of them.
                if index != 0 {
                    self.written(offset, index * size_of::<T::Word>());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stores the word `index` of a `T` at `offset`, wherever it is.
    fn store_word<T: Words>(&self, offset: usize, index: usize, word: T::Word) -> Result<(), AreaError> {
        Ok(self.translate_word::<T>(offset, index)?.store_relaxed(0, word)?)
    }
}

impl<M, A, const ALIGN: usize> fmt::Debug for Area<M, A, ALIGN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area").field("range", &self.range).finish_non_exhaustive()
    }
}

/// An [`Area`] that cannot be made, or an access to one that failed.
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
    /// The driver gave an address that is not aligned.
    Misaligned {
        /// The address.
        addr: DriverAddr,
        /// The alignment that it needs, in bytes.
        align: usize,
    },
    /// The driver's address is aligned, but the place where it is mapped is not.
    HostMisaligned {
        /// The driver's address.
        addr: DriverAddr,
        /// The alignment that it needs, in bytes.
        align: usize,
    },
    /// The memory is not there, or not for this access.
    Translate(TranslateError),
    /// An access that is not all inside the area.
    OutOfRange {
        /// Where the access begins, in bytes from the start of the area.
        offset: usize,
        /// The size of the access in bytes.
        size: usize,
        /// The length of the area in bytes.
        len: u64,
    },
    /// An access that the translated memory refuses, for its alignment or its rights.
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
                f.write_str("the two must agree, as those of pages do")
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
