//! The Device Area of a split virtqueue.

use core::fmt;
use core::mem::offset_of;

use static_assertions::const_assert_eq;
use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadOnly, Rights, StableMem, TranslateError,
    WriteOnly,
};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use super::{DescriptorIndex, Layout, RingIndex};
use crate::flags::fmt_flags;

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The used ring: written by the device.
///
/// A queue never reads what it wrote there (SPLIT-USED-8): the area that it holds can only be written, and asks the
/// memory for no other right. What may be read as well is the same area [for reading](Self::for_reading). That is for
/// tools that look at rings, and for who takes a ring over: a front end of vhost-user says where the available ring
/// goes on, and the used index is in memory alone.
///
/// VIRTIO 1.4 §2.7.8 "The Virtqueue Used Ring".
///
/// Every method accesses one field, once, and fails only if the memory is gone.
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

/// What a queue does with it.
impl<M: StableMem> DeviceArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If it is misaligned, or is not all in memory that the device may write.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Proves the same area [for reading](Self::for_reading).
    ///
    /// # Errors
    ///
    /// If it is not all in memory that the device may read.
    pub fn reader(&self) -> Result<DeviceArea<M, ReadOnly>, AreaError> {
        prove(self.area.mem().clone(), self.layout, self.area.range().start())
    }

    /// Writes the flags.
    ///
    /// Relaxed: the flags advise. Who enables notifications has a full fence between this store and its next load of
    /// the available index, which pairs with the driver's between its store to that index and its load of the flags
    /// (BAR-2).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_flags(&self, flags: UsedFlags) -> Result<(), AreaError> {
        self.area.store_relaxed(Layout::FLAGS, flags.0.to_le())
    }

    /// Writes the element at `index`, which the driver does not look at before it was [published](Self::publish).
    ///
    /// Relaxed: publishing releases it. The area is aligned to 4 bytes only, so this is two stores of 32 bits.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, index: RingIndex, element: UsedElement) -> Result<(), AreaError> {
        let words: [u32; 2] = transmute!(element);
        self.area.store_relaxed(Layout::used_element(index.slot(self.layout.size())), words)
    }

    /// Returns the places of elements from `first` on that can be written at once: at most `count`, none beyond the end
    /// of the ring, fewer where the area is in several pieces, and none where the memory wants reports of writing.
    #[inline(always)]
    #[must_use]
    pub fn used_elements(&self, first: RingIndex, count: u16) -> UsedElements<'_> {
        let (slot, size) = (first.slot(self.layout.size()), self.layout.size().get());
        let count = if self.area.mem().reports(Access::Write) { 0 } else { count.min(size - slot) };
        UsedElements(self.area.array(Layout::used_element(slot), count.into()))
    }

    /// Writes the index that the next element will have, and thereby publishes all elements before it.
    ///
    /// Release: it pairs with the driver's load of the index, so that the elements, and what was written into the
    /// buffers, are visible to what the driver reads later (BAR-4).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn publish(&self, index: RingIndex) -> Result<(), AreaError> {
        self.area.store_release(Layout::INDEX, index.get().to_le())
    }

    /// Writes the index of the available entry that the device wants to be notified of. The driver reads it only with
    /// EVENT_IDX; without it, the place is not to be touched (SPLIT-ANOT-8).
    ///
    /// Relaxed, under the same full fence as [`set_flags`](Self::set_flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_avail_event(&self, index: RingIndex) -> Result<(), AreaError> {
        self.area.store_relaxed(self.layout.avail_event(), index.get().to_le())
    }
}

/// What tools do with it, and who takes a ring over.
impl<M: StableMem> DeviceArea<M, ReadOnly> {
    /// Proves the area at `addr` to be read, without accessing it.
    ///
    /// # Errors
    ///
    /// If it is misaligned, or is not all in memory that the device may read.
    pub fn for_reading(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Reads the flags. Relaxed: they advise, and nothing else is read on their account.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn flags(&self) -> Result<UsedFlags, AreaError> {
        self.area.load_relaxed(Layout::FLAGS).map(|flags| UsedFlags(u16::from_le(flags)))
    }

    /// Reads the index that the next element will have.
    ///
    /// Acquire: it pairs with the store of whichever device [published](DeviceArea::publish) it, so that the elements
    /// before it are visible to what is read later.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn index(&self) -> Result<RingIndex, AreaError> {
        self.area.load_acquire(Layout::INDEX).map(|index| RingIndex::new(u16::from_le(index)))
    }

    /// Reads the element at `index`. Relaxed: [`index`](Self::index) acquired it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn used(&self, index: RingIndex) -> Result<UsedElement, AreaError> {
        let words: [u32; 2] = self.area.load_relaxed(Layout::used_element(index.slot(self.layout.size())))?;
        Ok(transmute!(words))
    }

    /// Reads the index of the available entry that the device wants to be notified of. It has a meaning only with
    /// EVENT_IDX. Relaxed, as the [flags](Self::flags).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn avail_event(&self) -> Result<RingIndex, AreaError> {
        self.area.load_relaxed(self.layout.avail_event()).map(|event| RingIndex::new(u16::from_le(event)))
    }
}

/// Places of elements in a used ring that can be written at once.
#[derive(Clone, Copy, Debug)]
pub struct UsedElements<'a>(DeviceArray<'a, [u32; 2], WriteOnly>);

impl UsedElements<'_> {
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

    /// Writes the `index`th of them, if there are as many, as [`DeviceArea::set_used`] does, and returns whether there
    /// are.
    #[inline(always)]
    pub fn set(&self, index: usize, element: UsedElement) -> bool {
        self.0.store_relaxed(index, transmute!(element)).is_some()
    }
}

/// An element of a used ring: a private copy. Whoever wrote it may have written anything.
///
/// ```
/// use virtio_ring::split::{DescriptorIndex, UsedElement};
///
/// let element = UsedElement::new(DescriptorIndex(3), 16);
/// assert_eq!((element.id(), element.len()), (3, 16));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UsedElement {
    id: U32,
    len: U32,
}

const_assert_eq!(size_of::<UsedElement>(), 8);
const_assert_eq!(offset_of!(UsedElement, len), 4);

impl UsedElement {
    /// The size in bytes.
    pub const SIZE: usize = size_of::<Self>();

    /// Returns the element that gives back the chain of `head`, with `len` bytes written (SPLIT-USED-5).
    #[inline]
    #[must_use]
    pub const fn new(head: DescriptorIndex, len: u32) -> Self {
        Self { id: U32::new(head.0 as u32), len: U32::new(len) }
    }

    /// Returns the index of the descriptor that the chain begins with: all 32 bits of it, of which a device sets 16.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id.get()
    }

    /// Returns how many bytes were written into the chain.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len.get()
    }

    /// Returns whether no byte was written into the chain.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
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
    /// The driver may notify. The only value if EVENT_IDX was negotiated (SPLIT-ANOT-3).
    pub const NONE: Self = Self(0);
    /// The driver is asked not to notify.
    pub const NO_NOTIFY: Self = Self(1);

    const NAMES: [(u16, &'static str); 1] = [(Self::NO_NOTIFY.0, "NO_NOTIFY")];

    /// Returns whether the device wants no notification when a buffer is made available. Without a meaning if EVENT_IDX
    /// was negotiated.
    #[inline]
    #[must_use]
    pub const fn no_notify(self) -> bool {
        self.0 & Self::NO_NOTIFY.0 != 0
    }
}

/// The flags by the specification's name.
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
