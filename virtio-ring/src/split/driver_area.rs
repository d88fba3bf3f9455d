//! The Driver Area of a split virtqueue.

use core::fmt;

use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadOnly, StableMem, TranslateError,
};

use super::{DescriptorIndex, Layout, RingIndex};
use crate::flags::fmt_flags;

const ALIGN: usize = Layout::DRIVER_AREA_ALIGN;

/// The available ring: written by the driver, read by the device (SPLIT-AVAIL-1).
///
/// VIRTIO 1.4 §2.7.6 "The Virtqueue Available Ring".
///
/// Every method reads one field, once, by one aligned 16-bit access (BAR-12), and fails only if the memory is gone.
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
    /// If it is misaligned, or is not all in memory that the device may read.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.driver_area_len() as u64);
        let area = Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?)?;
        Ok(Self { area, layout })
    }

    /// Reads the flags.
    ///
    /// Relaxed: the flags advise, and nothing else is read on their account. Who decides by them whether to notify has
    /// a full fence between its store to the used ring and this load, which pairs with the driver's between its store
    /// to the flags and its load of the used index (BAR-3).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn flags(&self) -> Result<AvailableFlags, AreaError> {
        self.area.load_relaxed(Layout::FLAGS).map(|flags| AvailableFlags(u16::from_le(flags)))
    }

    /// Reads the index that the driver's next entry will have.
    ///
    /// Acquire: it pairs with the driver's store of the index, so that the entries before it, and the descriptors and
    /// buffers that they stand for, are visible to what is read later (BAR-1).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn index(&self) -> Result<RingIndex, AreaError> {
        self.area.load_acquire(Layout::INDEX).map(|index| RingIndex::new(u16::from_le(index)))
    }

    /// Reads the entry at `index`: the head of a chain, as the driver says.
    ///
    /// Relaxed: [`index`](Self::index) acquired it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn entry(&self, index: RingIndex) -> Result<DescriptorIndex, AreaError> {
        let slot = index.slot(self.layout.size());
        self.area.load_relaxed(Layout::available_entry(slot)).map(|head| DescriptorIndex(u16::from_le(head)))
    }

    /// Returns the entries from `first` on that can be read at once: at most `count`, none beyond the end of the ring,
    /// fewer where the area is in several pieces, and none where the memory wants reports of reading.
    #[inline(always)]
    #[must_use]
    pub fn entries(&self, first: RingIndex, count: u16) -> AvailableEntries<'_> {
        let (slot, size) = (first.slot(self.layout.size()), self.layout.size().get());
        let count = if self.area.mem().reports(Access::Read) { 0 } else { count.min(size - slot) };
        AvailableEntries(self.area.array(Layout::available_entry(slot), count.into()))
    }

    /// Reads the index of the used element that the driver wants to be notified of. It has a meaning only with
    /// EVENT_IDX.
    ///
    /// Relaxed, under the same full fence as [`flags`](Self::flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn used_event(&self) -> Result<RingIndex, AreaError> {
        self.area.load_relaxed(self.layout.used_event()).map(|event| RingIndex::new(u16::from_le(event)))
    }
}

/// Entries of an available ring that can be read at once.
#[derive(Clone, Copy, Debug)]
pub struct AvailableEntries<'a>(DeviceArray<'a, u16>);

impl AvailableEntries<'_> {
    /// Returns how many there are.
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first `len` of them, or all if there are not as many.
    #[inline(always)]
    #[must_use]
    pub fn prefix(self, len: usize) -> Self {
        Self(self.0.prefix(len))
    }

    /// Reads the `index`th of them, if there are as many, as [`DriverArea::entry`] does.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<DescriptorIndex> {
        self.0.load_relaxed(index).map(|head| DescriptorIndex(u16::from_le(head)))
    }
}

/// The flags of an available ring. Only bit 0 has a meaning (SPLIT-UNOT-9).
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

    /// Returns whether the driver wants no notification when a buffer was used. Without a meaning if EVENT_IDX was
    /// negotiated.
    #[inline]
    #[must_use]
    pub const fn no_interrupt(self) -> bool {
        self.0 & Self::NO_INTERRUPT != 0
    }
}

/// The flags by the specification's name.
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
