//! The configuration of a queue, and the limits that a device sets.

use core::{error, fmt};

use virtio_mem_traits::{AreaError, DriverAddr};
use virtio_ring::{QueueSizeError, RingFeatures};

use crate::error::FatalError;

/// The ring features that [`AnyQueue`](crate::AnyQueue) supports.
///
/// A device can offer these features for the queue (FEAT-1). It must offer VERSION_1 (FEAT-7). None of the others
/// requires another one (FEAT-2): an `AnyQueue` accepts each subset that has VERSION_1, and accepts it again after a
/// reset (FEAT-3, FEAT-4). The device decides by itself which other features it offers.
///
/// A [`SplitQueue`](crate::SplitQueue) supports all of them except RING_PACKED. A [`PackedQueue`](crate::PackedQueue)
/// requires RING_PACKED. IN_ORDER is not in the list: it needs an [`InOrderRing`](crate::InOrderRing).
/// NOTIFICATION_DATA and NOTIF_CONFIG_DATA concern the transport, which decodes notifications with
/// `virtio_ring::DriverNotification`. [`Queue::reset`] implements RING_RESET, and [`Queue::drain`] implements SUSPEND.
///
/// [`Queue::reset`]: crate::Queue::reset
/// [`Queue::drain`]: crate::Queue::drain
pub const SUPPORTED_RING_FEATURES: RingFeatures = RingFeatures::VERSION_1
    .union(RingFeatures::INDIRECT_DESC)
    .union(RingFeatures::EVENT_IDX)
    .union(RingFeatures::ACCESS_PLATFORM)
    .union(RingFeatures::RING_PACKED)
    .union(RingFeatures::ORDER_PLATFORM)
    .union(RingFeatures::NOTIFICATION_DATA)
    .union(RingFeatures::NOTIF_CONFIG_DATA)
    .union(RingFeatures::RING_RESET)
    .union(RingFeatures::SUSPEND);

/// The configuration of a queue: what the driver set up through the transport, and the limits of the device.
///
/// The values are unchecked until a queue is made of them. The configuration of a running queue cannot be changed
/// (DRV-INIT-2, DRV-CFG-6).
///
/// ```
/// use virtio_queue_core::{DriverAddr, QueueConfig, RingFeatures};
///
/// let features = RingFeatures::from_negotiated(1 << 32 | 1 << 34)?;
/// let mut config = QueueConfig::new(256, features, DriverAddr(0x1000), DriverAddr(0x3000), DriverAddr(0x3004));
/// config.limits.queue_size = 256;
/// # Ok::<_, virtio_queue_core::FeaturesError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// The number of descriptors.
    pub size: u16,
    /// The address of the Descriptor Area.
    pub descriptor_area: DriverAddr,
    /// The address of the Driver Area.
    pub driver_area: DriverAddr,
    /// The address of the Device Area.
    pub device_area: DriverAddr,
    /// The features that the driver accepted.
    pub features: RingFeatures,
    /// The limits that the device sets.
    pub limits: QueueLimits,
}

impl QueueConfig {
    /// Returns the configuration of a queue of `size` descriptors with its three areas at these addresses.
    ///
    /// The limits are those of the specification.
    #[must_use]
    pub const fn new(
        size: u16,
        features: RingFeatures,
        descriptor_area: DriverAddr,
        driver_area: DriverAddr,
        device_area: DriverAddr,
    ) -> Self {
        let limits = QueueLimits { queue_size: 1 << 15, chain_len: None };
        Self { size, descriptor_area, driver_area, device_area, features, limits }
    }

    /// Checks all parts except the format and the areas, and returns the size. `queue_size` checks a size for the
    /// format.
    pub(crate) fn check<S>(&self, queue_size: impl Fn(u16) -> Result<S, QueueSizeError>) -> Result<S, ConfigError> {
        let (size, limit) = (self.size, self.limits.queue_size);
        if size > limit {
            return Err(ConfigError::SizeOverLimit { size, limit });
        }
        if self.limits.chain_len == Some(0) {
            return Err(ConfigError::NoElements);
        }
        let unsupported = self.features.difference(SUPPORTED_RING_FEATURES);
        if !unsupported.is_empty() {
            return Err(ConfigError::Features(unsupported));
        }
        queue_size(limit).map_err(ConfigError::Limit)?;
        queue_size(size).map_err(ConfigError::Size)
    }

    pub(crate) fn chain_limit(&self) -> u32 {
        self.limits.chain_len.unwrap_or(self.size.into()).min(QueueLimits::MAX_CHAIN_LEN)
    }
}

/// The limits that a device sets for a queue.
///
/// ```
/// use virtio_queue_core::QueueLimits;
///
/// let limits = QueueLimits { queue_size: 256, ..Default::default() };
/// assert_eq!(limits.chain_len, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The largest queue size that the device shows to the driver.
    ///
    /// It is 32768 by default (DRV-CFG-4).
    pub queue_size: u16,
    /// The largest number of elements in a chain, or `None` for the queue size.
    ///
    /// The limit must be at least 1. No allocation for a chain exceeds it (INV-9). Some drivers make indirect chains
    /// that are longer than the queue size, which the specification forbids (DRV-IND-3). A limit above the queue size
    /// accepts such chains.
    pub chain_len: Option<u32>,
}

impl QueueLimits {
    /// The largest number of elements in a chain of any queue: 16,777,215. A larger [`chain_len`](Self::chain_len) has
    /// no effect.
    pub const MAX_CHAIN_LEN: u32 = (1 << 24) - 1;
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { queue_size: 1 << 15, chain_len: None }
    }
}

/// The reason why no queue can run with a configuration.
///
/// The memory was not touched, except for [`Activation`](Self::Activation).
///
/// ```
/// use virtio_queue_core::ConfigError;
///
/// let error = ConfigError::SizeOverLimit { size: 512, limit: 256 };
/// assert_eq!(error.to_string(), "queue size 512 must be at most 256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The format does not allow this queue size.
    ///
    /// See DRV-CFG-3.
    Size(QueueSizeError),
    /// The format does not allow the largest queue size that the device shows to the driver.
    ///
    /// See GEN-14.
    Limit(QueueSizeError),
    /// The queue is larger than the limit of the device.
    SizeOverLimit {
        /// The size that the driver chose.
        size: u16,
        /// The largest size that the device allows.
        limit: u16,
    },
    /// The device limits a chain to 0 elements.
    NoElements,
    /// The queue does not support these features.
    Features(RingFeatures),
    /// The format of the queue is not the negotiated one.
    Format {
        /// Whether RING_PACKED was negotiated.
        packed: bool,
    },
    /// One of the areas is misaligned, or is not in memory.
    ///
    /// See DRV-CFG-1, DRV-CFG-2, DRV-CFG-5 and HOST-13.
    Area {
        /// The area.
        area: QueueArea,
        /// The reason why it cannot be used.
        error: AreaError,
    },
    /// The areas are in memory, but an access failed when the queue was taken into service.
    Activation(FatalError),
}

/// One of the three areas of a virtqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueArea {
    /// The descriptor table of a split virtqueue, the ring of a packed one.
    Descriptor,
    /// The available ring of a split virtqueue, the driver's event suppression structure of a packed one.
    Driver,
    /// The used ring of a split virtqueue, the device's event suppression structure of a packed one.
    Device,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(error) => error.fmt(f),
            Self::Limit(error) => write!(f, "the largest queue size that the device shows: {error}"),
            Self::SizeOverLimit { size, limit } => write!(f, "queue size {size} must be at most {limit}"),
            Self::NoElements => f.write_str("the limit on elements in a chain is 0: it must be at least 1"),
            Self::Features(features) if features.contains(RingFeatures::IN_ORDER) => {
                write!(f, "this queue does not support {features:?}: IN_ORDER needs an `InOrderRing`")
            }
            Self::Features(features) => write!(f, "this queue does not support {features:?}"),
            Self::Format { packed: true } => f.write_str(
                "RING_PACKED (feature bit 34) was negotiated: the queue must be a `PackedQueue` or an `AnyQueue`",
            ),
            Self::Format { packed: false } => f.write_str(
                "RING_PACKED (feature bit 34) was not negotiated: the queue must be a `SplitQueue` or an `AnyQueue`",
            ),
            Self::Area { area, error } => write!(f, "{area:?} Area: {error}"),
            Self::Activation(error) => error.fmt(f),
        }
    }
}

impl error::Error for ConfigError {}
