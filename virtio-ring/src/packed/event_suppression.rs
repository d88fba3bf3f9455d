//! What either side tells the other of the notifications that it wants.

use core::fmt;

use super::OffWrap;

/// An event suppression structure, as one word of 32 bits: the place in the lower half, the flags in the upper one.
///
/// VIRTIO 1.4 §2.8.14 "Event Suppression Structure Format". What the driver wrote may be anything.
///
/// ```
/// use virtio_ring::packed::{EventSuppression, NotificationMode, OffWrap};
///
/// let named = NotificationMode::Descriptor(OffWrap::new(5, true));
/// let events = EventSuppression::new(named);
/// assert_eq!(events.bits(), 0x0002_8005);
/// assert_eq!(events.mode(true), named);
/// // Without EVENT_IDX no place can be named.
/// assert_eq!(events.mode(false), NotificationMode::Enable);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventSuppression(u32);

/// Which notifications are wanted.
///
/// ```
/// use virtio_ring::packed::{EventSuppression, NotificationMode};
///
/// assert_eq!(EventSuppression::new(NotificationMode::Disable).bits(), 0x0001_0000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationMode {
    /// All.
    Enable,
    /// None.
    Disable,
    /// One, when the descriptor at this place is made available or used. Only with EVENT_IDX (PACK-EVT-3).
    Descriptor(OffWrap),
}

impl EventSuppression {
    const ENABLE: u32 = 0;
    const DISABLE: u32 = 1;
    const DESCRIPTOR: u32 = 2;

    /// Returns the structure that the word stands for, read as a little-endian one.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the structure that asks for `mode`. Reserved bits are 0 (PACK-EVT-5).
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

    /// Returns what is asked for.
    ///
    /// Only two bits of the flags count. Where they make no sense, being the reserved value or a place although
    /// EVENT_IDX was not negotiated, all notifications are wanted: one too many does no harm (HOST-21).
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
