//! Translation: from what the driver claims to what the device may access.

use core::{error, fmt};

use crate::{Access, DeviceRange, DriverAddr, DriverRange};

/// The memory that a driver shares with a device: what other projects call guest memory.
///
/// # For callers
///
/// [`translate`](Self::translate) may answer with less than it was asked for: memory that is contiguous for the driver
/// need not be so here. Ask again for the rest, or demand everything with [`translate_all`](Self::translate_all).
///
/// Whoever accesses the answer reports it: [`before_read`](Self::before_read) ahead of each read,
/// [`written`](Self::written) after each write. The crates of this workspace do.
///
/// # For implementors
///
/// Translate each range for the rights that are asked for and no others. Where there is an IOMMU, that is the moment to
/// check its permissions: VIRTIO 1.4 §6 "Reserved Feature Bits" (FEAT-11) wants every address translated, those of the
/// rings, of indirect tables and of buffers. The suite in the module `conformance` (feature `conformance`) checks an
/// implementation.
///
/// One method must be written. A memory without an IOMMU says in a second one that its
/// [translations last](Self::translations_last): only then is anything remembered of it. A memory that takes no note of
/// accesses can [say so](Self::reports), and one that has to search can answer the usual case
/// [at once](Self::translate_at_once). Both are for speed alone.
///
/// ```
/// use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
///
/// /// Memory in which the driver may only be read.
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
    message = "`{Self}` is no driver memory: implement `DriverMem` for it",
    label = "this type does not implement `DriverMem`",
    note = "a handle on a memory `M` is one, too: `&M`, and with the feature `alloc` `Box<M>`, `Rc<M>` and `Arc<M>`"
)]
pub trait DriverMem {
    /// Proves that the device may access the beginning of `range`, and returns the longest contiguous piece of it that
    /// begins there: at least one byte, at most all of it. An empty range is an error or an empty answer.
    ///
    /// # Errors
    ///
    /// If the first byte of the range is not there, or may not be accessed like that.
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError>;

    /// Proves as much as is contiguous around the beginning of `range`, before it and beyond its end, and returns where
    /// the driver has that and where it is here.
    ///
    /// It is for those who will ask again, such as a [`RegionCache`](crate::RegionCache). By default it is what
    /// [`translate`](Self::translate) answers.
    ///
    /// # Errors
    ///
    /// As for [`translate`](Self::translate).
    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.translate(range, access).map(|piece| (range.prefix(piece.len() as u64), piece))
    }

    /// Returns whether a translation stays right for as long as the memory is borrowed: whether the same range always
    /// has the same answer. The answer to this question must not change.
    ///
    /// It is what a [`RegionCache`](crate::RegionCache) goes by: it remembers nothing of a memory that says `false`.
    /// Say `true` for memory whose regions do not change. Say `false` behind an IOMMU, where the driver can take a
    /// mapping away at any time and put another one in its place. By default it is `false`, which is slower and always
    /// right.
    ///
    /// It has nothing to do with what is valid here: that [`DeviceRange::new`] vouches for, for either kind of memory.
    #[inline]
    fn translations_last(&self) -> bool {
        false
    }

    /// Translates all of the `len` bytes at `addr` in one piece, if there is nothing else to be said of them. This is
    /// the usual case of [`translate`](Self::translate), and is inlined into the loops of queues.
    ///
    /// `None` says nothing: they can be missing, in several pieces, not for such an access, end beyond 2^64, or take a
    /// search. Then ask [`translate`](Self::translate). What is answered is what
    /// [`translate_all`](Self::translate_all) would answer, so it lies inside of one region.
    ///
    /// By default it is [`translate_all`](Self::translate_all), without the reason of an error. A memory for which a
    /// second attempt costs more than a function call answers `None` instead.
    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.translate_all(DriverRange::new(addr, len.into())?, access).ok()
    }

    /// Returns whether reports of such accesses do anything: [`before_read`](Self::before_read) for those that read,
    /// [`written`](Self::written) for those that write. The answer to this question must not change.
    ///
    /// Where it is `false`, callers need not report. By default it is `true`, which is always right.
    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        let _ = access;
        true
    }

    /// Takes note that the device is about to read `range`: memory that is not coherent is made so here.
    ///
    /// It does nothing by default, and costs nothing.
    #[inline]
    fn before_read(&self, range: DriverRange) {
        let _ = range;
    }

    /// Takes note that the device has written `range`: pages are marked dirty, caches are flushed here.
    ///
    /// It does nothing by default, and costs nothing.
    #[inline]
    fn written(&self, range: DriverRange) {
        let _ = range;
    }

    /// Translates all of `range` in one piece.
    ///
    /// # Errors
    ///
    /// If [`translate`](Self::translate) fails, or answers with less than the range.
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

/// A handle on driver memory that keeps its translations valid for as long as it lives, wherever it is moved.
///
/// It lets a queue hold its memory together with what it translated, and move as one. A shared reference is such a
/// handle; so are `Rc` and `Arc` (feature `alloc`), for a device that owns its memory. `Box` is not: moving it asserts
/// that nobody else points inside.
///
/// ```
/// use std::sync::Arc;
/// use virtio_mem_traits::{DriverAddr, HeapMem, StableMem};
///
/// /// What has to hold on to its memory asks for a handle.
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
/// Of an implementation, for every range that [`DriverMem::translate`] returned from a borrow of the handle:
/// 1. all that [`DeviceRange::new`] demands goes on to hold until the handle is dropped, whether or not that borrow has
///    ended, the handle has been moved, or other handles on the same memory have come and gone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handle that keeps translations valid: use `Arc<M>`, `Rc<M>` or `&M` of a memory `M`",
    label = "this is not a handle on driver memory",
    note = "a `Box<M>` is no such handle; `Arc<M>` and `Rc<M>` need the feature `alloc`"
)]
pub unsafe trait StableMem: DriverMem + Clone {}

// SAFETY: (1) the memory is borrowed for as long as the reference and all its copies live.
unsafe impl<M: DriverMem + ?Sized> StableMem for &M {}

// SAFETY: (1) the memory stays where it is, and is borrowed by nobody mutably, while a handle on it lives.
#[cfg(feature = "alloc")]
unsafe impl<M: DriverMem + ?Sized> StableMem for alloc::rc::Rc<M> {}

// SAFETY: (1) the memory stays where it is, and is borrowed by nobody mutably, while a handle on it lives.
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

/// A range of driver memory that cannot be accessed.
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
    /// Nothing is there.
    Unmapped {
        /// The first address that is missing.
        addr: DriverAddr,
    },
    /// Something is there, but it may not be accessed like that.
    Denied {
        /// The first address that was refused.
        addr: DriverAddr,
        /// The access that was asked for.
        access: Access,
    },
    /// Everything is there, but not in one piece.
    Fragmented {
        /// The first address of what was asked for.
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
                write!(f, "no right to {access} driver memory at {addr}: the driver must map it for that")
            }
            Self::Fragmented { addr } => {
                write!(f, "driver memory at {addr} is in several pieces: all that is asked for must be in one")
            }
        }
    }
}

impl error::Error for TranslateError {}
