//! Feature bits that concern the rings.

use core::{error, fmt};

/// The negotiated feature bits that concern the rings, after the checks that they allow.
///
/// VIRTIO 1.4 §6 "Reserved Feature Bits". The bits of a device type are none of the ring's business and are left out.
///
/// ```
/// use virtio_ring::RingFeatures;
///
/// let negotiated = 1 << 32 | 1 << 28 | 1 << 5;
/// let features = RingFeatures::from_negotiated(negotiated)?;
/// assert!(features.contains(RingFeatures::INDIRECT_DESC));
/// assert_eq!(features.bits(), 1 << 32 | 1 << 28);
/// # Ok::<_, virtio_ring::FeaturesError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingFeatures {
    /// INVARIANT: a subset of `RING`, with VERSION_1 except in the constants that name single bits.
    bits: u64,
}

/// The bits by name.
impl RingFeatures {
    /// The driver may use indirect descriptors (bit 28).
    pub const INDIRECT_DESC: Self = Self::bit(28);
    /// Either side may name the event that it waits for (bit 29).
    pub const EVENT_IDX: Self = Self::bit(29);
    /// The device is not a legacy one (bit 32).
    pub const VERSION_1: Self = Self::bit(32);
    /// Addresses are subject to the platform's translation and permissions (bit 33).
    pub const ACCESS_PLATFORM: Self = Self::bit(33);
    /// The rings are packed (bit 34).
    pub const RING_PACKED: Self = Self::bit(34);
    /// Buffers are used in the order in which they were made available (bit 35).
    pub const IN_ORDER: Self = Self::bit(35);
    /// Memory accesses are ordered as the platform orders those of devices (bit 36).
    pub const ORDER_PLATFORM: Self = Self::bit(36);
    /// Notifications by the driver carry extra data (bit 38).
    pub const NOTIFICATION_DATA: Self = Self::bit(38);
    /// Notifications by the driver carry a value that the device chose (bit 39).
    pub const NOTIF_CONFIG_DATA: Self = Self::bit(39);
    /// The driver may reset single queues (bit 40).
    pub const RING_RESET: Self = Self::bit(40);
    /// The driver may suspend the device (bit 43).
    pub const SUSPEND: Self = Self::bit(43);

    /// All of the above: an explicit list, because bits 41 and 42 between them belong to device types (FEAT-23).
    const RING: u64 = Self::INDIRECT_DESC.bits
        | Self::EVENT_IDX.bits
        | Self::VERSION_1.bits
        | Self::ACCESS_PLATFORM.bits
        | Self::RING_PACKED.bits
        | Self::IN_ORDER.bits
        | Self::ORDER_PLATFORM.bits
        | Self::NOTIFICATION_DATA.bits
        | Self::NOTIF_CONFIG_DATA.bits
        | Self::RING_RESET.bits
        | Self::SUSPEND.bits;

    /// NOTIFY_ON_EMPTY (24), ANY_LAYOUT (27) and the unused bit 30: for legacy and transitional devices (FEAT-24).
    const LEGACY: u64 = 1 << 24 | 1 << 27 | 1 << 30;

    const fn bit(bit: u32) -> Self {
        Self { bits: 1 << bit }
    }
}

impl RingFeatures {
    /// Checks what was negotiated, and keeps the bits that concern the rings.
    ///
    /// # Errors
    ///
    /// If VERSION_1 is missing, since there is no support for legacy drivers here (FEAT-8), or if there is a bit that
    /// only legacy drivers know (FEAT-24).
    pub const fn from_negotiated(bits: u64) -> Result<Self, FeaturesError> {
        if bits & Self::LEGACY != 0 {
            return Err(FeaturesError::Legacy { bits: bits & Self::LEGACY });
        }
        if bits & Self::VERSION_1.bits == 0 {
            return Err(FeaturesError::NotVersion1);
        }
        Ok(Self { bits: bits & Self::RING })
    }

    /// Checks what a driver accepted against what it was offered: all bits, those of the device type included.
    ///
    /// # Errors
    ///
    /// If it accepted what it was not offered (DRV-FEAT-1), and as [`from_negotiated`](Self::from_negotiated).
    pub const fn from_accepted(offered: u64, accepted: u64) -> Result<Self, FeaturesError> {
        if accepted & !offered != 0 {
            return Err(FeaturesError::NotOffered { bits: accepted & !offered });
        }
        Self::from_negotiated(accepted)
    }

    /// Returns the bits.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// Returns whether all of `other` is included.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.bits & other.bits == other.bits
    }

    /// Returns what is in `self`, in `other` or in both.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Returns what is in `self` and not in `other`.
    #[inline]
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self { bits: self.bits & !other.bits }
    }

    /// Returns whether there is no bit at all.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl fmt::Debug for RingFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingFeatures({:#x})", self.bits)
    }
}

/// Feature bits that no queue can run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeaturesError {
    /// VERSION_1 is missing: the driver is a legacy one.
    NotVersion1,
    /// Bits that belong to legacy and transitional devices.
    Legacy {
        /// Those bits.
        bits: u64,
    },
    /// Bits that the driver was not offered.
    NotOffered {
        /// Those bits.
        bits: u64,
    },
}

impl fmt::Display for FeaturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVersion1 => f.write_str("the driver did not accept VERSION_1"),
            Self::Legacy { bits } => write!(f, "feature bits {bits:#x} are for legacy devices"),
            Self::NotOffered { bits } => write!(f, "the driver accepted feature bits {bits:#x} that were not offered"),
        }
    }
}

impl error::Error for FeaturesError {}
