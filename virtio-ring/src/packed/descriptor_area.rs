//! The Descriptor Area of a packed virtqueue.

use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadWrite, StableMem, TranslateError,
};

use super::descriptor::{BufferId, Descriptor, DescriptorFlags, DescriptorTable, UsedDescriptor};
use super::layout::Layout;
use super::ring_position::RingPosition;

const ALIGN: usize = Layout::DESCRIPTOR_AREA_ALIGN;

/// The descriptor ring, which both sides write.
///
/// The driver writes available descriptors. The device writes used descriptors over them.
///
/// If the ring lies in several pieces of memory, each piece must end at a multiple of 8 bytes. The largest single
/// access has 8 bytes, and must be in one piece.
///
/// VIRTIO 1.4 §2.8.1 "Driver and Device Ring Wrap Counters".
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::packed::{BufferId, DescriptorArea, Layout, QueueSize, RingPosition, UsedDescriptor};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let ring = DescriptorArea::new(&mem, Layout::new(QueueSize::new(4)?), DriverAddr(0x1000))?;
/// let next = RingPosition::START;
/// let (_, flags) = ring.first(next)?;
/// assert!(!flags.is_available(next.wrap()), "a ring of zeros is empty");
/// ring.set_used(next, UsedDescriptor::new(BufferId(0), 0, next.wrap()))?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "descriptor ring")]
#[derive(Debug)]
pub struct DescriptorArea<M> {
    area: Area<M, ReadWrite, ALIGN>,
}

impl<M: StableMem> DescriptorArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read and write.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.descriptor_area_len() as u64);
        Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?).map(|area| Self { area })
    }

    /// Returns the handle on the memory.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &M {
        self.area.mem()
    }

    /// Returns the ring as a table, to read its descriptors.
    #[inline]
    #[must_use]
    pub fn table(&self) -> DescriptorTable<'_, M> {
        DescriptorTable::from_parts(self.area.mem(), self.area.range(), self.area.array(0, usize::MAX).reader())
    }

    /// Returns at most `count` slots from `first` on, which can be accessed without a translation.
    ///
    /// No slot lies beyond the end of the ring. There can be fewer slots if the ring is in several pieces. There are
    /// none if the memory uses reports of accesses.
    #[inline(always)]
    #[must_use]
    pub fn slots(&self, first: u16, count: u16) -> Slots<'_> {
        let count = if self.area.mem().reports(Access::ReadWrite) { 0 } else { count };
        Slots(self.area.array(Descriptor::SIZE * usize::from(first), count.into()))
    }

    /// Reads the Buffer ID and the flags of the descriptor at `position`, where a list can begin.
    ///
    /// The load is an acquire. It pairs with the driver's release store of the flags. So later reads see the rest of
    /// the descriptor, the other descriptors of its list, and their buffers (BAR-5). The driver stores the Buffer ID
    /// before the flags. One access of 32 bits cannot see the later store and miss the earlier one. Rust does not
    /// define atomic accesses of mixed sizes; the hardware's memory model applies.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn first(&self, position: RingPosition) -> Result<(BufferId, DescriptorFlags), AreaError> {
        self.area.load_acquire(Layout::descriptor_id(position.slot())).map(id_and_flags)
    }

    /// Reads the Buffer ID and the flags of the descriptor in `slot`, which is not the first of its list.
    ///
    /// The load is relaxed, because [`first`](Self::first) acquired the descriptor.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn later(&self, slot: u16) -> Result<(BufferId, DescriptorFlags), AreaError> {
        self.area.load_relaxed(Layout::descriptor_id(slot)).map(id_and_flags)
    }

    /// Writes a used descriptor, which publishes it.
    ///
    /// The driver can see it immediately. The device does not change it afterwards (BAR-9, PACK-DESC-4).
    ///
    /// The store is a release. It pairs with the driver's acquire load of the flags. So the driver's later reads see
    /// the bytes that were written into the buffer (BAR-8). The Buffer ID and the length become visible together with
    /// the flags, because all three are one aligned access of 64 bits.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, position: RingPosition, used: UsedDescriptor) -> Result<(), AreaError> {
        self.area.store_release(Layout::descriptor_len(position.slot()), used.bits().to_le())
    }
}

/// Slots of a ring that can be accessed without a translation.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a>(DeviceArray<'a, [u64; 2], ReadWrite>);

impl<'a> Slots<'a> {
    /// Returns the number of slots.
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no slots.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first `len` slots, or all slots if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn prefix(self, len: usize) -> Self {
        Self(self.0.prefix(len))
    }

    /// Returns the slots without the first `len`, or no slots if there are not more than `len`.
    #[inline(always)]
    #[must_use]
    pub fn after(self, len: usize) -> Self {
        Self(self.0.after(len))
    }

    /// Returns the first `len` descriptors, or all descriptors if there are fewer.
    #[inline(always)]
    #[must_use]
    pub fn descriptors(&self, len: usize) -> DeviceArray<'a, [u64; 2]> {
        self.0.prefix(len).reader()
    }

    /// Reads the second word of the descriptor at `index`, or returns `None` if there is no such slot.
    ///
    /// The word has the length, the Buffer ID and the flags. The read is that of [`DescriptorArea::first`].
    #[inline(always)]
    #[must_use]
    pub fn first(&self, index: usize) -> Option<u64> {
        self.0.load_field_acquire::<u64, { Descriptor::LEN }>(index).map(u64::from_le)
    }

    /// Reads the address of the descriptor at `index`, or returns `None` if there is no such slot.
    ///
    /// The load is relaxed, because [`first`](Self::first) acquired the descriptor.
    #[inline(always)]
    #[must_use]
    pub fn addr(&self, index: usize) -> Option<DriverAddr> {
        self.0.load_field::<u64, { Descriptor::ADDR }>(index).map(|addr| DriverAddr(u64::from_le(addr)))
    }

    /// Reads the Buffer ID and the flags of the descriptor at `index`, or returns `None` if there is no such slot.
    ///
    /// The read is that of [`DescriptorArea::later`].
    #[inline(always)]
    #[must_use]
    pub fn later(&self, index: usize) -> Option<(BufferId, DescriptorFlags)> {
        self.0.load_field::<u32, { Descriptor::ID }>(index).map(id_and_flags)
    }

    /// Writes a used descriptor to the slot at `index`, and returns whether there is such a slot.
    ///
    /// The write is that of [`DescriptorArea::set_used`].
    #[inline(always)]
    pub fn set_used(&self, index: usize, used: UsedDescriptor) -> bool {
        self.0.store_field_release::<u64, { Descriptor::LEN }>(index, used.bits().to_le()).is_some()
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
const fn id_and_flags(word: u32) -> (BufferId, DescriptorFlags) {
    let word = u32::from_le(word);
    (BufferId(word as u16), DescriptorFlags((word >> 16) as u16))
}
