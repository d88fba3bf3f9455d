//! The transport between driver and device, which are two threads of this program.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use virtio_examples::blk::BlockConfig;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::doorbell::Doorbells;

/// The largest queue that the driver may have.
pub(super) const MAX_QUEUE_SIZE: u16 = 256;

/// What the driver has set up when it says that it is ready.
#[derive(Clone, Copy, Default)]
pub(super) struct Setup {
    /// The features that it accepted.
    pub(super) features: u64,
    pub(super) queue: Option<QueueAddresses>,
}

/// Where the driver has put its queue.
#[derive(Clone, Copy)]
pub(super) struct QueueAddresses {
    pub(super) size: u32,
    pub(super) descriptor_area: PhysAddr,
    pub(super) driver_area: PhysAddr,
    pub(super) device_area: PhysAddr,
}

/// The driver's end.
pub(super) struct ThreadTransport {
    /// What the device says of itself.
    pub(super) offered: u64,
    pub(super) config: BlockConfig,
    /// What the driver says, and where it is sent in the end.
    pub(super) status: DeviceStatus,
    pub(super) setup: Setup,
    pub(super) ready: Sender<Setup>,
    pub(super) bells: Arc<Doorbells>,
}

impl Transport for ThreadTransport {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        self.offered
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.setup.features = driver_features;
    }

    fn max_queue_size(&mut self, _: u16) -> u32 {
        MAX_QUEUE_SIZE.into()
    }

    fn notify(&mut self, _: u16) {
        self.bells.kicks.ring();
    }

    fn get_status(&self) -> DeviceStatus {
        self.status
    }

    /// The queue begins to run when the driver is ready for it, not when it says where the queue is.
    fn set_status(&mut self, status: DeviceStatus) {
        if status.contains(DeviceStatus::DRIVER_OK) && !self.status.contains(DeviceStatus::DRIVER_OK) {
            // A device that is gone has closed the doorbell.
            let _ = self.ready.send(self.setup);
        }
        self.status = status;
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        _: u16,
        size: u32,
        descriptor_area: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.setup.queue = Some(QueueAddresses { size, descriptor_area, driver_area, device_area });
    }

    /// Returns when the device does not access the queue any more.
    fn queue_unset(&mut self, _: u16) {
        self.bells.kicks.close();
        while self.bells.notifications.wait() {}
    }

    fn queue_used(&mut self, _: u16) -> bool {
        self.setup.queue.is_some()
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::QUEUE_INTERRUPT
    }

    /// The configuration never changes.
    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let bytes = self.config.as_bytes().get(offset..).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_prefix(bytes).map(|(field, _)| field).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<(), Error> {
        Err(Error::Unsupported)
    }
}
