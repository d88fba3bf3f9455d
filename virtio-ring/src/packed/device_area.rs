//! The Device Area of a packed virtqueue.

use virtio_mem_traits::{
    Area, AreaError, DriverAddr, DriverRange, ReadOnly, Rights, StableMem, TranslateError, WriteOnly,
};

use super::{EventSuppression, Layout};

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The device's event suppression structure: written by the device.
///
/// A queue never reads what it wrote there (LAY-9): the area that it holds can only be written, and asks the memory for
/// no other right. Tools that look at rings have the same area [for reading](Self::for_reading).
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

    /// Writes what the device wants to be notified of.
    ///
    /// One aligned access of 32 bits, so that the place and the flags belong together (BAR-10). Relaxed: it advises.
    /// Who enables notifications has a full fence between this store and its next look at the ring, which pairs with
    /// the driver's between its store of available flags and its load from here (BAR-6).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_event_suppression(&self, events: EventSuppression) -> Result<(), AreaError> {
        self.area.store_relaxed(0, events.bits().to_le())
    }
}

/// What tools do with it.
impl<M: StableMem> DeviceArea<M, ReadOnly> {
    /// Proves the area at `addr` to be read, without accessing it.
    ///
    /// # Errors
    ///
    /// If it is misaligned, or is not all in memory that the device may read.
    pub fn for_reading(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        prove(mem, layout, addr)
    }

    /// Reads what the device wants to be notified of: one aligned access of 32 bits. Relaxed: it advises, and nothing
    /// else is read on its account.
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn event_suppression(&self) -> Result<EventSuppression, AreaError> {
        self.area.load_relaxed(0).map(|bits| EventSuppression::from_bits(u32::from_le(bits)))
    }
}
