//! A descriptor of a split virtqueue, as it is in memory.

use core::fmt;
use core::mem::offset_of;

use static_assertions::const_assert_eq;
use virtio_mem_traits::{DeviceArray, DriverAddr, DriverRange};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::descriptor_table::{self, DescriptorIndex, TableEntry, sealed};
use crate::flags::fmt_flags;

/// A private copy of a descriptor, exactly as the driver wrote it. Nothing in it has been checked.
///
/// VIRTIO 1.4 §2.7.5 "The Virtqueue Descriptor Table".
///
/// ```
/// use virtio_mem_traits::DriverAddr;
/// use virtio_mem_traits::zerocopy::IntoBytes;
/// use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex};
///
/// let descriptor = Descriptor::new(DriverAddr(0x1000), 512, DescriptorFlags::NEXT, DescriptorIndex(3));
/// assert_eq!(descriptor.as_bytes(), [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 3, 0]);
/// assert_eq!(descriptor.next(), DescriptorIndex(3));
/// ```
#[doc(alias = "desc")]
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Descriptor {
    addr: U64,
    /// From the lowest bit: 32 bits of length, 16 bits of flags, and 16 bits for the index of the next descriptor. They
    /// are one field because they are tested together.
    word: U64,
}

const_assert_eq!(size_of::<Descriptor>(), 16);
const_assert_eq!(offset_of!(Descriptor, word), 8);

#[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
impl Descriptor {
    /// The size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Returns a descriptor with these fields.
    #[inline]
    #[must_use]
    pub const fn new(addr: DriverAddr, len: u32, flags: DescriptorFlags, next: DescriptorIndex) -> Self {
        let word = len as u64 | (flags.0 as u64) << 32 | (next.0 as u64) << 48;
        Self::from_word(addr, word)
    }

    /// Returns the descriptor with an address and a [second word](Self::word).
    #[inline]
    #[must_use]
    pub const fn from_word(addr: DriverAddr, word: u64) -> Self {
        Self { addr: U64::new(addr.0), word: U64::new(word) }
    }

    /// Returns the address of the element, or of the indirect table.
    #[inline]
    #[must_use]
    pub const fn addr(&self) -> DriverAddr {
        DriverAddr(self.addr.get())
    }

    /// Returns the length of the element, or of the indirect table, in bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.word.get() as u32
    }

    /// Returns whether the element, or the indirect table, has no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the range that the descriptor claims, or `None` if the range ends beyond 2^64.
    #[inline]
    #[must_use]
    pub const fn range(&self) -> Option<DriverRange> {
        DriverRange::new(self.addr(), self.len() as u64)
    }

    /// Returns the flags.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> DescriptorFlags {
        DescriptorFlags((self.word.get() >> 32) as u16)
    }

    /// Returns the index of the next descriptor, which has a meaning only with [`DescriptorFlags::NEXT`].
    #[inline]
    #[must_use]
    pub const fn next(&self) -> DescriptorIndex {
        DescriptorIndex((self.word.get() >> 48) as u16)
    }

    /// Returns the second word, to test all of its fields at once.
    ///
    /// It has the length in bits 0 to 31, the flags in bits 32 to 47, and the index of the next descriptor in bits 48
    /// to 63.
    #[inline]
    #[must_use]
    pub const fn word(&self) -> u64 {
        self.word.get()
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("addr", &self.addr())
            .field("len", &self.len())
            .field("flags", &self.flags())
            .field("next", &self.next())
            .finish()
    }
}

impl TableEntry for Descriptor {
    #[inline]
    fn load(entries: DeviceArray<'_, [u64; 2]>, index: usize) -> Option<Self> {
        entries.load_relaxed(index).map(|words| transmute!(words))
    }
}

impl sealed::Sealed for Descriptor {}

/// The flags of a descriptor.
///
/// Bits without a name have no meaning and are ignored (SPLIT-DESC-8).
///
/// ```
/// use virtio_ring::split::DescriptorFlags;
///
/// let flags = DescriptorFlags(0x10).union(DescriptorFlags::WRITE);
/// assert!(flags.contains(DescriptorFlags::WRITE));
/// assert!(!flags.contains(DescriptorFlags::NEXT));
/// assert_eq!(flags.to_string(), "WRITE | bit 4");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DescriptorFlags(pub u16);

impl DescriptorFlags {
    /// The chain continues at `next`.
    pub const NEXT: Self = Self(1);
    /// The element is device-writable. Without this flag, it is device-readable.
    pub const WRITE: Self = Self(2);
    /// The element is a table of descriptors.
    pub const INDIRECT: Self = Self(4);

    const NAMES: [(u16, &'static str); 3] =
        [(Self::NEXT.0, "NEXT"), (Self::WRITE.0, "WRITE"), (Self::INDIRECT.0, "INDIRECT")];

    /// Returns whether all bits of `other` are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the bits that are set in `self`, in `other` or in both.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Shows each flag by its name in the specification.
impl fmt::Display for DescriptorFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_flags(self.0, &Self::NAMES, f)
    }
}

impl fmt::Debug for DescriptorFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DescriptorFlags({self})")
    }
}

/// A table of descriptors of a split virtqueue.
pub type DescriptorTable<'m, M> = descriptor_table::DescriptorTable<'m, M, Descriptor>;
