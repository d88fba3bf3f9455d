//! The Device Area of a split virtqueue.

use core::fmt;

use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadOnly, Rights, StableMem, TranslateError,
    WriteOnly,
};
use zerocopy::transmute;

use super::layout::Layout;
use super::ring_index::RingIndex;
use super::used_element::UsedElement;
use crate::flags::fmt_flags;

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The used ring, which the device writes.
///
/// A queue never reads its used ring, whatever the driver writes there (SPLIT-USED-8, INV-7, HOST-23). By default, a
/// `DeviceArea` can only be written, and asks the memory for no other right. Tools that read rings prove the area [for
/// reading](Self::for_reading). A vhost-user back end does so too when it takes a ring over: the front end gives it
/// only the available index, and the used index is only in memory.
///
/// VIRTIO 1.4 §2.7.8 "The Virtqueue Used Ring".
///
/// Each method accesses one field once. It fails only if the memory is gone.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::split::{DescriptorIndex, DeviceArea, Layout, QueueSize, RingIndex, UsedElement};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let device = DeviceArea::new(&mem, Layout::new(QueueSize::new(8)?), DriverAddr(0x1100))?;
/// device.set_used(RingIndex::new(0), UsedElement::new(DescriptorIndex(3), 16))?;
/// device.publish(RingIndex::new(1))?;
///
/// let seen = device.reader()?;
/// assert_eq!(seen.index()?, RingIndex::new(1));
/// let element = seen.used(RingIndex::new(0))?;
/// assert_eq!((element.id(), element.len()), (3, 16));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "used ring")]
#[doc(alias = "vring_used")]
#[derive(Debug)]
pub struct DeviceArea<M, A = WriteOnly> {
    area: Area<M, A, ALIGN>,
    layout: Layout,
}

/// Proves the area at `addr`, without accessing it.
fn prove<M: StableMem, A: Rights>(mem: M, layout: Layout, addr: DriverAddr) -> Result<DeviceArea<M, A>, AreaError> {
    let range = DriverRange::new(addr, layout.device_area_len() as u64);
    let area = Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?)?;
    Ok(DeviceArea { area, layout })
}

/// Writing, for queues.
impl<M: StableMem> DeviceArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can write.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Proves the same area [for reading](Self::for_reading).
    ///
    /// # Errors
    ///
    /// If the area is not wholly in memory that the device can read.
    pub fn reader(&self) -> Result<DeviceArea<M, ReadOnly>, AreaError> {
        prove(self.area.mem().clone(), self.layout, self.area.range().start())
    }

    /// Writes the flags.
    ///
    /// The store is relaxed, because the flags are only advice. To enable notifications, the device needs a full fence
    /// between this store and its next load of the available index. That fence pairs with the driver's fence between
    /// its store of the available index and its load of the flags (BAR-2).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_flags(&self, flags: UsedFlags) -> Result<(), AreaError> {
        self.area.store_relaxed(Layout::FLAGS, flags.0.to_le())
    }

    /// Writes the element at `index`. The driver does not read it before it is [published](Self::publish).
    ///
    /// The store is relaxed, because [`publish`](Self::publish) releases it (SPLIT-USED-1). It consists of two stores
    /// of 32 bits, because the area is aligned only to 4 bytes.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, index: RingIndex, element: UsedElement) -> Result<(), AreaError> {
        let words: [u32; 2] = transmute!(element);
        self.area.store_relaxed(Layout::used_element(index.slot(self.layout.size())), words)
    }

    /// Returns the places of at most `count` elements from `first` on, which can be written without a translation.
    ///
    /// No place lies beyond the end of the ring. There can be fewer places if the area is in several pieces. There are
    /// none if the memory uses reports of writes.
    #[inline(always)]
    #[must_use]
    pub fn used_elements(&self, first: RingIndex, count: u16) -> UsedElements<'_> {
        let (slot, size) = (first.slot(self.layout.size()), self.layout.size().get());
        let count = if self.area.mem().reports(Access::Write) { 0 } else { count.min(size - slot) };
        UsedElements(self.area.array(Layout::used_element(slot), count.into()))
    }

    /// Writes the index of the next element, which publishes all elements before it.
    ///
    /// The store is a release. It pairs with the driver's acquire load of the index. So the driver's later reads see
    /// the elements and the bytes that were written into the buffers (BAR-4).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn publish(&self, index: RingIndex) -> Result<(), AreaError> {
        self.area.store_release(Layout::INDEX, index.get().to_le())
    }

    /// Writes the index of the available entry that the device wants to be notified of.
    ///
    /// Call this method only if EVENT_IDX was negotiated. Without EVENT_IDX, the driver does not read the field, and
    /// the device must not write it (SPLIT-ANOT-8).
    ///
    /// The store is relaxed. It needs the same full fence as [`set_flags`](Self::set_flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_avail_event(&self, index: RingIndex) -> Result<(), AreaError> {
        self.area.store_relaxed(self.layout.avail_event(), index.get().to_le())
    }
}

/// Reading, for tools and for a device that takes a ring over.
impl<M: StableMem> DeviceArea<M, ReadOnly> {
    /// Proves the area at `addr` for reading, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read.
    pub fn for_reading(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Reads the flags.
    ///
    /// The load is relaxed, because the flags are only advice, and no other read depends on them.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn flags(&self) -> Result<UsedFlags, AreaError> {
        self.area.load_relaxed(Layout::FLAGS).map(|flags| UsedFlags(u16::from_le(flags)))
    }

    /// Reads the index of the next element.
    ///
    /// The load is an acquire. It pairs with the release store of the device that [published](DeviceArea::publish) the
    /// index. So later reads see the elements before the index.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn index(&self) -> Result<RingIndex, AreaError> {
        self.area.load_acquire(Layout::INDEX).map(|index| RingIndex::new(u16::from_le(index)))
    }

    /// Reads the element at `index`.
    ///
    /// The load is relaxed, because [`index`](Self::index) acquired the element.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn used(&self, index: RingIndex) -> Result<UsedElement, AreaError> {
        let words: [u32; 2] = self.area.load_relaxed(Layout::used_element(index.slot(self.layout.size())))?;
        Ok(transmute!(words))
    }

    /// Reads the index of the available entry that the device wants to be notified of.
    ///
    /// It has a meaning only with EVENT_IDX. The load is relaxed, like that of the [flags](Self::flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn avail_event(&self) -> Result<RingIndex, AreaError> {
        self.area.load_relaxed(self.layout.avail_event()).map(|event| RingIndex::new(u16::from_le(event)))
    }
}

/// Places of elements in a used ring that can be written without a translation.
#[derive(Clone, Copy, Debug)]
pub struct UsedElements<'a>(DeviceArray<'a, [u32; 2], WriteOnly>);

impl UsedElements<'_> {
    /// Returns the number of places.
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no places.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes `element` to the place at `index`, and returns whether there is such a place.
    ///
    /// The write is that of [`DeviceArea::set_used`].
    #[inline(always)]
    pub fn set(&self, index: usize, element: UsedElement) -> bool {
        self.0.store_relaxed(index, transmute!(element)).is_some()
    }
}

/// The flags of a used ring. Only bit 0 has a meaning.
///
/// ```
/// use virtio_ring::split::UsedFlags;
///
/// assert!(UsedFlags::NO_NOTIFY.no_notify());
/// assert!(!UsedFlags(0xfffe).no_notify());
/// assert_eq!(UsedFlags::NO_NOTIFY.to_string(), "NO_NOTIFY");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct UsedFlags(pub u16);

impl UsedFlags {
    /// The driver can notify.
    ///
    /// It is the only allowed value if EVENT_IDX was negotiated (SPLIT-ANOT-3).
    pub const NONE: Self = Self(0);
    /// The driver is asked not to notify.
    pub const NO_NOTIFY: Self = Self(1);

    const NAMES: [(u16, &'static str); 1] = [(Self::NO_NOTIFY.0, "NO_NOTIFY")];

    /// Returns whether the device wants no notification when a buffer is made available.
    ///
    /// The flag has no meaning if EVENT_IDX was negotiated.
    #[inline]
    #[must_use]
    pub const fn no_notify(self) -> bool {
        self.0 & Self::NO_NOTIFY.0 != 0
    }
}

/// Shows each flag by its name in the specification.
impl fmt::Display for UsedFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_flags(self.0, &Self::NAMES, f)
    }
}

impl fmt::Debug for UsedFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UsedFlags({self})")
    }
}
