//! The structure in which a side tells the other side which notifications it wants.

use core::fmt;

use super::off_wrap::OffWrap;

/// An event suppression structure, as one word of 32 bits.
///
/// The place is in the lower half. The flags are in the upper half. The values of a driver are not checked.
///
/// VIRTIO 1.4 §2.8.14 "Event Suppression Structure Format".
///
/// ```
/// use virtio_ring::packed::{EventSuppression, NotificationMode, OffWrap};
///
/// let named = NotificationMode::Descriptor(OffWrap::new(5, true));
/// let events = EventSuppression::new(named);
/// assert_eq!(events.bits(), 0x0002_8005);
/// assert_eq!(events.mode(true), named);
/// // Without EVENT_IDX, a structure cannot name a place.
/// assert_eq!(events.mode(false), NotificationMode::Enable);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventSuppression(u32);

/// Which notifications a side wants.
///
/// ```
/// use virtio_ring::packed::{EventSuppression, NotificationMode};
///
/// assert_eq!(EventSuppression::new(NotificationMode::Disable).bits(), 0x0001_0000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationMode {
    /// All notifications.
    Enable,
    /// No notifications.
    Disable,
    /// One notification, when the descriptor at this place is made available or used.
    ///
    /// It is allowed only with EVENT_IDX (PACK-EVT-3).
    Descriptor(OffWrap),
}

impl EventSuppression {
    const ENABLE: u32 = 0;
    const DISABLE: u32 = 1;
    const DESCRIPTOR: u32 = 2;

    /// Returns the structure for its word in memory, read in little-endian order.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the structure that asks for `mode`.
    ///
    /// Its reserved bits are 0 (PACK-EVT-5).
    #[inline]
    #[must_use]
    pub const fn new(mode: NotificationMode) -> Self {
        Self(match mode {
            NotificationMode::Enable => Self::ENABLE << 16,
            NotificationMode::Disable => Self::DISABLE << 16,
            NotificationMode::Descriptor(place) => Self::DESCRIPTOR << 16 | place.bits() as u32,
        })
    }

    /// Returns the word.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the notifications that the structure asks for.
    ///
    /// Only two bits of the flags have a meaning. Two values of them are wrong: the reserved value, and the value for a
    /// place if EVENT_IDX was not negotiated. For a wrong value, returns [`NotificationMode::Enable`], because an
    /// unwanted notification does no harm (HOST-21).
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the lower half of the word")]
    pub const fn mode(self, event_idx: bool) -> NotificationMode {
        match self.0 >> 16 & 3 {
            Self::DISABLE => NotificationMode::Disable,
            Self::DESCRIPTOR if event_idx => NotificationMode::Descriptor(OffWrap::from_bits(self.0 as u16)),
            _ => NotificationMode::Enable,
        }
    }
}

impl fmt::Debug for EventSuppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSuppression({:?})", self.mode(true))
    }
}
