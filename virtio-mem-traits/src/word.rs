//! Single aligned accesses, for fields of a ring that the other side reads or writes at the same time.
//!
//! In the standard library, the only stable atomic access through a pointer needs a reference to an atomic. Such
//! references are formed only in this file. Each ends with its access. An atomic is an `UnsafeCell`. So a reference to
//! it does not promise that the value stays the same, or that nobody else changes it.

use core::convert::Infallible;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// An integer that is loaded or stored in one access: `u16`, `u32` or `u64`.
///
/// Values are in the byte order of the memory. The caller converts them to and from the byte order of the
/// specification. So hosts of either order do the same accesses (INV-10).
///
/// ```
/// use virtio_mem_traits::{AccessError, DeviceRange, Word};
///
/// fn poll<W: Word + PartialEq>(range: &DeviceRange<'_>, old: W) -> Result<bool, AccessError> {
///     Ok(range.load_acquire::<W>(0)? != old)
/// }
/// # use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem};
/// # let mem = HeapMem::new(DriverAddr(0), 64)?;
/// # assert!(poll(&mem.translate(mem.range(), Access::Read)?, 1_u16)?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Word: Words<Word = Self> + Default + sealed::Atomic {}

/// One word, or an array of adjacent words, loaded or stored with one access for each word.
///
/// Each word is accessed exactly once, from the lowest address to the highest. The accesses are relaxed: the other side
/// can see them in another order.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0), 64)?;
/// let range = mem.translate_all(mem.range(), Access::ReadWrite)?;
/// range.store_relaxed(8, [1_u32, 2])?;
/// assert_eq!(range.load_relaxed::<[u32; 2]>(8)?, [1, 2]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Words: Copy + sealed::Sealed {
    /// The type of each word.
    type Word: Word;

    /// Builds a value from its words. `word` is called for each index, from the first to the last.
    ///
    /// # Errors
    ///
    /// The first error that `word` returns.
    fn try_from_fn<E>(word: impl FnMut(usize) -> Result<Self::Word, E>) -> Result<Self, E>;

    /// Returns the words.
    fn as_words(&self) -> &[Self::Word];
}

impl<W: Word, const N: usize> Words for [W; N] {
    type Word = W;

    #[inline]
    fn try_from_fn<E>(mut word: impl FnMut(usize) -> Result<W, E>) -> Result<Self, E> {
        let mut words = [W::default(); N];
        for (index, slot) in words.iter_mut().enumerate() {
            *slot = word(index)?;
        }
        Ok(words)
    }

    #[inline]
    fn as_words(&self) -> &[W] {
        self
    }
}

impl<W: Word, const N: usize> sealed::Sealed for [W; N] {}

/// Loads the words of a `T`, each once and relaxed.
///
/// # Safety
///
/// As for the [operations](Atomic), on each of the words from `ptr` on.
#[inline]
pub(crate) unsafe fn load_words<T: Words>(ptr: NonNull<T::Word>) -> T {
    let Ok(words) = T::try_from_fn(|index| {
        // SAFETY: `T` has a word `index`, and all of them are valid by (2).
        let word = unsafe { ptr.add(index) };
        // SAFETY: the caller guarantees it.
        Ok::<_, Infallible>(unsafe { T::Word::load_relaxed(word) })
    });
    words
}

/// Stores the words of `value`, each once and relaxed.
///
/// # Safety
///
/// As for the [operations](Atomic), on each of the words from `ptr` on.
#[inline]
pub(crate) unsafe fn store_words<T: Words>(ptr: NonNull<T::Word>, value: T) {
    for (index, word) in value.as_words().iter().enumerate() {
        // SAFETY: `T` has a word `index`, and all of them are valid by (2).
        let ptr = unsafe { ptr.add(index) };
        // SAFETY: the caller guarantees it.
        unsafe { T::Word::store_relaxed(ptr, *word) };
    }
}

mod sealed {
    use core::ptr::NonNull;

    pub trait Sealed {}

    /// The atomic operations on a word.
    ///
    /// # Safety
    ///
    /// The caller of each function guarantees, for a `ptr` to a word:
    /// 1. `ptr` is aligned to the size of the word;
    /// 2. the word is valid for reads and for writes during the call. `from_ptr` of an atomic demands both, even for a
    ///    load;
    /// 3. no Rust reference to any of its bytes is alive during the call, except references to an atomic.
    ///
    /// In a build for a model checker, each function asks the model first (see `model.rs`).
    pub trait Atomic: Sized {
        #[cfg_attr(virtio_loom, track_caller)]
        unsafe fn load_relaxed(ptr: NonNull<Self>) -> Self;
        #[cfg_attr(virtio_loom, track_caller)]
        unsafe fn load_acquire(ptr: NonNull<Self>) -> Self;
        #[cfg_attr(virtio_loom, track_caller)]
        unsafe fn store_relaxed(ptr: NonNull<Self>, value: Self);
        #[cfg_attr(virtio_loom, track_caller)]
        unsafe fn store_release(ptr: NonNull<Self>, value: Self);
    }
}
pub(crate) use sealed::Atomic;

macro_rules! word {
    ($int:ty, $atomic:ty) => {
        impl Word for $int {}

        impl sealed::Sealed for $int {}

        impl Words for $int {
            type Word = $int;

            #[inline]
            fn try_from_fn<E>(mut word: impl FnMut(usize) -> Result<$int, E>) -> Result<$int, E> {
                word(0)
            }

            #[inline]
            fn as_words(&self) -> &[$int] {
                core::slice::from_ref(self)
            }
        }

        impl Atomic for $int {
            #[inline]
            unsafe fn load_relaxed(ptr: NonNull<$int>) -> $int {
                #[cfg(virtio_loom)]
                if let Some(value) = crate::model::load(ptr, Ordering::Relaxed) {
                    return value as $int;
                }
                // SAFETY: aligned by (1), valid by (2), shared only with atomics by (3).
                let atomic = unsafe { <$atomic>::from_ptr(ptr.as_ptr()) };
                atomic.load(Ordering::Relaxed)
            }

            #[inline]
            unsafe fn load_acquire(ptr: NonNull<$int>) -> $int {
                #[cfg(virtio_loom)]
                if let Some(value) = crate::model::load(ptr, Ordering::Acquire) {
                    return value as $int;
                }
                // SAFETY: aligned by (1), valid by (2), shared only with atomics by (3).
                let atomic = unsafe { <$atomic>::from_ptr(ptr.as_ptr()) };
                atomic.load(Ordering::Acquire)
            }

            #[inline]
            unsafe fn store_relaxed(ptr: NonNull<$int>, value: $int) {
                #[cfg(virtio_loom)]
                if crate::model::store(ptr, value.into(), Ordering::Relaxed) {
                    return;
                }
                // SAFETY: aligned by (1), valid by (2), shared only with atomics by (3).
                let atomic = unsafe { <$atomic>::from_ptr(ptr.as_ptr()) };
                atomic.store(value, Ordering::Relaxed);
            }

            #[inline]
            unsafe fn store_release(ptr: NonNull<$int>, value: $int) {
                #[cfg(virtio_loom)]
                if crate::model::store(ptr, value.into(), Ordering::Release) {
                    return;
                }
                // SAFETY: aligned by (1), valid by (2), shared only with atomics by (3).
                let atomic = unsafe { <$atomic>::from_ptr(ptr.as_ptr()) };
                atomic.store(value, Ordering::Release);
            }
        }
    };
}

word!(u16, AtomicU16);
word!(u32, AtomicU32);
word!(u64, AtomicU64);
