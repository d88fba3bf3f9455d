//! The Device Area of a packed virtqueue.

use virtio_mem_traits::{
    Area, AreaError, DriverAddr, DriverRange, ReadOnly, Rights, StableMem, TranslateError, WriteOnly,
};

use super::event_suppression::EventSuppression;
use super::layout::Layout;

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The device's event suppression structure, which the device writes.
///
/// A queue never reads its Device Area, whatever the driver writes there (LAY-9, INV-7, HOST-23). By default, a
/// `DeviceArea` can only be written, and asks the memory for no other right. Tools that read rings prove the area [for
/// reading](Self::for_reading).
///
/// VIRTIO 1.4 §2.8.10 "Driver and Device Event Suppression".
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_ring::packed::{DeviceArea, EventSuppression, Layout, NotificationMode, QueueSize};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let device = DeviceArea::new(&mem, Layout::new(QueueSize::new(8)?), DriverAddr(0x1100))?;
/// device.set_event_suppression(EventSuppression::new(NotificationMode::Disable))?;
/// assert_eq!(device.reader()?.event_suppression()?.mode(true), NotificationMode::Disable);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
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

    /// Writes which notifications the device wants.
    ///
    /// The store is one aligned access of 32 bits, so that the place and the flags belong together (BAR-10). It is
    /// relaxed, because the structure is only advice. To enable notifications, the device needs a full fence between
    /// this store and its next load from the ring. That fence pairs with the driver's fence between its store of
    /// available flags and its load of this structure (BAR-6).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_event_suppression(&self, events: EventSuppression) -> Result<(), AreaError> {
        self.area.store_relaxed(0, events.bits().to_le())
    }
}

/// Reading, for tools.
impl<M: StableMem> DeviceArea<M, ReadOnly> {
    /// Proves the area at `addr` for reading, without accessing it.
    ///
    /// # Errors
    ///
    /// If the area is misaligned, or is not wholly in memory that the device can read.
    pub fn for_reading(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Reads which notifications the device wants.
    ///
    /// The load is one aligned access of 32 bits. It is relaxed, because the structure is only advice, and no other
    /// read depends on it.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn event_suppression(&self) -> Result<EventSuppression, AreaError> {
        self.area.load_relaxed(0).map(|bits| EventSuppression::from_bits(u32::from_le(bits)))
    }
}
