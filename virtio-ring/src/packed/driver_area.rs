//! The Driver Area of a packed virtqueue.

use virtio_mem_traits::{Area, AreaError, DriverAddr, DriverRange, ReadOnly, StableMem, TranslateError};

use super::event_suppression::EventSuppression;
use super::layout::Layout;

const ALIGN: usize = Layout::DRIVER_AREA_ALIGN;

/// The driver's event suppression structure, which the driver writes and the device reads.
///
/// VIRTIO 1.4 §2.8.10 "Driver and Device Event Suppression" (LAY-9).
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::packed::{DriverArea, Layout, NotificationMode, QueueSize};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let driver = DriverArea::new(&mem, Layout::new(QueueSize::new(4)?), DriverAddr(0x1100))?;
/// assert_eq!(driver.event_suppression()?.mode(true), NotificationMode::Enable);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DriverArea<M> {
    area: Area<M, ReadOnly, ALIGN>,
}

impl<M: StableMem> DriverArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.driver_area_len() as u64);
        Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?).map(|area| Self { area })
    }

    /// Reads which notifications the driver wants.
    ///
    /// The load is one aligned access of 32 bits, so that the place and the flags belong together (BAR-10). It is
    /// relaxed, because no other read depends on it. To decide whether to notify, the device needs a full fence between
    /// its store of used flags and this load. That fence pairs with the driver's fence between its store of this
    /// structure and its next load from the ring (BAR-7).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn event_suppression(&self) -> Result<EventSuppression, AreaError> {
        self.area.load_relaxed(0).map(|bits| EventSuppression::from_bits(u32::from_le(bits)))
    }
}
