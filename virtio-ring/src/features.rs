//! Feature bits that concern the rings.

use core::{error, fmt};

/// The negotiated feature bits that concern the rings.
///
/// The constructors check the bits, and drop all bits that do not concern rings: bits of a device type, of a transport,
/// and of legacy drivers. So you can pass all negotiated bits. VIRTIO 1.4 §6 "Reserved Feature Bits".
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
    /// INVARIANT: a subset of `RING`. It has VERSION_1, except in the constants for single bits.
    bits: u64,
}

/// Single bits.
impl RingFeatures {
    /// The driver can use indirect descriptors (bit 28).
    pub const INDIRECT_DESC: Self = Self::bit(28);
    /// Each side can name the event that it waits for (bit 29).
    pub const EVENT_IDX: Self = Self::bit(29);
    /// The device and the driver are not legacy ones (bit 32).
    pub const VERSION_1: Self = Self::bit(32);
    /// Addresses are subject to the translation and the permissions of the platform (bit 33).
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
    /// The driver can reset single queues (bit 40).
    pub const RING_RESET: Self = Self::bit(40);
    /// The driver can suspend the device (bit 43).
    pub const SUSPEND: Self = Self::bit(43);

    /// All bits that concern rings. They are listed one by one, because bits 41 and 42 belong to device types
    /// (FEAT-23), and bit 37 is SR_IOV, which is for PCI (FEAT-21).
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
    /// Checks all negotiated bits, and keeps those that concern the rings.
    ///
    /// All other bits are ignored. These are the bits of a device type; bit 30, which vhost-user uses; and
    /// NOTIFY_ON_EMPTY (24) and ANY_LAYOUT (27), which are for legacy drivers (FEAT-24, LEG-5, LEG-6).
    ///
    /// # Errors
    ///
    /// If VERSION_1 is missing, because legacy drivers are not supported (DRV-FEAT-3, FEAT-8, LEG-1). They have another
    /// layout and another byte order (LEG-2, END-2), and use queues before DRIVER_OK (LEG-4).
    pub const fn from_negotiated(bits: u64) -> Result<Self, FeaturesError> {
        if bits & Self::VERSION_1.bits == 0 {
            return Err(FeaturesError::NotVersion1);
        }
        Ok(Self { bits: bits & Self::RING })
    }

    /// Checks that the driver accepted only offered bits, and keeps those that concern the rings.
    ///
    /// Pass all bits in both arguments, with those of the device type.
    ///
    /// # Errors
    ///
    /// If the driver accepted a bit that was not offered (DRV-FEAT-1, DRV-FEAT-2), or if VERSION_1 is missing.
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

    /// Returns whether `self` has all bits of `other`.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.bits & other.bits == other.bits
    }

    /// Returns the bits that are in `self`, in `other` or in both.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Returns the bits that are in `self` and not in `other`.
    #[inline]
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self { bits: self.bits & !other.bits }
    }

    /// Returns whether no bit is set.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

/// Shows each feature by its name in the specification, with its bit.
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

/// Writes all `bits`. A bit that is a feature of rings is written with its name.
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

/// The reason why a queue cannot run with some feature bits.
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
    /// The driver accepted bits that the device did not offer.
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
                f.write_str("because legacy drivers are not supported")
            }
            Self::NotOffered { bits } => {
                f.write_str("the driver accepted ")?;
                fmt_bits(*bits, f)?;
                f.write_str(", which the device did not offer: the driver must accept only offered bits")
            }
        }
    }
}

impl error::Error for FeaturesError {}
