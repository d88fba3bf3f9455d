//! The Driver Area of a split virtqueue.

use core::fmt;

use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadOnly, StableMem, TranslateError,
};

use super::layout::Layout;
use super::ring_index::RingIndex;
use crate::descriptor_table::DescriptorIndex;
use crate::flags::fmt_flags;

const ALIGN: usize = Layout::DRIVER_AREA_ALIGN;

/// The available ring, which the driver writes and the device reads.
///
/// VIRTIO 1.4 §2.7.6 "The Virtqueue Available Ring" (SPLIT-AVAIL-1).
///
/// Each method reads one field once, with one aligned access of 16 bits (BAR-12). It fails only if the memory is gone.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::split::{DriverArea, Layout, QueueSize, RingIndex};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let driver = DriverArea::new(&mem, Layout::new(QueueSize::new(4)?), DriverAddr(0x1100))?;
/// let mut next = RingIndex::new(0);
/// let index = driver.index()?;
/// while next != index {
///     println!("chain {}", driver.entry(next)?);
///     next = next.advanced(1);
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "available ring")]
#[doc(alias = "avail ring")]
#[doc(alias = "vring_avail")]
#[derive(Debug)]
pub struct DriverArea<M> {
    area: Area<M, ReadOnly, ALIGN>,
    layout: Layout,
}

impl<M: StableMem> DriverArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.driver_area_len() as u64);
        let area = Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?)?;
        Ok(Self { area, layout })
    }

    /// Reads the flags.
    ///
    /// The load is relaxed, because the flags are only advice, and no other read depends on them. To decide whether to
    /// notify, the device needs a full fence between its store of the used index and this load. That fence pairs with
    /// the driver's fence between its store of the flags and its load of the used index (BAR-3).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn flags(&self) -> Result<AvailableFlags, AreaError> {
        self.area.load_relaxed(Layout::FLAGS).map(|flags| AvailableFlags(u16::from_le(flags)))
    }

    /// Reads the index of the driver's next entry.
    ///
    /// The load is an acquire. It pairs with the driver's release store of the index. So later reads see the entries
    /// before the index, their descriptors, and their buffers (BAR-1).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn index(&self) -> Result<RingIndex, AreaError> {
        self.area.load_acquire(Layout::INDEX).map(|index| RingIndex::new(u16::from_le(index)))
    }

    /// Reads the entry at `index`: the head of a chain, as the driver claims it.
    ///
    /// The load is relaxed, because [`index`](Self::index) acquired the entry.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn entry(&self, index: RingIndex) -> Result<DescriptorIndex, AreaError> {
        let slot = index.slot(self.layout.size());
        self.area.load_relaxed(Layout::available_entry(slot)).map(|head| DescriptorIndex(u16::from_le(head)))
    }

    /// Returns at most `count` entries from `first` on, which can be read without a translation.
    ///
    /// No entry lies beyond the end of the ring. There can be fewer entries if the area is in several pieces. There are
    /// none if the memory uses reports of reads.
    #[inline(always)]
    #[must_use]
    pub fn entries(&self, first: RingIndex, count: u16) -> AvailableEntries<'_> {
        let (slot, size) = (first.slot(self.layout.size()), self.layout.size().get());
        let count = if self.area.mem().reports(Access::Read) { 0 } else { count.min(size - slot) };
        AvailableEntries(self.area.array(Layout::available_entry(slot), count.into()))
    }

    /// Reads the index of the used element that the driver wants to be notified of.
    ///
    /// It has a meaning only with EVENT_IDX.
    ///
    /// The load is relaxed. It needs the same full fence as [`flags`](Self::flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn used_event(&self) -> Result<RingIndex, AreaError> {
        self.area.load_relaxed(self.layout.used_event()).map(|event| RingIndex::new(u16::from_le(event)))
    }
}

/// Entries of an available ring that can be read without a translation.
#[derive(Clone, Copy, Debug)]
pub struct AvailableEntries<'a>(DeviceArray<'a, u16>);

impl AvailableEntries<'_> {
    /// Returns the number of entries.
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no entries.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first `len` entries, or all entries if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn prefix(self, len: usize) -> Self {
        Self(self.0.prefix(len))
    }

    /// Reads the entry at `index`, or returns `None` if there is no such entry.
    ///
    /// The read is that of [`DriverArea::entry`].
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<DescriptorIndex> {
        self.0.load_relaxed(index).map(|head| DescriptorIndex(u16::from_le(head)))
    }
}

/// The flags of an available ring.
///
/// Only bit 0 has a meaning (SPLIT-UNOT-9, DRV-UNOT-1).
///
/// ```
/// use virtio_ring::split::AvailableFlags;
///
/// assert!(AvailableFlags(1).no_interrupt());
/// assert!(!AvailableFlags(0xfffe).no_interrupt());
/// assert_eq!(AvailableFlags(1).to_string(), "NO_INTERRUPT");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AvailableFlags(pub u16);

impl AvailableFlags {
    const NO_INTERRUPT: u16 = 1;

    const NAMES: [(u16, &'static str); 1] = [(Self::NO_INTERRUPT, "NO_INTERRUPT")];

    /// Returns whether the driver wants no notification when a buffer was used.
    ///
    /// The flag has no meaning if EVENT_IDX was negotiated.
    #[inline]
    #[must_use]
    pub const fn no_interrupt(self) -> bool {
        self.0 & Self::NO_INTERRUPT != 0
    }
}

/// Shows each flag by its name in the specification.
impl fmt::Display for AvailableFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_flags(self.0, &Self::NAMES, f)
    }
}

impl fmt::Debug for AvailableFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AvailableFlags({self})")
    }
}
