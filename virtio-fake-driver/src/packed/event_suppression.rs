//! Which notifications a side wants.

/// An event suppression structure, with any content whatever.
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
    /// The slot that is waited for, and in bit 15 the wrap counter that goes with it: with [`DESC`](Self::DESC) alone.
    pub off_wrap: u16,
    /// One of [`ENABLE`](Self::ENABLE), [`DISABLE`](Self::DISABLE) and [`DESC`](Self::DESC), or something that makes no
    /// sense.
    pub flags: u16,
}

impl EventSuppression {
    /// All notifications.
    pub const ENABLE: u16 = 0;
    /// None.
    pub const DISABLE: u16 = 1;
    /// The one for a certain slot. Only with EVENT_IDX.
    pub const DESC: u16 = 2;

    /// Returns the structure as a number that has to be stored in little-endian order.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        u32::from(self.flags) << 16 | u32::from(self.off_wrap)
    }

    /// Returns the structure that the number stands for.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes apart what `to_bits` put together")]
    pub const fn from_bits(bits: u32) -> Self {
        Self { off_wrap: bits as u16, flags: (bits >> 16) as u16 }
    }
}
