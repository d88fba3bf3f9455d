//! What a driver's notification says.

use crate::packed::OffWrap;
use crate::split::RingIndex;

/// A notification by the driver, as it comes through a transport: which queue, and with NOTIFICATION_DATA how far the
/// driver has come in it.
///
/// VIRTIO 1.4 §2.9 "Driver Notifications". The transport knows which form was negotiated: 16 bits without
/// NOTIFICATION_DATA, 32 bits with it, little-endian on PCI and MMIO, big-endian on channel I/O (NOTIF-1, NOTIF-2,
/// NOTIF-7).
///
/// Everything in it is a hint and may be wrong. Memory alone says what is available (NOTIF-6).
///
/// ```
/// use virtio_ring::DriverNotification;
///
/// let notification = DriverNotification::from_le_bytes32([0x03, 0x00, 0x05, 0x80]);
/// assert_eq!(notification.queue, 3);
/// let next = notification.next.unwrap().packed();
/// assert_eq!((next.offset(), next.wrap()), (5, true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverNotification {
    /// The index of the queue; with NOTIF_CONFIG_DATA, the value that the device chose for it (FEAT-18).
    pub queue: u16,
    /// Where the driver will make the next buffer available, if it said so.
    pub next: Option<NextHint>,
}

/// Where a driver says that it will make the next buffer available, in the terms of either format.
///
/// ```
/// use virtio_ring::NextHint;
/// use virtio_ring::split::RingIndex;
///
/// let hint = NextHint::from_split(RingIndex::new(0x8005));
/// assert_eq!(hint.split(), RingIndex::new(0x8005));
/// assert_eq!((hint.packed().offset(), hint.packed().wrap()), (5, true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHint(u16);

impl DriverNotification {
    /// Returns what 16 bits in memory order of the little-endian transports say.
    #[must_use]
    pub const fn from_le_bytes16(bytes: [u8; 2]) -> Self {
        Self { queue: u16::from_le_bytes(bytes), next: None }
    }

    /// Returns what 32 bits in memory order of the little-endian transports say.
    #[must_use]
    pub const fn from_le_bytes32(bytes: [u8; 4]) -> Self {
        Self::from_bits(u32::from_le_bytes(bytes))
    }

    /// Returns what 32 bits in memory order of channel I/O say: the same number, the other way round (END-4).
    #[must_use]
    pub const fn from_be_bytes32(bytes: [u8; 4]) -> Self {
        Self::from_bits(u32::from_be_bytes(bytes))
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    const fn from_bits(bits: u32) -> Self {
        Self { queue: bits as u16, next: Some(NextHint((bits >> 16) as u16)) }
    }

    /// Returns the notification as a number, of 32 bits if it says where the next buffer will be, of 16 otherwise.
    #[must_use]
    pub const fn bits(self) -> u32 {
        let next = match self.next {
            Some(NextHint(next)) => next,
            None => 0,
        };
        (next as u32) << 16 | self.queue as u32
    }
}

impl NextHint {
    /// Returns the hint that names an index of a split ring.
    #[must_use]
    pub const fn from_split(index: RingIndex) -> Self {
        Self(index.get())
    }

    /// Returns the hint that names a place in a packed ring.
    #[must_use]
    pub const fn from_packed(place: OffWrap) -> Self {
        Self(place.bits())
    }

    /// Returns the available index, if the ring is a split one: offset and wrap counter together are its 16 bits
    /// (NOTIF-3).
    #[must_use]
    pub const fn split(self) -> RingIndex {
        RingIndex::new(self.0)
    }

    /// Returns the slot and the driver's wrap counter there, if the ring is a packed one (NOTIF-4).
    #[must_use]
    pub const fn packed(self) -> OffWrap {
        OffWrap::from_bits(self.0)
    }
}
