//! Driver memory that is proved accessible.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::{error, fmt, slice};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::access::Access;
#[cfg(not(virtio_loom))]
use crate::copy;
#[cfg(virtio_loom)]
use crate::model as copy;
use crate::word::{Word, Words};
use crate::word::{load_words, store_words};

/// A contiguous piece of driver memory that the device can access during `'a`.
///
/// Only an implementor of [`DriverMem`](crate::DriverMem) makes a `DeviceRange`. It has a pointer with provenance, a
/// length, and the access that was proved. It never becomes a reference or a slice, because the driver can write the
/// same bytes at any time (INV-8). Each access is a copy, or a single atomic load or store. So a value that was read
/// does not change afterwards (HOST-20, DRV-CLEAN-1). Two ranges can lie over each other (HOST-15, HOST-16).
///
/// The [access](Self::access) is what the device can do (INV-6). The host always maps the bytes for reading and
/// writing.
///
/// These methods do not report accesses, because a range does not know its memory. If you use them, call
/// [`before_read`](crate::DriverMem::before_read) before a read and [`written`](crate::DriverMem::written) after a
/// write. [`Area`](crate::Area) and the crates above report by themselves.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let range = mem.translate_all(mem.range(), Access::ReadWrite)?;
/// range.write_bytes(0x10, b"virtio")?;
/// range.store_relaxed(0x18, 7_u32)?;
/// mem.written(mem.range().after(0x10).prefix(12));
///
/// mem.before_read(mem.range().after(0x10).prefix(12));
/// assert_eq!(range.read::<[u8; 6]>(0x10)?, *b"virtio");
/// assert_eq!(range.load_relaxed::<u32>(0x18)?, 7);
/// assert!(range.read::<u32>(0xffd).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct DeviceRange<'a> {
    /// INVARIANT: all that `new` demands holds for `len` bytes during `'a`.
    ptr: NonNull<u8>,
    len: usize,
    access: Access,
    _memory: PhantomData<&'a ()>,
}

// SAFETY: every access is atomic, or equivalent to atomic accesses; `new` demands that any thread can access it.
unsafe impl Send for DeviceRange<'_> {}
// SAFETY: as for `Send`; no method takes `&mut self`.
unsafe impl Sync for DeviceRange<'_> {}

impl DeviceRange<'_> {
    /// Vouches for `len` bytes at `ptr`.
    ///
    /// # Safety
    ///
    /// The caller guarantees, during the whole of `'a`, for the `len` bytes at `ptr`:
    /// 1. they are valid for reads and for writes from any thread, for every value of `access`: the host maps them
    ///    writable;
    /// 2. no Rust reference to any of them exists, except references to an atomic or an `UnsafeCell`. This program
    ///    accesses them only atomically, through such a range, or by volatile accesses and raw copies that expect other
    ///    agents to write at the same time (as those of vm-memory do);
    /// 3. they lie in one mapping or allocation, and `len` is at most `isize::MAX`.
    ///
    /// Another process, a guest or a device can read and write the bytes in any way at any time.
    ///
    /// # Memory that is mapped read-only
    ///
    /// Memory that is mapped read-only cannot become a `DeviceRange`, not even with [`Access::Read`]. Single accesses
    /// are atomic, and the standard library makes an atomic only from memory that is valid for writes. From read-only
    /// pages, it promises relaxed loads of at most 8 bytes, on some 64-bit machines only. It promises acquire loads on
    /// no machine. Bulk reads ([`read_bytes`](Self::read_bytes), [`read`](Self::read)) are plain moves on x86-64, and
    /// would work there. On all other machines and under Miri, bulk reads are atomic loads too. A range does not know
    /// which kind of access will follow.
    ///
    /// Some memory must not be written, such as a ROM or a file that is open for reading. Map it privately and writable
    /// (`MAP_PRIVATE` with `PROT_READ | PROT_WRITE`), and vouch for it with [`Access::Read`]. Then no method writes to
    /// it.
    #[inline]
    #[must_use]
    pub const unsafe fn new(ptr: NonNull<u8>, len: usize, access: Access) -> Self {
        Self { ptr, len, access, _memory: PhantomData }
    }

    /// Returns a range without bytes.
    #[inline]
    #[must_use]
    pub const fn empty() -> Self {
        // SAFETY: (1), (2) and (3) hold for no bytes.
        unsafe { Self::new(NonNull::dangling(), 0, Access::ReadWrite) }
    }

    /// Returns the length in bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the range has no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the access that was proved.
    #[inline]
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Returns the address of the first byte, for system calls and devices that take pointers.
    ///
    /// The bytes are valid for `'a`. The device can use them as [`access`](Self::access) says. Never form a reference
    /// to them: that is undefined behaviour, because the driver can write them at any time.
    #[inline]
    #[must_use]
    pub const fn as_ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Returns the first `len` bytes, or the whole range if it is shorter.
    #[inline]
    #[must_use]
    pub fn prefix(self, len: usize) -> Self {
        Self { len: len.min(self.len), ..self }
    }

    /// Returns the range without its first `len` bytes, or an empty range if it is not longer than `len`.
    #[inline]
    #[must_use]
    pub fn after(self, len: usize) -> Self {
        let skipped = len.min(self.len);
        // SAFETY: `skipped <= self.len`, so it stays inside the mapping by (3) of `new`.
        let ptr = unsafe { self.ptr.add(skipped) };
        Self { ptr, len: self.len - skipped, ..self }
    }

    /// Returns the `len` bytes at byte `offset` of the range, or `None` if they are not all inside the range.
    #[inline]
    #[must_use]
    pub fn slice(self, offset: usize, len: usize) -> Option<Self> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: `offset <= self.len`, so it stays inside the mapping by (3) of `new`.
        let ptr = unsafe { self.ptr.add(offset) };
        Some(Self { ptr, len, ..self })
    }

    /// Returns whether the first byte is aligned for single accesses to words of this kind.
    #[inline]
    #[must_use]
    pub fn is_aligned_for<W: Word>(&self) -> bool {
        is_aligned(self.ptr.cast::<W>())
    }

    /// Proves an access of `size` bytes at `offset`.
    #[inline]
    fn at(&self, offset: usize, size: usize, wanted: Access) -> Result<NonNull<u8>, AccessError> {
        if !self.access.allows(wanted) {
            return Err(AccessError::Denied { wanted, allowed: self.access });
        }
        match offset.checked_add(size) {
            // SAFETY: `offset <= self.len`, so it stays inside the mapping by (3) of `new`.
            Some(end) if end <= self.len => Ok(unsafe { self.ptr.add(offset) }),
            _ => Err(AccessError::OutOfRange { offset, size, len: self.len }),
        }
    }

    /// Proves an aligned access of one `T` at `offset`.
    #[inline]
    fn words_at<T: Words>(&self, offset: usize, wanted: Access) -> Result<NonNull<T::Word>, AccessError> {
        let ptr = self.at(offset, size_of::<T>(), wanted)?.cast::<T::Word>();
        if is_aligned(ptr) { Ok(ptr) } else { Err(AccessError::Misaligned { offset, align: size_of::<T::Word>() }) }
    }
}

/// Returns whether a word can be accessed atomically.
///
/// It must be aligned to its size, which can be more than the alignment of the integer type.
#[inline]
pub(crate) fn is_aligned<W: Word>(ptr: NonNull<W>) -> bool {
    ptr.addr().get() % size_of::<W>() == 0
}

/// Copies of bytes and typed objects, at any alignment.
impl DeviceRange<'_> {
    /// Fills all of `buf` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// If the bytes are not all inside the range, or reading was not proved. Then nothing is copied.
    #[inline]
    pub fn read_bytes(&self, offset: usize, buf: &mut [u8]) -> Result<(), AccessError> {
        let shared = self.at(offset, buf.len(), Access::Read)?;
        // SAFETY: (1) `at` proved that so many bytes are inside the range, and they are valid by (1) of `new`; (2) by
        // (2) of `new`.
        unsafe { copy::copy_in(shared, buf) };
        Ok(())
    }

    /// Copies all of `buf` to `offset`.
    ///
    /// # Errors
    ///
    /// If `buf` does not fit into the range, or writing was not proved. Then nothing is written.
    #[inline]
    pub fn write_bytes(&self, offset: usize, buf: &[u8]) -> Result<(), AccessError> {
        let shared = self.at(offset, buf.len(), Access::Write)?;
        // SAFETY: (1) `at` proved that so many bytes are inside the range, and they are valid by (1) of `new`; (2) by
        // (2) of `new`.
        unsafe { copy::copy_out(buf, shared) };
        Ok(())
    }

    /// Sets `len` bytes from `offset` on to `value`.
    ///
    /// # Errors
    ///
    /// If the bytes are not all inside the range, or writing was not proved. Then nothing is written.
    pub fn fill(&self, offset: usize, len: usize, value: u8) -> Result<(), AccessError> {
        self.at(offset, len, Access::Write)?;
        let block = [value; 256];
        for done in (0..len).step_by(block.len()) {
            let (part, _) = block.split_at(block.len().min(len - done));
            self.write_bytes(offset + done, part)?;
        }
        Ok(())
    }

    /// Returns a copy of the `T` at `offset`.
    ///
    /// # Errors
    ///
    /// If the `T` is not inside the range, or reading was not proved.
    #[inline]
    pub fn read<T: FromBytes>(&self, offset: usize) -> Result<T, AccessError> {
        let shared = self.at(offset, size_of::<T>(), Access::Read)?;
        let mut object = MaybeUninit::<T>::uninit();
        // SAFETY: `object` has room for one `T`. This initializes padding too. `MaybeUninit::zeroed` does not promise
        // that.
        unsafe { object.as_mut_ptr().write_bytes(0, 1) };
        // SAFETY: all bytes of `object` are initialized, and it is borrowed only for this call.
        let bytes = unsafe { slice::from_raw_parts_mut(object.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
        // SAFETY: (1) `at` proved that so many bytes are inside the range, and they are valid by (1) of `new`; (2) by
        // (2) of `new`.
        unsafe { copy::copy_in(shared, bytes) };
        // SAFETY: `T: FromBytes` is valid for any initialized bytes.
        Ok(unsafe { object.assume_init() })
    }

    /// Copies `object` to `offset`.
    ///
    /// # Errors
    ///
    /// If `object` does not fit into the range, or writing was not proved. Then nothing is written.
    #[inline]
    pub fn write<T: IntoBytes + Immutable>(&self, offset: usize, object: &T) -> Result<(), AccessError> {
        self.write_bytes(offset, object.as_bytes())
    }
}

/// Single accesses to aligned words.
///
/// Each returns an error if the words are not all inside the range, are not aligned, or the access was not proved.
impl DeviceRange<'_> {
    /// Loads `T` at `offset`, each of its words once and relaxed.
    ///
    /// # Errors
    ///
    /// As for all single accesses.
    #[inline]
    pub fn load_relaxed<T: Words>(&self, offset: usize) -> Result<T, AccessError> {
        let words = self.words_at::<T>(offset, Access::Read)?;
        // SAFETY: (1) and (2) by `words_at`, (3) by (2) of `new`.
        Ok(unsafe { load_words(words) })
    }

    /// Loads the word at `offset` with acquire ordering.
    ///
    /// # Errors
    ///
    /// As for all single accesses.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn load_acquire<W: Word>(&self, offset: usize) -> Result<W, AccessError> {
        let word = self.words_at::<W>(offset, Access::Read)?;
        // SAFETY: (1) and (2) by `words_at`, (3) by (2) of `new`.
        Ok(unsafe { W::load_acquire(word) })
    }

    /// Stores `value` at `offset`, each of its words once and relaxed.
    ///
    /// # Errors
    ///
    /// As for all single accesses.
    #[inline]
    pub fn store_relaxed<T: Words>(&self, offset: usize, value: T) -> Result<(), AccessError> {
        let words = self.words_at::<T>(offset, Access::Write)?;
        // SAFETY: (1) and (2) by `words_at`, (3) by (2) of `new`.
        unsafe { store_words(words, value) };
        Ok(())
    }

    /// Stores the word at `offset` with release ordering.
    ///
    /// # Errors
    ///
    /// As for all single accesses.
    #[inline]
    #[cfg_attr(virtio_loom, track_caller)]
    pub fn store_release<W: Word>(&self, offset: usize, value: W) -> Result<(), AccessError> {
        let word = self.words_at::<W>(offset, Access::Write)?;
        // SAFETY: (1) and (2) by `words_at`, (3) by (2) of `new`.
        unsafe { W::store_release(word, value) };
        Ok(())
    }
}

impl fmt::Debug for DeviceRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceRange({:p}+{:#x}, {:?})", self.ptr, self.len, self.access)
    }
}

/// The reason why a [`DeviceRange`] refuses an access.
///
/// ```
/// use virtio_mem_traits::{Access, AccessError, DriverAddr, DriverMem, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0), 64)?;
/// let range = mem.translate_all(mem.range(), Access::Read)?;
/// let error = range.read::<[u8; 8]>(60).unwrap_err();
/// assert_eq!(error, AccessError::OutOfRange { offset: 60, size: 8, len: 64 });
/// assert_eq!(error.to_string(), "8 bytes at offset 60 do not fit into a range of 64 bytes");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessError {
    /// The bytes are not all inside the range.
    OutOfRange {
        /// Where the access begins, in bytes from the start of the range.
        offset: usize,
        /// The size of the access in bytes.
        size: usize,
        /// The length of the range in bytes.
        len: usize,
    },
    /// The memory is not aligned for a single access.
    Misaligned {
        /// Where the access begins, in bytes from the start of the range.
        offset: usize,
        /// The alignment that the access needs, in bytes.
        align: usize,
    },
    /// The range was proved for another kind of access.
    Denied {
        /// The access that was tried.
        wanted: Access,
        /// The access that was proved.
        allowed: Access,
    },
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { offset, size, len } => {
                write!(f, "{size} bytes at offset {offset} do not fit into a range of {len} bytes")
            }
            Self::Misaligned { offset, align } => {
                write!(f, "offset {offset} is not aligned for one access: its address must be a multiple of {align}")
            }
            Self::Denied { wanted, allowed } => {
                write!(f, "the range was translated to {allowed}, not to {wanted}: translate it to {wanted}")
            }
        }
    }
}

impl error::Error for AccessError {}
