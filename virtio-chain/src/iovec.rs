//! Pieces of memory for system calls.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr;

use static_assertions::const_assert_eq;
use virtio_mem_traits::DeviceRange;

/// A piece of driver memory in the form that `readv`, `writev` and io_uring take: POSIX's `struct iovec`.
///
/// An array of them, filled by [`Reader::fragments`](crate::Reader::fragments) or
/// [`Writer::fragments`](crate::Writer::fragments), can be passed to such a call as it is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IoVec<'m> {
    base: *mut c_void,
    len: usize,
    _memory: PhantomData<DeviceRange<'m>>,
}

const_assert_eq!(size_of::<IoVec<'_>>(), size_of::<*mut c_void>() + size_of::<usize>());

impl IoVec<'_> {
    /// A piece of no bytes, to begin an array with.
    pub const EMPTY: Self = Self { base: ptr::null_mut(), len: 0, _memory: PhantomData };

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

impl<'m> From<DeviceRange<'m>> for IoVec<'m> {
    #[inline]
    fn from(range: DeviceRange<'m>) -> Self {
        Self { base: range.as_ptr().as_ptr().cast(), len: range.len(), _memory: PhantomData }
    }
}
