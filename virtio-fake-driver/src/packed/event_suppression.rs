//! The structure in which a side names the notifications that it wants.

/// An event suppression structure, with any content.
///
/// VIRTIO 1.4 §2.8.14 "Event Suppression Structure Format".
///
/// ```
/// use virtio_fake_driver::PackedFixture;
/// use virtio_fake_driver::packed::EventSuppression;
///
/// let mut fixture = PackedFixture::new(8);
/// fixture.driver.disable_interrupts();
/// assert_eq!(fixture.driver.raw().driver_events().flags, EventSuppression::DISABLE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSuppression {
    /// The slot that the side waits for, with the wrap counter in bit 15. It has a meaning only with
    /// [`DESC`](Self::DESC).
    pub off_wrap: u16,
    /// One of [`ENABLE`](Self::ENABLE), [`DISABLE`](Self::DISABLE) and [`DESC`](Self::DESC), or a value without a
    /// meaning.
    pub flags: u16,
}

impl EventSuppression {
    /// All notifications.
    pub const ENABLE: u16 = 0;
    /// No notifications.
    pub const DISABLE: u16 = 1;
    /// One notification, for a certain slot. It is allowed only with EVENT_IDX.
    pub const DESC: u16 = 2;

    /// Returns the structure as a number, which must be stored in little-endian order.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        u32::from(self.flags) << 16 | u32::from(self.off_wrap)
    }

    /// Returns the structure for its number.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "splits the number that `to_bits` builds")]
    pub const fn from_bits(bits: u32) -> Self {
        Self { off_wrap: bits as u16, flags: (bits >> 16) as u16 }
    }
}
