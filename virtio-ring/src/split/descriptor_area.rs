//! The Descriptor Area of a split virtqueue.

use virtio_mem_traits::{Area, AreaError, DriverAddr, DriverRange, ReadOnly, StableMem, TranslateError};

use super::descriptor::DescriptorTable;
use super::layout::Layout;

const ALIGN: usize = Layout::DESCRIPTOR_AREA_ALIGN;

/// The descriptor table of a queue. The device reads it and never writes it.
///
/// VIRTIO 1.4 §2.7.5 "The Virtqueue Descriptor Table" (SPLIT-DESC-3).
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::split::{DescriptorArea, DescriptorIndex, Layout, QueueSize};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let area = DescriptorArea::new(&mem, Layout::new(QueueSize::new(4)?), DriverAddr(0x1000))?;
/// assert_eq!(area.table().len(), 4);
/// assert_eq!(area.table().get(DescriptorIndex(3))?.addr(), DriverAddr(0));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "descriptor table")]
#[doc(alias = "vring_desc")]
#[derive(Debug)]
pub struct DescriptorArea<M> {
    area: Area<M, ReadOnly, ALIGN>,
}

impl<M: StableMem> DescriptorArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read.
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

    /// Returns the table, to read descriptors from.
    #[inline]
    #[must_use]
    pub fn table(&self) -> DescriptorTable<'_, M> {
        DescriptorTable::from_parts(self.area.mem(), self.area.range(), self.area.array(0, usize::MAX))
    }
}
