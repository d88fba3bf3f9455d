//! Feature bits that concern the rings.

use core::{error, fmt};

/// The negotiated feature bits that concern the rings, after the checks that they allow.
///
/// VIRTIO 1.4 §6 "Reserved Feature Bits". All other bits are none of the ring's business and are left out: those of a
/// device type, of a transport, and of legacy drivers. So what was negotiated can be passed whole.
///
/// ```
/// use virtio_ring::RingFeatures;
///
/// let negotiated = 1 << 32 | 1 << 28 | 1 << 5;
/// let features = RingFeatures::from_negotiated(negotiated)?;
/// assert!(features.contains(RingFeatures::INDIRECT_DESC));
/// assert_eq!(features.bits(), 1 << 32 | 1 << 28);
/// assert_eq!(features.to_string(), "INDIRECT_DESC (28) | VERSION_1 (32)");
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

    const fn bit(bit: u32) -> Self {
        Self { bits: 1 << bit }
    }
}

impl RingFeatures {
    /// Checks what was negotiated, all of it, and keeps the bits that concern the rings.
    ///
    /// What else there is has no meaning here, and is ignored: bits of a device type, bit 30, which vhost-user takes
    /// for itself, NOTIFY_ON_EMPTY (24) and ANY_LAYOUT (27), which are for legacy drivers (FEAT-24).
    ///
    /// # Errors
    ///
    /// If VERSION_1 is missing, since there is no support for legacy drivers here (FEAT-8).
    pub const fn from_negotiated(bits: u64) -> Result<Self, FeaturesError> {
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

/// The features by the specification's name, each with its bit.
impl fmt::Display for RingFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_bits(self.bits, f)
    }
}

impl fmt::Debug for RingFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingFeatures({self})")
    }
}

/// Returns the name of a feature of rings.
const fn name(bit: u32) -> Option<&'static str> {
    Some(match bit {
        28 => "INDIRECT_DESC",
        29 => "EVENT_IDX",
        32 => "VERSION_1",
        33 => "ACCESS_PLATFORM",
        34 => "RING_PACKED",
        35 => "IN_ORDER",
        36 => "ORDER_PLATFORM",
        38 => "NOTIFICATION_DATA",
        39 => "NOTIF_CONFIG_DATA",
        40 => "RING_RESET",
        43 => "SUSPEND",
        _ => return None,
    })
}

/// Writes all `bits`, by name where they are features of rings.
fn fmt_bits(bits: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if bits == 0 {
        return f.write_str("none");
    }
    let mut separator = "";
    for bit in (0..u64::BITS).filter(|bit| bits >> bit & 1 != 0) {
        match name(bit) {
            Some(name) => write!(f, "{separator}{name} ({bit})")?,
            None => write!(f, "{separator}bit {bit}")?,
        }
        separator = " | ";
    }
    Ok(())
}

/// Feature bits that no queue can run with.
///
/// ```
/// use virtio_ring::{FeaturesError, RingFeatures};
///
/// let error = RingFeatures::from_negotiated(1 << 28).unwrap_err();
/// assert_eq!(error, FeaturesError::NotVersion1);
/// assert!(error.to_string().starts_with("VERSION_1 (32) was not negotiated"));
///
/// let error = RingFeatures::from_accepted(1 << 32, 1 << 32 | 1 << 34 | 1 << 5).unwrap_err();
/// assert!(error.to_string().starts_with("the driver accepted bit 5 | RING_PACKED (34)"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeaturesError {
    /// VERSION_1 is missing: the driver is a legacy one.
    NotVersion1,
    /// Bits that the driver was not offered.
    NotOffered {
        /// Those bits.
        bits: u64,
    },
}

impl fmt::Display for FeaturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVersion1 => {
                f.write_str(
                    "VERSION_1 (32) was not negotiated: the device must offer it and the driver must accept it, ",
                )?;
                f.write_str("since legacy drivers are not supported")
            }
            Self::NotOffered { bits } => {
                f.write_str("the driver accepted ")?;
                fmt_bits(*bits, f)?;
                f.write_str(", which it was not offered: it must accept a part of the offer")
            }
        }
    }
}

impl error::Error for FeaturesError {}
