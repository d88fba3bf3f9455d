//! The data of a kick.

/// The data of an available buffer notification, if NOTIFICATION_DATA was negotiated.
///
/// VIRTIO 1.4 §2.9 "Driver Notifications" (NOTIF-2).
///
/// ```
/// use virtio_fake_driver::NotificationData;
///
/// // Slot 5, with the wrap counter set.
/// let data = NotificationData { queue: 3, position: 0x8005 };
/// assert_eq!(data.to_le_bytes(), [0x03, 0x00, 0x05, 0x80]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationData {
    /// The index of the queue. With NOTIF_CONFIG_DATA, it is the value that the device chose for the queue.
    pub queue: u16,
    /// The position where the next chain will be made available.
    ///
    /// It is an index on a split ring (NOTIF-3). On a packed ring, it is a slot with the wrap counter in bit 15
    /// (NOTIF-4).
    pub position: u16,
}

impl NotificationData {
    /// Returns the data in the byte order of PCI and MMIO.
    #[must_use]
    pub fn to_le_bytes(self) -> [u8; 4] {
        self.number().to_le_bytes()
    }

    /// Returns the data in the byte order of channel I/O.
    ///
    /// VIRTIO 1.4 §2.9 "Driver Notifications" (NOTIF-7).
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 4] {
        self.number().to_be_bytes()
    }

    fn number(self) -> u32 {
        u32::from(self.position) << 16 | u32::from(self.queue)
    }
}
