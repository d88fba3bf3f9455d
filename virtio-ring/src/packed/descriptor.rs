//! A descriptor of a packed virtqueue, as it is in memory.

use core::fmt;
use core::mem::offset_of;

use static_assertions::const_assert_eq;
use virtio_mem_traits::{DeviceArray, DriverAddr, DriverRange};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::descriptor_table::{self, TableEntry, sealed};
use crate::flags::fmt_flags;

/// A private copy of a descriptor, exactly as the driver wrote it. Nothing in it has been checked.
///
/// VIRTIO 1.4 §2.8.13 "The Virtqueue Descriptor Format".
///
/// ```
/// use virtio_mem_traits::DriverAddr;
/// use virtio_mem_traits::zerocopy::IntoBytes;
/// use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags};
///
/// let flags = DescriptorFlags::WRITE.union(DescriptorFlags::AVAIL);
/// let descriptor = Descriptor::new(DriverAddr(0x1000), 512, BufferId(3), flags);
/// assert_eq!(descriptor.as_bytes(), [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3, 0, 0x82, 0]);
/// assert!(descriptor.flags().is_available(true));
/// ```
#[doc(alias = "desc")]
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Descriptor {
    addr: U64,
    /// From the lowest bit: 32 bits of length, 16 bits of Buffer ID, and 16 bits of flags. They are one field because
    /// they are tested together.
    word: U64,
}

const_assert_eq!(size_of::<Descriptor>(), 16);
const_assert_eq!(Descriptor::LEN, 8);

#[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
impl Descriptor {
    /// The size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    pub(super) const ADDR: usize = offset_of!(Self, addr);
    pub(super) const LEN: usize = offset_of!(Self, word);
    pub(super) const ID: usize = Self::LEN + size_of::<u32>();
    pub(super) const FLAGS: usize = Self::ID + size_of::<u16>();

    /// Returns a descriptor with these fields.
    #[inline]
    #[must_use]
    pub const fn new(addr: DriverAddr, len: u32, id: BufferId, flags: DescriptorFlags) -> Self {
        let word = len as u64 | (id.0 as u64) << 32 | (flags.0 as u64) << 48;
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

    /// Returns the Buffer ID.
    ///
    /// It has a meaning only in the last descriptor of a list (PACK-USED-2).
    #[inline]
    #[must_use]
    pub const fn id(&self) -> BufferId {
        BufferId((self.word.get() >> 32) as u16)
    }

    /// Returns the flags.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> DescriptorFlags {
        DescriptorFlags((self.word.get() >> 48) as u16)
    }

    /// Returns the second word, to test all of its fields at once.
    ///
    /// It has the length in bits 0 to 31, the Buffer ID in bits 32 to 47, and the flags in bits 48 to 63.
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
            .field("id", &self.id())
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

/// The number by which a driver knows a buffer.
///
/// It is opaque to the device. Any value can occur, and a value can repeat (HOST-19).
///
/// ```
/// use virtio_ring::packed::BufferId;
///
/// assert_eq!(BufferId(7).to_string(), "7");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BufferId(pub u16);

impl fmt::Display for BufferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The flags of a descriptor. Bits without a name have no meaning and are ignored.
///
/// ```
/// use virtio_ring::packed::DescriptorFlags;
///
/// // The flags that a driver and a device write in the first lap, when the wrap counter is set.
/// assert!(DescriptorFlags::AVAIL.is_available(true));
/// assert!(DescriptorFlags::AVAIL.union(DescriptorFlags::USED).is_used(true));
/// assert_eq!(DescriptorFlags(0x8090).to_string(), "bit 4 | AVAIL | USED");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DescriptorFlags(pub u16);

impl DescriptorFlags {
    /// The list continues in the next slot.
    pub const NEXT: Self = Self(1);
    /// The element is device-writable. Without this flag, it is device-readable.
    ///
    /// In a used descriptor, the flag means that the device has written bytes.
    pub const WRITE: Self = Self(2);
    /// The element is a table of descriptors.
    pub const INDIRECT: Self = Self(4);
    /// Is equal to the driver's wrap counter when the descriptor is made available.
    pub const AVAIL: Self = Self(1 << 7);
    /// Differs from the driver's wrap counter when the descriptor is made available. Is equal to AVAIL when it was
    /// used.
    pub const USED: Self = Self(1 << 15);

    const NAMES: [(u16, &'static str); 5] = [
        (Self::NEXT.0, "NEXT"),
        (Self::WRITE.0, "WRITE"),
        (Self::INDIRECT.0, "INDIRECT"),
        (Self::AVAIL.0, "AVAIL"),
        (Self::USED.0, "USED"),
    ];

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

    /// Returns whether a descriptor with these flags is available to a device whose wrap counter is `wrap`.
    ///
    /// AVAIL must be equal to `wrap`, and USED must not (PACK-WRAP-2). It is not enough that the two bits differ from
    /// each other (PACK-WRAP-5).
    #[inline]
    #[must_use]
    pub const fn is_available(self, wrap: bool) -> bool {
        self.0 & (Self::AVAIL.0 | Self::USED.0) == if wrap { Self::AVAIL.0 } else { Self::USED.0 }
    }

    /// Returns whether a descriptor with these flags is used for a driver whose wrap counter is `wrap`.
    ///
    /// Both bits must be equal to `wrap` (PACK-WRAP-3). In a ring of zeros, every descriptor looks used in the lap
    /// before the first one.
    #[inline]
    #[must_use]
    pub const fn is_used(self, wrap: bool) -> bool {
        self.0 & (Self::AVAIL.0 | Self::USED.0) == if wrap { Self::AVAIL.0 | Self::USED.0 } else { 0 }
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

/// The fields that a device writes into a descriptor when it has used a buffer.
///
/// The address of the descriptor does not change (PACK-USED-6).
///
/// A queue never reads a used descriptor. Tools read the whole descriptor and convert it. Its flags show whether it [is
/// used](DescriptorFlags::is_used).
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::packed::{
///     BufferId, DescriptorArea, DescriptorIndex, Layout, QueueSize, RingPosition, UsedDescriptor,
/// };
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let ring = DescriptorArea::new(&mem, Layout::new(QueueSize::new(4)?), DriverAddr(0x1000))?;
/// ring.set_used(RingPosition::START, UsedDescriptor::new(BufferId(3), 16, true))?;
///
/// let used = UsedDescriptor::from(ring.table().get(DescriptorIndex(0))?);
/// assert!(used.flags.is_used(true));
/// assert_eq!((used.id, used.len), (BufferId(3), 16));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedDescriptor {
    /// The number of bytes that were written.
    ///
    /// If no bytes were written, the field is reserved and is 0 (PACK-USED-5).
    pub len: u32,
    /// The Buffer ID of the used buffer.
    pub id: BufferId,
    /// AVAIL and USED for the wrap counter, and WRITE if bytes were written.
    ///
    /// No other flag is set (PACK-USED-4, PACK-USED-7).
    pub flags: DescriptorFlags,
}

impl UsedDescriptor {
    /// Returns the used descriptor for a buffer with `len` bytes written.
    ///
    /// `wrap` is the device's wrap counter at the slot (PACK-WRAP-3).
    #[inline]
    #[must_use]
    pub const fn new(id: BufferId, len: u32, wrap: bool) -> Self {
        let wrapped = if wrap { DescriptorFlags::AVAIL.0 | DescriptorFlags::USED.0 } else { 0 };
        let write = if len == 0 { 0 } else { DescriptorFlags::WRITE.0 };
        Self { len, id, flags: DescriptorFlags(wrapped | write) }
    }

    /// Returns the upper half of the descriptor, as a number whose little-endian form is in memory.
    #[inline]
    pub(super) const fn bits(self) -> u64 {
        self.len as u64 | (self.id.0 as u64) << 32 | (self.flags.0 as u64) << 48
    }
}

/// Reads the fields of a descriptor as those of a used one, without checking its flags.
impl From<Descriptor> for UsedDescriptor {
    #[inline]
    fn from(descriptor: Descriptor) -> Self {
        Self { len: descriptor.len(), id: descriptor.id(), flags: descriptor.flags() }
    }
}

/// A table of descriptors of a packed virtqueue: its ring, or an indirect one.
pub type DescriptorTable<'m, M> = descriptor_table::DescriptorTable<'m, M, Descriptor>;
