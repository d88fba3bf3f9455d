//! Translates what the driver claims into memory that the device can access.

use core::{error, fmt};

use crate::access::Access;
use crate::device_range::DeviceRange;
use crate::driver_range::{DriverAddr, DriverRange};

/// The memory that a driver shares with a device. Other projects call it guest memory.
///
/// # For callers
///
/// [`translate`](Self::translate) can return less than the range that you ask for: memory that is contiguous for the
/// driver can be in several pieces on the host (HOST-32). Ask again for the rest, or ask for all of it in one piece
/// with [`translate_all`](Self::translate_all).
///
/// Report each access to the memory: call [`before_read`](Self::before_read) before a read and
/// [`written`](Self::written) after a write. The crates of this workspace do that.
///
/// # For implementors
///
/// Translate each range for the rights that the caller asks for, and for no others. Behind an IOMMU, check its
/// permissions in this call. Every address must be translated: of rings, of indirect tables and of buffers (VIRTIO 1.4
/// §6 "Reserved Feature Bits", FEAT-11). The suite in the module `conformance` (feature `conformance`) checks an
/// implementation.
///
/// One method is required. A memory without an IOMMU can override [`translations_last`](Self::translations_last): only
/// then do callers remember its translations. A memory that ignores reports can override [`reports`](Self::reports). A
/// memory that searches can override [`translate_at_once`](Self::translate_at_once), to answer the usual case without a
/// search. These methods only make accesses faster.
///
/// ```
/// use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
///
/// /// Memory that the device can only read.
/// struct ReadOnlyMem(HeapMem);
///
/// impl DriverMem for ReadOnlyMem {
///     fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
///         if access.writes() {
///             return Err(TranslateError::Denied { addr: range.start(), access });
///         }
///         self.0.translate(range, access)
///     }
/// }
///
/// let mem = ReadOnlyMem(HeapMem::new(DriverAddr(0x1000), 0x1000).unwrap());
/// let header = DriverRange::new(DriverAddr(0x1ff8), 8).unwrap();
/// assert!(mem.translate(header, Access::Read).is_ok());
/// assert!(mem.translate(header, Access::Write).is_err());
/// ```
#[doc(alias = "guest memory")]
#[doc(alias = "GuestMemory")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a driver memory: implement `DriverMem` for it",
    label = "this type does not implement `DriverMem`",
    note = "`&M` of a driver memory `M` is one too, and with the feature `alloc`, `Box<M>`, `Rc<M>` and `Arc<M>` are"
)]
pub trait DriverMem {
    /// Returns the longest contiguous piece of `range` that begins at its start, proved for `access`.
    ///
    /// The piece has at least one byte, and no byte beyond `range`. For an empty range, returns an error or an empty
    /// `DeviceRange`.
    ///
    /// # Errors
    ///
    /// If the first byte of the range does not exist, or the device must not access it in this way.
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError>;

    /// Returns the largest contiguous region that contains the start of `range`, in driver and device terms.
    ///
    /// The region can begin before `range` and end after it. Callers that remember regions use this method, such as a
    /// [`RegionCache`](crate::RegionCache). The default returns the piece that [`translate`](Self::translate) returns.
    ///
    /// # Errors
    ///
    /// As for [`translate`](Self::translate).
    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.translate(range, access).map(|piece| (range.prefix(piece.len() as u64), piece))
    }

    /// Returns whether the same range always has the same translation while the memory is borrowed.
    ///
    /// The returned value must not change.
    ///
    /// Return `true` for a memory whose regions do not change. Return `false` behind an IOMMU, where the driver can
    /// replace a mapping at any time. A [`RegionCache`](crate::RegionCache) remembers nothing of a memory that returns
    /// `false`. The default is `false`, which is always correct and slower.
    ///
    /// This method says nothing about the validity of host memory: for both kinds of memory, [`DeviceRange::new`]
    /// vouches for that.
    #[inline]
    fn translations_last(&self) -> bool {
        false
    }

    /// Translates all `len` bytes at `addr` in one piece, or returns `None` if that takes longer or is not possible.
    ///
    /// This method is the usual case of [`translate`](Self::translate). It is inlined into the loops of queues.
    ///
    /// `None` gives no reason. The bytes can be missing, in several pieces, or denied for this access; they can end
    /// beyond 2^64; or a search can be necessary. After `None`, call [`translate`](Self::translate). `Some` has the
    /// result of [`translate_all`](Self::translate_all), so the bytes lie in one region.
    ///
    /// The default calls [`translate_all`](Self::translate_all) and drops the error. After `None`, callers translate a
    /// second time. If that costs more than a function call, override this method to return `None` directly.
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.translate_all(DriverRange::new(addr, len.into())?, access).ok()
    }

    /// Returns whether the memory uses reports of accesses of the kind `access`.
    ///
    /// Reports of reads are calls of [`before_read`](Self::before_read). Reports of writes are calls of
    /// [`written`](Self::written). The returned value must not change.
    ///
    /// If it is `false`, callers do not need to report. The default is `true`, which is always correct.
    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        let _ = access;
        true
    }

    /// Receives the report that the device is about to read `range`.
    ///
    /// Memory that is not coherent makes `range` coherent here.
    ///
    /// The default does nothing and costs nothing.
    #[inline]
    fn before_read(&self, range: DriverRange) {
        let _ = range;
    }

    /// Receives the report that the device has written `range`.
    ///
    /// A memory marks pages as dirty here, or flushes caches.
    ///
    /// The default does nothing and costs nothing.
    #[inline]
    fn written(&self, range: DriverRange) {
        let _ = range;
    }

    /// Translates all of `range` in one piece.
    ///
    /// # Errors
    ///
    /// If [`translate`](Self::translate) fails, or returns less than the range.
    #[inline]
    fn translate_all(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        whole(range, self.translate(range, access)?)
    }
}

/// Returns `piece` if it is all of `range`.
#[inline]
pub(crate) fn whole(range: DriverRange, piece: DeviceRange<'_>) -> Result<DeviceRange<'_>, TranslateError> {
    match usize::try_from(range.len()) {
        Ok(len) if len <= piece.len() => Ok(piece.prefix(len)),
        _ => Err(TranslateError::Fragmented { addr: range.start() }),
    }
}

/// A handle on driver memory that keeps translations valid while it lives, even if it is moved.
///
/// With such a handle, a queue can hold its memory and its translations together, and the queue can be moved. A shared
/// reference is such a handle. With the feature `alloc`, `Rc` and `Arc` are such handles, for a device that owns its
/// memory. `Box` is not one: moving a `Box` asserts that no other pointer into it exists.
///
/// ```
/// use std::sync::Arc;
/// use virtio_mem_traits::{DriverAddr, HeapMem, StableMem};
///
/// /// A device that keeps its memory has a handle on the memory.
/// struct Device<M: StableMem> {
///     mem: M,
/// }
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1000)?;
/// let borrows = Device { mem: &mem };
/// # let _ = borrows.mem;
/// let owns = Device { mem: Arc::new(mem) };
/// # let _ = owns.mem;
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
///
/// # Safety
///
/// An implementor guarantees, for every range that [`DriverMem::translate`] returned from a borrow of the handle:
/// 1. the demands of [`DeviceRange::new`] hold until the handle is dropped. They hold after that borrow has ended,
///    after the handle has been moved, and after other handles on the same memory have been made and dropped.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep translations valid: use `Arc<M>`, `Rc<M>` or `&M` of a memory `M`",
    label = "this is not a handle on driver memory",
    note = "a `Box<M>` does not keep them valid; `Arc<M>` and `Rc<M>` need the feature `alloc`"
)]
pub unsafe trait StableMem: DriverMem + Clone {}

// SAFETY: (1) the memory is borrowed for as long as the reference and all its copies live.
unsafe impl<M: DriverMem + ?Sized> StableMem for &M {}

// SAFETY: (1) the memory is not moved and not borrowed mutably while a handle on it lives.
#[cfg(feature = "alloc")]
unsafe impl<M: DriverMem + ?Sized> StableMem for alloc::rc::Rc<M> {}

// SAFETY: (1) the memory is not moved and not borrowed mutably while a handle on it lives.
#[cfg(feature = "alloc")]
unsafe impl<M: DriverMem + ?Sized> StableMem for alloc::sync::Arc<M> {}

macro_rules! forward {
    ($($(#[$attribute:meta])* $handle:ty),+) => {$(
        $(#[$attribute])*
        impl<M: DriverMem + ?Sized> DriverMem for $handle {
            #[inline]
            fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
                (**self).translate(range, access)
            }

            #[inline]
            fn region(
                &self,
                range: DriverRange,
                access: Access,
            ) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
                (**self).region(range, access)
            }

            #[inline]
            fn translations_last(&self) -> bool {
                (**self).translations_last()
            }

            #[inline(always)]
            fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
                (**self).translate_at_once(addr, len, access)
            }

            #[inline(always)]
            fn reports(&self, access: Access) -> bool {
                (**self).reports(access)
            }

            #[inline]
            fn before_read(&self, range: DriverRange) {
                (**self).before_read(range);
            }

            #[inline]
            fn written(&self, range: DriverRange) {
                (**self).written(range);
            }
        }
    )+};
}

forward!(
    &M,
    #[cfg(feature = "alloc")]
    alloc::boxed::Box<M>,
    #[cfg(feature = "alloc")]
    alloc::rc::Rc<M>,
    #[cfg(feature = "alloc")]
    alloc::sync::Arc<M>
);

/// The reason why a range of driver memory cannot be accessed.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x3000), 8).ok_or("beyond 2^64")?;
/// let error = mem.translate(range, Access::Read).unwrap_err();
/// assert!(error.to_string().starts_with("no driver memory at 0x3000: the address must lie in"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TranslateError {
    /// No memory is mapped at the address.
    Unmapped {
        /// The first address that is missing.
        addr: DriverAddr,
    },
    /// Memory is mapped at the address, but the device must not access it in this way.
    Denied {
        /// The first address that was refused.
        addr: DriverAddr,
        /// The access that was asked for.
        access: Access,
    },
    /// The whole range is mapped, but not in one piece.
    Fragmented {
        /// The first address of the range that was asked for.
        addr: DriverAddr,
    },
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped { addr } => {
                write!(f, "no driver memory at {addr}: the address must lie in memory that driver and device share")
            }
            Self::Denied { addr, access } => {
                write!(f, "the device must not {access} driver memory at {addr}: the driver must map it for that")
            }
            Self::Fragmented { addr } => {
                write!(f, "driver memory at {addr} is in several pieces: all bytes of the range must be in one piece")
            }
        }
    }
}

impl error::Error for TranslateError {}
