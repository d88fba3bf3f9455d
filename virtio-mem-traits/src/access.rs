//! The rights of a device to driver memory, as a value and as a type.

use core::fmt;

/// The access that a device wants to a range of driver memory, or that it is allowed.
///
/// The driver grants access to the device: it makes a buffer for reading or for writing. The value says nothing about
/// the host mapping. The host always maps the memory of a [`DeviceRange`](crate::DeviceRange) for reading and writing.
///
/// ```
/// use virtio_mem_traits::Access;
///
/// assert!(Access::ReadWrite.writes());
/// assert!(!Access::Read.writes());
/// assert_eq!(Access::ReadWrite.to_string(), "read and write");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The device only reads: device-readable buffers, the Descriptor Area and the Driver Area.
    Read,
    /// The device only writes: device-writable buffers and the Device Area.
    Write,
    /// The device reads and writes: the Descriptor Area of a packed virtqueue.
    ReadWrite,
}

impl Access {
    /// Returns whether reading is included.
    #[inline]
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Returns whether writing is included.
    #[inline]
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }

    /// Returns whether `self` includes everything that `wanted` includes.
    ///
    /// ```
    /// use virtio_mem_traits::Access;
    ///
    /// assert!(Access::ReadWrite.allows(Access::Read));
    /// assert!(!Access::Read.allows(Access::ReadWrite));
    /// ```
    #[inline]
    #[must_use]
    pub const fn allows(self, wanted: Self) -> bool {
        (self.reads() || !wanted.reads()) && (self.writes() || !wanted.writes())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read and write",
        })
    }
}

/// Access rights that are known at compile time, for [`Area`](crate::Area).
///
/// ```
/// use virtio_mem_traits::{Access, ReadWrite, Rights, WriteOnly};
///
/// const fn wants<A: Rights>() -> Access {
///     A::ACCESS
/// }
/// assert_eq!((wants::<WriteOnly>(), wants::<ReadWrite>()), (Access::Write, Access::ReadWrite));
/// ```
pub trait Rights: sealed::Sealed {
    /// The same rights as a value.
    const ACCESS: Access;
}

/// Rights that include reading.
///
/// An [`Area`](crate::Area) with such rights has the methods that load.
pub trait Readable: Rights {}

/// Rights that include writing.
///
/// An [`Area`](crate::Area) with such rights has the methods that store.
pub trait Writable: Rights {}

/// The device only reads.
///
/// ```compile_fail,E0599
/// use virtio_mem_traits::{Area, HeapMem, ReadOnly};
///
/// fn answer(area: &Area<&HeapMem, ReadOnly, 4>) {
///     let _ = area.store_relaxed(0, 1_u32);
/// }
/// ```
#[derive(Debug)]
pub enum ReadOnly {}

/// The device only writes.
///
/// ```compile_fail,E0599
/// use virtio_mem_traits::{Area, HeapMem, WriteOnly};
///
/// fn look(area: &Area<&HeapMem, WriteOnly, 4>) {
///     let _ = area.load_relaxed::<u32>(0);
/// }
/// ```
#[derive(Debug)]
pub enum WriteOnly {}

/// The device reads and writes.
///
/// ```
/// use virtio_mem_traits::{Area, AreaError, HeapMem, ReadWrite};
///
/// fn count(area: &Area<&HeapMem, ReadWrite, 4>) -> Result<(), AreaError> {
///     area.store_relaxed(0, area.load_relaxed::<u32>(0)?.wrapping_add(1))
/// }
/// ```
#[derive(Debug)]
pub enum ReadWrite {}

impl Rights for ReadOnly {
    const ACCESS: Access = Access::Read;
}

impl Rights for WriteOnly {
    const ACCESS: Access = Access::Write;
}

impl Rights for ReadWrite {
    const ACCESS: Access = Access::ReadWrite;
}

impl Readable for ReadOnly {}
impl Readable for ReadWrite {}
impl Writable for WriteOnly {}
impl Writable for ReadWrite {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ReadOnly {}
    impl Sealed for super::WriteOnly {}
    impl Sealed for super::ReadWrite {}
}
