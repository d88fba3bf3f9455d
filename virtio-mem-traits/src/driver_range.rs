//! Addresses and ranges as the driver claims them. They prove nothing.

use core::fmt;

/// An address that the driver gives: guest-physical, or an I/O virtual address behind an IOMMU.
///
/// It is a plain number. Only a [`DriverMem`](crate::DriverMem) knows whether memory exists at this address.
///
/// ```
/// use virtio_mem_traits::DriverAddr;
///
/// let addr = DriverAddr(0x1ff0);
/// assert!(addr.is_aligned_to(16));
/// assert_eq!(addr.checked_add(0x10), Some(DriverAddr(0x2000)));
/// assert_eq!(addr.to_string(), "0x1ff0");
/// ```
#[doc(alias = "GPA")]
#[doc(alias = "guest-physical address")]
#[doc(alias = "GuestAddress")]
#[doc(alias = "IOVA")]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverAddr(pub u64);

impl DriverAddr {
    /// Returns the address `offset` bytes higher, or `None` if it is beyond 2^64 - 1.
    #[inline]
    #[must_use]
    pub const fn checked_add(self, offset: u64) -> Option<Self> {
        match self.0.checked_add(offset) {
            Some(addr) => Some(Self(addr)),
            None => None,
        }
    }

    /// Returns whether the address is a multiple of `align`, a power of two.
    #[inline]
    #[must_use]
    pub const fn is_aligned_to(self, align: u64) -> bool {
        self.0 & align.wrapping_sub(1) == 0
    }
}

impl From<u64> for DriverAddr {
    #[inline]
    fn from(addr: u64) -> Self {
        Self(addr)
    }
}

impl fmt::Debug for DriverAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DriverAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A range of driver memory that the driver claims exists.
///
/// A `DriverRange` proves one thing: its end does not lie beyond 2^64, so arithmetic on it cannot overflow. It does not
/// prove that the memory exists, that the device can access it, or that the same memory is there a moment later.
/// [`DriverMem::translate`](crate::DriverMem::translate) turns a claim into memory that can be accessed.
///
/// A range can end exactly at 2^64. A range can be empty.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, DriverRange};
///
/// let top = DriverRange::new(DriverAddr(u64::MAX), 1).unwrap();
/// assert_eq!(top.len(), 1);
/// assert_eq!(DriverRange::new(DriverAddr(u64::MAX), 2), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DriverRange {
    start: DriverAddr,
    /// INVARIANT: `start + len <= 2^64`.
    len: u64,
}

impl DriverRange {
    /// A range without bytes.
    pub const EMPTY: Self = Self { start: DriverAddr(0), len: 0 };

    /// Returns the range of `len` bytes at `start`, or `None` if it would end beyond 2^64.
    #[inline]
    #[must_use]
    pub const fn new(start: DriverAddr, len: u64) -> Option<Self> {
        // The address of the last byte must fit into 64 bits. The end can be 2^64.
        if start.0.checked_add(len.saturating_sub(1)).is_some() { Some(Self { start, len }) } else { None }
    }

    /// Returns the address of the first byte.
    #[inline]
    #[must_use]
    pub const fn start(self) -> DriverAddr {
        self.start
    }

    /// Returns the length in bytes.
    #[inline]
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// Returns whether the range has no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns the first `len` bytes, or the whole range if it is shorter.
    #[inline]
    #[must_use]
    pub const fn prefix(self, len: u64) -> Self {
        Self { start: self.start, len: if len < self.len { len } else { self.len } }
    }

    /// Returns the range without its first `len` bytes, or an empty range if it is not longer than `len`.
    #[inline]
    #[must_use]
    pub const fn after(self, len: u64) -> Self {
        let skipped = if len < self.len { len } else { self.len };
        // The empty rest of a range that ends at 2^64 starts at 0. That does no harm.
        Self { start: DriverAddr(self.start.0.wrapping_add(skipped)), len: self.len - skipped }
    }

    /// Returns the `len` bytes at byte `offset` of the range, or `None` if they are not all inside the range.
    #[inline]
    #[must_use]
    pub const fn slice(self, offset: u64, len: u64) -> Option<Self> {
        let rest = self.after(offset);
        if offset <= self.len && len <= rest.len { Some(rest.prefix(len)) } else { None }
    }

    /// Returns how many bytes of the range lie before `addr`, or `None` if `addr` is outside the range.
    #[inline]
    #[must_use]
    pub const fn offset_of(self, addr: DriverAddr) -> Option<u64> {
        match addr.0.checked_sub(self.start.0) {
            Some(offset) if offset < self.len => Some(offset),
            _ => None,
        }
    }
}

impl fmt::Debug for DriverRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for DriverRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.start, self.len)
    }
}
