//! The content of a driver's notification.

use crate::packed::OffWrap;
use crate::split::RingIndex;

/// A notification of the driver, as a transport receives it.
///
/// It names a queue. With NOTIFICATION_DATA, it also names the place where the driver will make the next buffer
/// available.
///
/// The transport knows which form was negotiated: 16 bits without NOTIFICATION_DATA, or 32 bits with it. The form is
/// little-endian on PCI and MMIO, and big-endian on channel I/O. VIRTIO 1.4 §2.9 "Driver Notifications" (NOTIF-1,
/// NOTIF-2, NOTIF-7, DRV-NOT-1).
///
/// Every value in a notification is a hint and can be wrong. Only the ring in memory shows what is available (NOTIF-6,
/// HOST-24, DRV-PDESC-3).
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
    /// The index of the queue. With NOTIF_CONFIG_DATA, it is the value that the device chose for the queue (FEAT-18).
    pub queue: u16,
    /// The place where the driver will make the next buffer available, if the notification has it.
    pub next: Option<NextHint>,
}

/// The place where a driver will make the next buffer available, as the driver claims it.
///
/// It can be read in the terms of either format.
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
    /// Returns the notification of 16 bits, in the byte order of the little-endian transports.
    #[must_use]
    pub const fn from_le_bytes16(bytes: [u8; 2]) -> Self {
        Self { queue: u16::from_le_bytes(bytes), next: None }
    }

    /// Returns the notification of 32 bits, in the byte order of the little-endian transports.
    #[must_use]
    pub const fn from_le_bytes32(bytes: [u8; 4]) -> Self {
        Self::from_bits(u32::from_le_bytes(bytes))
    }

    /// Returns the notification of 32 bits, in the byte order of channel I/O.
    ///
    /// It is the same number in big-endian order (END-4).
    #[must_use]
    pub const fn from_be_bytes32(bytes: [u8; 4]) -> Self {
        Self::from_bits(u32::from_be_bytes(bytes))
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    const fn from_bits(bits: u32) -> Self {
        Self { queue: bits as u16, next: Some(NextHint((bits >> 16) as u16)) }
    }

    /// Returns the notification as a number. It has 32 bits if the notification has [`next`](Self::next), and 16 bits
    /// otherwise.
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
    /// Returns the hint for an index of a split ring.
    #[must_use]
    pub const fn from_split(index: RingIndex) -> Self {
        Self(index.get())
    }

    /// Returns the hint for a place in a packed ring.
    #[must_use]
    pub const fn from_packed(place: OffWrap) -> Self {
        Self(place.bits())
    }

    /// Returns the available index, for a split ring.
    ///
    /// Its 16 bits are the offset and the wrap counter together (NOTIF-3).
    #[must_use]
    pub const fn split(self) -> RingIndex {
        RingIndex::new(self.0)
    }

    /// Returns the slot and the driver's wrap counter at that slot, for a packed ring.
    ///
    /// VIRTIO 1.4 §2.9 "Driver Notifications" (NOTIF-4).
    #[must_use]
    pub const fn packed(self) -> OffWrap {
        OffWrap::from_bits(self.0)
    }
}
