//! The Device Area of a packed virtqueue.

use virtio_mem_traits::{Area, AreaError, DriverAddr, DriverRange, StableMem, TranslateError, WriteOnly};

use super::{EventSuppression, Layout};

const ALIGN: usize = Layout::DEVICE_AREA_ALIGN;

/// The device's event suppression structure: written by the device, and never read by it (LAY-9).
///
/// VIRTIO 1.4 §2.8.10 "Driver and Device Event Suppression".
#[derive(Debug)]
pub struct DeviceArea<M> {
    area: Area<M, WriteOnly, ALIGN>,
}

impl<M: StableMem> DeviceArea<M> {
    /// Proves the area at `addr`, without accessing it.
    ///
    /// # Errors
    ///
    /// If it is misaligned, or is not all in memory that the device may write.
    pub fn new(mem: M, layout: Layout, addr: DriverAddr) -> Result<Self, AreaError> {
        let range = DriverRange::new(addr, layout.device_area_len() as u64);
        Area::new(mem, range.ok_or(TranslateError::Unmapped { addr })?).map(|area| Self { area })
    }

    /// Writes what the device wants to be notified of.
    ///
    /// One aligned access of 32 bits, so that the place and the flags belong together (BAR-10). Relaxed: it advises. Who
    /// enables notifications has a full fence between this store and its next look at the ring, which pairs with the driver's
    /// between its store of available flags and its load from here (BAR-6).
    ///
    /// # Errors
    ///
    /// If the memory is gone.
    #[inline]
    pub fn set_event_suppression(&self, events: EventSuppression) -> Result<(), AreaError> {
        self.area.store_relaxed(0, events.bits().to_le())
    }
}
