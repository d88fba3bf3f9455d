//! The Descriptor Area of a packed virtqueue.

use virtio_mem_traits::{Area, AreaError, DriverAddr, DriverRange, ReadWrite, StableMem, TranslateError};

use super::{BufferId, DescriptorFlags, DescriptorTable, Layout, RingPosition, UsedDescriptor};

const ALIGN: usize = Layout::DESCRIPTOR_AREA_ALIGN;

/// The descriptor ring: descriptors that the driver made available, and over them those that the device has used.
///
/// VIRTIO 1.4 §2.8.1 "Driver and Device Ring Wrap Counters".
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
        DescriptorTable::proved(self.area.mem(), self.area.range(), self.area.array())
    }

    /// Reads the flags of the descriptor at `position`.
    ///
    /// Acquire: it pairs with the driver's store of the flags, so that the rest of the descriptor, the other descriptors of
    /// its list, and the buffers that they stand for, are visible to what is read later (BAR-5).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn flags(&self, position: RingPosition) -> Result<DescriptorFlags, AreaError> {
        let flags = self.area.load_acquire(Layout::descriptor_flags(position.slot()))?;
        Ok(DescriptorFlags(u16::from_le(flags)))
    }

    /// Reads the Buffer ID of the descriptor at `position`.
    ///
    /// Relaxed: [`flags`](Self::flags) of the first descriptor of the list acquired it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn id(&self, position: RingPosition) -> Result<BufferId, AreaError> {
        self.area.load_relaxed(Layout::descriptor_id(position.slot())).map(|id| BufferId(u16::from_le(id)))
    }

    /// Reads the Buffer ID and the flags of the descriptor at `position`, which is not the first of its list.
    ///
    /// Relaxed: [`flags`](Self::flags) of the first descriptor of the list acquired it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn id_and_flags(&self, position: RingPosition) -> Result<(BufferId, DescriptorFlags), AreaError> {
        let [id, flags]: [u16; 2] = self.area.load_relaxed(Layout::descriptor_id(position.slot()))?;
        Ok((BufferId(u16::from_le(id)), DescriptorFlags(u16::from_le(flags))))
    }

    /// Writes all of a used descriptor but its flags. The driver does not look at it before it sees those.
    ///
    /// Relaxed: [`set_flags`](Self::set_flags) releases it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_used(&self, position: RingPosition, used: UsedDescriptor) -> Result<(), AreaError> {
        self.area.store_relaxed(Layout::descriptor_len(position.slot()), used.len.to_le())?;
        self.area.store_relaxed(Layout::descriptor_id(position.slot()), used.id.0.to_le())
    }

    /// Writes the flags of a used descriptor, which the driver may see at once. Nothing in it changes after that (BAR-9).
    ///
    /// Release: it pairs with the driver's load of the flags, so that the Buffer ID and the length, and what was written into
    /// the buffer, are visible to what the driver reads later (BAR-8).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_flags(&self, position: RingPosition, used: UsedDescriptor) -> Result<(), AreaError> {
        self.area.store_release(Layout::descriptor_flags(position.slot()), used.flags.0.to_le())
    }
}
