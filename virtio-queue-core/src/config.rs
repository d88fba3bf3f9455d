//! What a queue is made from.

use core::{error, fmt};

use virtio_mem_traits::{AreaError, DriverAddr};
use virtio_ring::{QueueSizeError, RingFeatures};

use crate::FatalError;

/// The ring features that [`AnyQueue`](crate::AnyQueue) can run with: what a device can offer on its account (FEAT-1).
///
/// A [`SplitQueue`](crate::SplitQueue) takes all but RING_PACKED, a [`PackedQueue`](crate::PackedQueue) must have it.
/// IN_ORDER is for an [`InOrderRing`](crate::InOrderRing) alone. NOTIFICATION_DATA and NOTIF_CONFIG_DATA concern the
/// transport, which decodes notifications with `virtio_ring::DriverNotification`; RING_RESET and SUSPEND are
/// [`Queue::reset`] and [`Queue::drain`]. The rest of what a device offers is its own business and its transport's.
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

/// What the driver set up through the transport, as plain values, and what the device makes of it.
///
/// Nothing in it has been checked; making a queue does that. A running queue's configuration cannot be changed.
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
    /// What the device allows.
    pub limits: QueueLimits,
}

impl QueueConfig {
    /// Returns the configuration of a queue of `size` descriptors whose Descriptor, Driver and Device Area are at these
    /// addresses, without limits but those of the specification.
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

    /// Checks what does not depend on the format.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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
        Ok(())
    }

    pub(crate) fn chain_limit(&self) -> u32 {
        self.limits.chain_len.unwrap_or(self.size.into()).min(QueueLimits::MAX_CHAIN_LEN)
    }
}

/// What a device allows the driver to do with a queue.
///
/// ```
/// use virtio_queue_core::QueueLimits;
///
/// let limits = QueueLimits { queue_size: 256, ..Default::default() };
/// assert_eq!(limits.chain_len, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The largest queue size that the driver was shown, 32768 by default (DRV-CFG-4).
    pub queue_size: u16,
    /// The largest number of elements in a chain, by default the queue size (DRV-IND-3).
    ///
    /// At least 1. A larger one than the queue size lets indirect chains be longer than the specification allows, as
    /// some drivers make them.
    pub chain_len: Option<u32>,
}

impl QueueLimits {
    /// The most elements that a chain has in any queue, 16,777,215, whatever [`chain_len`](Self::chain_len) says.
    pub const MAX_CHAIN_LEN: u32 = (1 << 24) - 1;
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { queue_size: 1 << 15, chain_len: None }
    }
}

/// A configuration that no queue can run with. But for [`Activation`](Self::Activation), the memory was not touched.
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
    /// The format has no queue of this size.
    Size(QueueSizeError),
    /// The device shows the driver a largest size that no queue of the format can have (GEN-14).
    Limit(QueueSizeError),
    /// The queue is larger than the device allows.
    SizeOverLimit {
        /// The size that the driver chose.
        size: u16,
        /// The largest that it may choose.
        limit: u16,
    },
    /// The device allows no elements in a chain.
    NoElements,
    /// Features that the queue does not have.
    Features(RingFeatures),
    /// A split queue, although RING_PACKED was negotiated, or a packed one without it.
    Format {
        /// Whether RING_PACKED was negotiated.
        packed: bool,
    },
    /// One of the areas is misaligned or not in memory.
    Area {
        /// Which one.
        area: QueueArea,
        /// What is wrong with it.
        error: AreaError,
    },
    /// The areas were there, but could not be accessed when the queue was taken into service.
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
            Self::NoElements => f.write_str("the limit of 0 elements in a chain must be at least 1"),
            Self::Features(features) if features.contains(RingFeatures::IN_ORDER) => {
                write!(f, "this queue does not have {features:?}: IN_ORDER needs an `InOrderRing`")
            }
            Self::Features(features) => write!(f, "this queue does not have {features:?}"),
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
