//! What a device may do with driver memory, as a value and as a type.

/// What a device wants to do with a range of driver memory, or is allowed to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
///
/// It is about the device, and the driver grants it: a buffer is for reading or for writing. It says nothing of how the
/// host has mapped the memory. What a [`DeviceRange`](crate::DeviceRange) is made of is always mapped for both.
///
/// ```
/// use virtio_mem_traits::Access;
///
/// assert!(Access::ReadWrite.writes());
/// assert!(!Access::Read.writes());
/// assert_eq!(Access::ReadWrite.to_string(), "read and write");
/// ```
    /// The device reads: device-readable buffers, the Descriptor Area and the Driver Area.
    Read,
    /// The device writes and never reads: device-writable buffers, the Device Area.
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

    /// Returns whether everything that `wanted` includes is included in `self`.
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

/// Access rights that are known at compile time, for [`Area`](crate::Area).
pub trait Rights: sealed::Sealed {
    /// The same rights as a value.
    const ACCESS: Access;
}

/// Rights that include reading.
pub trait Readable: Rights {}

/// Rights that include writing.
pub trait Writable: Rights {}

/// The device only reads.
#[derive(Debug)]
pub enum ReadOnly {}

/// The device only writes.
#[derive(Debug)]
pub enum WriteOnly {}

/// The device reads and writes.
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
