//! The Descriptor Area of a packed virtqueue.

use virtio_mem_traits::{Area, AreaError, DriverAddr, DriverRange, ReadWrite, StableMem, TranslateError};

use super::{BufferId, DescriptorFlags, DescriptorTable, Layout, RingPosition, UsedDescriptor};

const ALIGN: usize = Layout::DESCRIPTOR_AREA_ALIGN;

/// The descriptor ring: descriptors that the driver made available, and over them those that the device has used.
///
/// Where the ring lies in several pieces, they have to end at multiples of 8 bytes: no more than that is accessed at once, and
/// what is accessed at once has to be in one piece.
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
        DescriptorTable::from_parts(self.area.mem(), self.area.range(), self.area.array())
    }

    /// Reads the Buffer ID and the flags of the descriptor at `position`, which may be the first of a list that is available.
    ///
    /// Acquire: it pairs with the driver's store of the flags, so that the rest of the descriptor, the other descriptors of
    /// its list, and the buffers that they stand for, are visible to what is read later (BAR-5). The driver stores the Buffer
    /// ID before the flags; one access of 32 bits cannot see the later store and miss the earlier one. Rust's memory model has
    /// no word for accesses of different sizes from both sides; what counts between a device and its driver is the machine's.
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
    /// Release: it pairs with the driver's load of the flags, so that what was written into the buffer is visible to what the
    /// driver reads later (BAR-8). The Buffer ID and the length become visible together with the flags: all three are one
    /// aligned access of 64 bits.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, position: RingPosition, used: UsedDescriptor) -> Result<(), AreaError> {
        self.area.store_release(Layout::descriptor_len(position.slot()), used.bits().to_le())
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
const fn id_and_flags(word: u32) -> (BufferId, DescriptorFlags) {
    let word = u32::from_le(word);
    (BufferId(word as u16), DescriptorFlags((word >> 16) as u16))
}
