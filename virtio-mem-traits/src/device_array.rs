//! Driver memory that is proved to be an array.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::access::{ReadOnly, Readable, Rights, Writable};
use crate::device_range::DeviceRange;
use crate::device_range::is_aligned;
use crate::word::{Word, Words};
use crate::word::{load_words, store_words};

/// A [`DeviceRange`] viewed as an array of `T`.
///
/// It has as many elements as fit into the range. Size, alignment and the rights `A` are checked once. Each access
/// checks only its index.
///
/// Use a `DeviceArray` for a table that is accessed often. Its methods do not report accesses: as with a range, the
/// caller reports them to the memory.
///
/// ```
/// use virtio_mem_traits::{Access, DeviceArray, DriverAddr, DriverMem, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0), 64)?;
/// let range = mem.translate_all(mem.range(), Access::ReadWrite)?;
/// range.store_relaxed(24, [1_u32, 2])?;
///
/// let pairs = DeviceArray::<[u32; 2]>::new(range).ok_or("misaligned")?;
/// assert_eq!(pairs.len(), 8);
/// assert_eq!(pairs.load_relaxed(3), Some([1, 2]));
/// assert_eq!(pairs.load_relaxed(8), None);
/// assert_eq!(pairs.load_field::<u32, 4>(3), Some(2));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeviceArray<'a, T: Words, A = ReadOnly> {
    /// INVARIANT: aligned to the size of a word; the demands of [`DeviceRange::new`] hold for `len` times `T` during
    /// `'a`.
    ptr: NonNull<T::Word>,
    len: usize,
    _memory: PhantomData<(DeviceRange<'a>, A)>,
}

// SAFETY: it allows no more than the range that it was made from, and the range is `Send`.
unsafe impl<T: Words, A> Send for DeviceArray<'_, T, A> {}
// SAFETY: as for `Send`; the range is `Sync`.
unsafe impl<T: Words, A> Sync for DeviceArray<'_, T, A> {}

impl<'a, T: Words, A: Rights> DeviceArray<'a, T, A> {
    /// Returns `range` as an array, or `None` if the range is not aligned or does not have the rights `A`.
    #[inline]
    #[must_use]
    pub fn new(range: DeviceRange<'a>) -> Option<Self> {
        const { assert!(size_of::<T>() != 0, "an element has at least one word") };
        let ptr = range.as_ptr().cast::<T::Word>();
        let proved = range.access().allows(A::ACCESS) && is_aligned(ptr);
        proved.then(|| Self { ptr, len: range.len() / size_of::<T>(), _memory: PhantomData })
    }

    /// Vouches for `len` elements at `ptr`.
    ///
    /// # Safety
    ///
    /// 1. `ptr` is aligned to the size of a word.
    /// 2. The demands of [`DeviceRange::new`] hold for the elements during `'a`, and the device has the rights `A`.
    #[inline]
    pub(crate) const unsafe fn new_unchecked(ptr: NonNull<T::Word>, len: usize) -> Self {
        Self { ptr, len, _memory: PhantomData }
    }

    /// Returns an array without elements.
    #[inline]
    #[must_use]
    pub const fn empty() -> Self {
        Self { ptr: NonNull::dangling(), len: 0, _memory: PhantomData }
    }

    /// Returns the number of elements.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no elements.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the first `len` elements, or all elements if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn prefix(self, len: usize) -> Self {
        Self { len: len.min(self.len), ..self }
    }

    /// Returns the array without its first `len` elements, or an empty array if there are not more than `len`.
    #[inline(always)]
    #[must_use]
    pub fn after(self, len: usize) -> Self {
        let skipped = len.min(self.len);
        // SAFETY: `skipped <= self.len`, so the result is inside the memory that `ptr` is valid for, or at its end.
        let ptr = unsafe { self.ptr.cast::<T>().add(skipped) };
        Self { ptr: ptr.cast(), len: self.len - skipped, ..self }
    }

    /// Returns the place of the element at `index`, or `None` if there is no such element.
    #[inline(always)]
    fn element(&self, index: usize) -> Option<NonNull<T>> {
        // SAFETY: `index < self.len`, so the element is inside the memory that `ptr` is valid for.
        (index < self.len).then(|| unsafe { self.ptr.cast::<T>().add(index) })
    }

    /// Returns the place of the word at byte `OFFSET` of the element at `index`, or `None` if there is no such element.
    #[inline(always)]
    fn field<W: Word, const OFFSET: usize>(&self, index: usize) -> Option<NonNull<W>> {
        const {
            assert!(OFFSET + size_of::<W>() <= size_of::<T>(), "the word is inside of the element");
            assert!(OFFSET % size_of::<W>() == 0, "the word is aligned in the element");
            assert!(size_of::<W>() <= size_of::<T::Word>(), "the element is aligned for such words");
        }
        // SAFETY: `OFFSET` lies inside the element, as was asserted.
        self.element(index).map(|element| unsafe { element.byte_add(OFFSET) }.cast())
    }
}

impl<'a, T: Words, A: Readable> DeviceArray<'a, T, A> {
    /// Returns the array for reading only.
    #[inline(always)]
    #[must_use]
    pub const fn reader(self) -> DeviceArray<'a, T> {
        DeviceArray { ptr: self.ptr, len: self.len, _memory: PhantomData }
    }
}

/// Loads. Each returns `None` if there is no element at `index`.
///
/// The methods for fields are for elements that have words of several sizes. A word that is not inside the element, or
/// not aligned in it, does not compile.
impl<T: Words, A: Readable> DeviceArray<'_, T, A> {
    /// Loads the element at `index`, each of its words once and relaxed.
    #[inline(always)]
    #[must_use]
    pub fn load_relaxed(&self, index: usize) -> Option<T> {
        let element = self.element(index)?;
        // SAFETY: (1) and (2) by the invariant, (3) by (2) of `DeviceRange::new`.
        Some(unsafe { load_words(element.cast()) })
    }

    /// Loads the word at byte `OFFSET` of the element at `index`, once and relaxed.
    #[inline(always)]
    #[must_use]
    pub fn load_field<W: Word, const OFFSET: usize>(&self, index: usize) -> Option<W> {
        let word = self.field::<W, OFFSET>(index)?;
        // SAFETY: (1) `ptr`, the size of an element and `OFFSET` are multiples of the size of `W`: `OFFSET` was
        // asserted to be one, and `W` was asserted to be no larger than `T::Word`, so the size of `T::Word` is one; (2)
        // by the invariant; (3) by (2) of `DeviceRange::new`.
        Some(unsafe { W::load_relaxed(word) })
    }

    /// Loads the word at byte `OFFSET` of the element at `index`, with acquire ordering.
    #[inline(always)]
    #[must_use]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn load_field_acquire<W: Word, const OFFSET: usize>(&self, index: usize) -> Option<W> {
        let word = self.field::<W, OFFSET>(index)?;
        // SAFETY: as for `load_field`.
        Some(unsafe { W::load_acquire(word) })
    }
}

/// Stores. Each returns `None` and stores nothing if there is no element at `index`.
impl<T: Words, A: Writable> DeviceArray<'_, T, A> {
    /// Stores the element at `index`, each of its words once and relaxed.
    #[inline(always)]
    pub fn store_relaxed(&self, index: usize, value: T) -> Option<()> {
        let element = self.element(index)?;
        // SAFETY: (1) and (2) by the invariant, (3) by (2) of `DeviceRange::new`.
        unsafe { store_words(element.cast(), value) };
        Some(())
    }

    /// Stores the word at byte `OFFSET` of the element at `index`, with release ordering.
    #[inline(always)]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn store_field_release<W: Word, const OFFSET: usize>(&self, index: usize, value: W) -> Option<()> {
        let word = self.field::<W, OFFSET>(index)?;
        // SAFETY: as for `load_field`.
        unsafe { W::store_release(word, value) };
        Some(())
    }
}

impl<T: Words, A> Clone for DeviceArray<'_, T, A> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Words, A> Copy for DeviceArray<'_, T, A> {}
