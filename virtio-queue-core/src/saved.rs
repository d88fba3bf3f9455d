//! What has to be remembered of a queue that is made again elsewhere.

use core::{error, fmt};

use crate::{FatalError, Ring};

/// A suspended queue, in a form that can be stored or sent: what was saved is as little to be trusted as a driver.
///
/// A queue without chains in flight is nothing but a position: where the driver's next buffer will be, and the device's next
/// used one. All else is in the configuration, or in the driver's memory, or begins anew.
///
/// With the feature `serde` it can be serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedQueue {
    version: u16,
    /// The position of a split ring is an index that runs freely. That of a packed one is a slot in bits 0 to 14 and a wrap
    /// counter in bit 15.
    next_available: u16,
    next_used: u16,
}

impl SavedQueue {
    /// The version of this form, which changes whenever its meaning does.
    pub const VERSION: u16 = 1;

    pub(crate) const fn new(position: u16) -> Self {
        Self { version: Self::VERSION, next_available: position, next_used: position }
    }

    /// Returns the only position that a queue without chains in flight has.
    pub(crate) const fn position(&self) -> Result<u16, RestoreError> {
        if self.version != Self::VERSION {
            Err(RestoreError::Version(self.version))
        } else if self.next_available != self.next_used {
            Err(RestoreError::Position(*self))
        } else {
            Ok(self.next_available)
        }
    }

    /// Returns what vhost-user calls the vring base of a split ring: the index of the next available entry.
    #[must_use]
    pub const fn split_vring_base(&self) -> u32 {
        self.next_available as u32
    }

    /// Returns what was saved as the vring base of a split ring. Bits beyond the index make it invalid.
    #[must_use]
    pub const fn from_split_vring_base(base: u32) -> Self {
        // An invalid base becomes a state that no ring accepts.
        let [low, high] = Self::halves(base);
        Self { version: if high == 0 { Self::VERSION } else { 0 }, next_available: low, next_used: low }
    }

    /// Returns what vhost-user calls the vring base of a packed ring: the available position in the lower half, the used
    /// position in the upper one, each with its wrap counter in the highest bit.
    #[must_use]
    pub const fn packed_vring_base(&self) -> u32 {
        (self.next_used as u32) << 16 | self.next_available as u32
    }

    /// Returns what was saved as the vring base of a packed ring.
    #[must_use]
    pub const fn from_packed_vring_base(base: u32) -> Self {
        let [low, high] = Self::halves(base);
        Self { version: Self::VERSION, next_available: low, next_used: high }
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    const fn halves(base: u32) -> [u16; 2] {
        [base as u16, (base >> 16) as u16]
    }
}

/// A ring that can be put at a position: one that can be saved and restored.
pub trait Positioned: Ring {
    /// Returns the position of a ring without slots in flight.
    fn position(&self, positions: &Self::Positions) -> u16;

    /// Returns the positions of a ring at `position`, without slots in flight, or `None` if there is no such position.
    fn positions_at(&self, position: u16) -> Option<Self::Positions>;
}

/// A queue that cannot be made from what was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// It was saved in a form that is not known here.
    Version(u16),
    /// It was at a position that the ring does not have, or had chains in flight.
    Position(SavedQueue),
    /// The ring cannot go on from there.
    Ring(FatalError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} of a saved queue is not known"),
            Self::Position(SavedQueue { next_available, next_used, .. }) => {
                write!(f, "the ring cannot be at {next_available:#x} and {next_used:#x}")
            }
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl error::Error for RestoreError {}
