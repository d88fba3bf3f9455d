//! The Device Area of a split virtqueue.

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use virtio_mem_traits::{Access, Area, AreaError, DriverAddr, DriverRange, StableMem, TranslateError, WriteOnly};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DescriptorIndex, Layout, RingIndex};

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The used ring: written by the device, and never read by it (SPLIT-USED-8).
///
/// VIRTIO 1.4 §2.7.8 "The Virtqueue Used Ring".
///
/// Every method writes one field, once, and fails only if the memory is gone.
#[derive(Debug)]
pub struct DeviceArea<M> {
    area: Area<M, WriteOnly, ALIGN>,
    layout: Layout,
}

impl<M: StableMem> DeviceArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If it is misaligned, or is not all in memory that the device may write.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.device_area_len() as u64);
        let area = Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?)?;
        Ok(Self { area, layout })
    }

    /// Writes the flags.
    ///
    /// Relaxed: the flags advise. Who enables notifications has a full fence between this store and its next load of the
    /// available index, which pairs with the driver's between its store to that index and its load of the flags (BAR-2).
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
    pub fn set_element(&self, index: RingIndex, element: UsedElement) -> Result<(), AreaError> {
        let words: [u32; 2] = zerocopy::transmute!(element);
        self.area.store_relaxed(Layout::used_element(index.slot(self.layout.size())), words)
    }

    /// Writes the index that the next element will have, and thereby publishes all elements before it.
    ///
    /// Release: it pairs with the driver's load of the index, so that the elements, and what was written into the buffers,
    /// are visible to what the driver reads later (BAR-4).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn publish(&self, index: RingIndex) -> Result<(), AreaError> {
        self.area.store_release(Layout::INDEX, index.get().to_le())
    }

    /// Reads the index that was published last: where a queue goes on that is made again.
    ///
    /// The area was proved for writing alone, so the index is translated for this one access.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn index(&self) -> Result<RingIndex, AreaError> {
        let (mem, range) = (self.area.mem(), self.area.range());
        let index = range.after(Layout::INDEX as u64).prefix(size_of::<u16>() as u64);
        mem.before_read(index);
        let index = mem.translate_all(index, Access::Read)?.load_acquire(0)?;
        Ok(RingIndex::new(u16::from_le(index)))
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

/// An element of a used ring.
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
}

/// The flags of a used ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UsedFlags(u16);

impl UsedFlags {
    /// The driver may notify. The only value if EVENT_IDX was negotiated (SPLIT-ANOT-3).
    pub const NONE: Self = Self(0);
    /// The driver is asked not to notify.
    pub const NO_NOTIFY: Self = Self(1);
}
