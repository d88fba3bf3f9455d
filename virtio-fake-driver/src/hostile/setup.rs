//! The start of a device under attack.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;

use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_queue_core::{AnyQueue, QueueConfig};
use virtio_ring::RingFeatures;
use virtio_util::NotificationCounter;

use super::lent::Layout;
use super::memory::HostileMem;
use crate::features::{INDIRECT_DESC, RING_PACKED};

/// The result of a device under attack.
///
/// Any error type converts into it with `?`.
pub type DeviceResult<T = ()> = Result<T, Box<dyn Error>>;

/// The queue that [`run`](super::run) gives to a device.
pub type HostileQueue = AnyQueue<Arc<HostileMem>, Arc<NotificationCounter>>;

/// The configuration of a queue as a hostile driver chose it, and the memory behind it.
///
/// The values are unchecked, as a transport gets them from a driver. A device must check them, or make a queue that
/// checks them.
///
/// ```
/// use virtio_fake_driver::hostile::{Kit, Setup};
/// use virtio_util::SharedQueue;
///
/// let report = Kit::new().run_device(|setup: Setup| {
///     let queue = SharedQueue::new(setup.queue()?);
///     Ok(move || {
///         while let Some(chain) = queue.next_chain()? {
///             drop(chain); // A chain that is dropped is used.
///         }
///         Ok(())
///     })
/// });
/// assert!(report.passed(), "{report}");
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    /// The queue size.
    pub size: u16,
    /// The largest queue size that the device shows to the driver.
    pub max_size: u16,
    /// The features that the device offers.
    pub offered: u64,
    /// The features that the driver accepted. RING_PACKED selects the format.
    pub features: u64,
    /// The address of the Descriptor Area.
    pub descriptor_area: DriverAddr,
    /// The address of the Driver Area.
    pub driver_area: DriverAddr,
    /// The address of the Device Area.
    pub device_area: DriverAddr,
    /// The memory of the device.
    pub mem: Arc<HostileMem>,
    /// The notifier of the device.
    pub notify: Arc<NotificationCounter>,
}

impl Setup {
    /// Returns the configuration for a queue of virtio-queue-core.
    ///
    /// # Errors
    ///
    /// If the driver accepted features that were not offered, or did not accept VERSION_1.
    pub fn config(&self) -> DeviceResult<QueueConfig> {
        let features = RingFeatures::from_accepted(self.offered, self.features)?;
        let Self { size, descriptor_area, driver_area, device_area, .. } = *self;
        let mut config = QueueConfig::new(size, features, descriptor_area, driver_area, device_area);
        config.limits.queue_size = self.max_size;
        Ok(config)
    }

    /// Returns a queue of virtio-queue-core.
    ///
    /// # Errors
    ///
    /// If a queue cannot have this configuration.
    pub fn queue(&self) -> DeviceResult<HostileQueue> {
        Ok(AnyQueue::new(&self.config()?, Arc::clone(&self.mem), Arc::clone(&self.notify))?)
    }

    /// Returns the places of the areas, as far as there can be such places.
    pub(super) fn layout(&self) -> Layout {
        let size = u64::from(self.size);
        let (is_packed, indirect) = (self.features & RING_PACKED != 0, self.features & INDIRECT_DESC != 0);
        let [driver, device] = if is_packed { [4, 4] } else { [6 + 2 * size, 6 + 8 * size] };
        let range = |addr: DriverAddr, len: u64| {
            let len = len.min(u64::MAX - addr.0);
            DriverRange::new(addr, len).expect("it ends below 2^64")
        };
        Layout {
            packed: is_packed,
            indirect,
            descriptors: range(self.descriptor_area, 16 * size),
            driver: range(self.driver_area, driver),
            device: range(self.device_area, device),
        }
    }
}
