//! The Descriptor Area of a packed virtqueue.

use virtio_mem_traits::{
    Access, Area, AreaError, DeviceArray, DriverAddr, DriverRange, ReadWrite, StableMem, TranslateError,
};

use super::{BufferId, Descriptor, DescriptorFlags, DescriptorTable, Layout, RingPosition, UsedDescriptor};

const ALIGN: usize = Layout::DESCRIPTOR_AREA_ALIGN;

/// The descriptor ring: descriptors that the driver made available, and over them those that the device has used.
///
/// Where the ring lies in several pieces, they have to end at multiples of 8 bytes: no more than that is accessed at
/// once, and what is accessed at once has to be in one piece.
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
    /// If it is misaligned, or is not all in memory that the device may read and write.
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

    /// Returns the ring as a table, to read descriptors from.
    #[inline]
    #[must_use]
    pub fn table(&self) -> DescriptorTable<'_, M> {
        DescriptorTable::from_parts(self.area.mem(), self.area.range(), self.area.array(0, usize::MAX).reader())
    }

    /// Returns the slots from `first` on that can be accessed at once: at most `count`, fewer where the ring is in
    /// several pieces, and none where the memory wants reports of accesses.
    #[inline(always)]
    #[must_use]
    pub fn slots(&self, first: u16, count: u16) -> Slots<'_> {
        let count = if self.area.mem().reports(Access::ReadWrite) { 0 } else { count };
        Slots(self.area.array(Descriptor::SIZE * usize::from(first), count.into()))
    }

    /// Reads the Buffer ID and the flags of the descriptor at `position`, which may be the first of a list that is
    /// available.
    ///
    /// Acquire: it pairs with the driver's store of the flags, so that the rest of the descriptor, the other
    /// descriptors of its list, and the buffers that they stand for, are visible to what is read later (BAR-5). The
    /// driver stores the Buffer ID before the flags; one access of 32 bits cannot see the later store and miss the
    /// earlier one. Rust's memory model has no word for accesses of different sizes from both sides; what counts
    /// between a device and its driver is the machine's.
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
    /// Relaxed: [`first`](Self::first) acquired it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn later(&self, slot: u16) -> Result<(BufferId, DescriptorFlags), AreaError> {
        self.area.load_relaxed(Layout::descriptor_id(slot)).map(id_and_flags)
    }

    /// Writes a used descriptor, which the driver may see at once. Nothing in it changes after that (BAR-9).
    ///
    /// Release: it pairs with the driver's load of the flags, so that what was written into the buffer is visible to
    /// what the driver reads later (BAR-8). The Buffer ID and the length become visible together with the flags: all
    /// three are one aligned access of 64 bits.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, position: RingPosition, used: UsedDescriptor) -> Result<(), AreaError> {
        self.area.store_release(Layout::descriptor_len(position.slot()), used.bits().to_le())
    }
}

/// Slots of a ring that can be accessed at once.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a>(DeviceArray<'a, [u64; 2], ReadWrite>);

impl<'a> Slots<'a> {
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

    /// Returns the descriptors in those from `first` to `last`, to read them, if they are all there.
    #[inline(always)]
    #[must_use]
    pub fn descriptors(&self, first: usize, last: usize) -> Option<DeviceArray<'a, [u64; 2]>> {
        self.0.slice(first, last).map(DeviceArray::reader)
    }

    /// Reads the second word of the descriptor in the `index`th of them, if there are as many, as
    /// [`DescriptorArea::first`] does: the length, the Buffer ID and the flags.
    #[inline(always)]
    #[must_use]
    pub fn first(&self, index: usize) -> Option<u64> {
        self.0.load_field_acquire::<u64, { Descriptor::LEN }>(index).map(u64::from_le)
    }

    /// Reads the address in the descriptor in the `index`th of them, if there are as many.
    ///
    /// Relaxed: [`first`](Self::first) acquired it.
    #[inline(always)]
    #[must_use]
    pub fn addr(&self, index: usize) -> Option<DriverAddr> {
        self.0.load_field::<u64, { Descriptor::ADDR }>(index).map(|addr| DriverAddr(u64::from_le(addr)))
    }

    /// Reads the second word of the descriptor in the `index`th of them, if there are as many, as
    /// [`DescriptorArea::later`] does.
    #[inline(always)]
    #[must_use]
    pub fn later(&self, index: usize) -> Option<u64> {
        self.0.load_field::<u64, { Descriptor::LEN }>(index).map(u64::from_le)
    }

    /// Writes a used descriptor into the `index`th of them, if there are as many, as [`DescriptorArea::set_used`] does,
    /// and returns whether there are.
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
