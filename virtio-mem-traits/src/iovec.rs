//! Pieces of memory for system calls.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use static_assertions::{const_assert, const_assert_eq};

use crate::device_range::DeviceRange;

/// A piece of driver memory in the form that `readv`, `writev` and io_uring take: POSIX's `struct iovec`.
///
/// An array of `IoVec` has the layout of an array of `libc::iovec`, so it can be passed to such a call directly.
///
/// It is an address and a length, and keeps nothing alive. The system call is unsafe. Its caller must keep the memory
/// valid until the call has ended, and must use the memory only as the driver allows.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem, IoVec};
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1000)?;
/// let range = mem.translate_all(mem.range(), Access::Write)?;
/// let mut pieces = [IoVec::EMPTY; 2];
/// pieces[0] = range.prefix(16).into();
/// pieces[1] = range.after(0x800).into();
/// // libc::readv(fd, pieces.as_ptr().cast(), 2)
/// assert_eq!((pieces[0].base(), pieces[0].len()), (range.as_ptr().as_ptr().cast(), 16));
/// assert_eq!(pieces[1].len(), 0x800);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "iovec")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IoVec {
    base: *mut c_void,
    len: usize,
}

// The layout of POSIX and of every libc: the pointer, then the length, and nothing else.
const_assert_eq!(offset_of!(IoVec, base), 0);
const_assert_eq!(offset_of!(IoVec, len), size_of::<*mut c_void>());
const_assert_eq!(size_of::<IoVec>(), size_of::<*mut c_void>() + size_of::<usize>());
const_assert_eq!(align_of::<IoVec>(), align_of::<*mut c_void>());
const_assert!(size_of::<usize>() == size_of::<*mut c_void>());

// SAFETY: it is two numbers, which any thread can use. No safe method accesses the memory that they name. The caller of
// a system call vouches for its access, from any thread.
unsafe impl Send for IoVec {}
// SAFETY: as for `Send`; no method changes it.
unsafe impl Sync for IoVec {}

impl IoVec {
    /// A piece of no bytes, to initialize an array.
    pub const EMPTY: Self = Self { base: ptr::null_mut(), len: 0 };

    /// Returns the address of the first byte.
    #[inline]
    #[must_use]
    pub const fn base(&self) -> *mut c_void {
        self.base
    }

    /// Returns the length in bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<DeviceRange<'_>> for IoVec {
    #[inline]
    fn from(range: DeviceRange<'_>) -> Self {
        Self { base: range.as_ptr().as_ptr().cast(), len: range.len() }
    }
}
