//! Saved queues, and rings that can be restored from them.

use core::{error, fmt};

use virtio_ring::RingFeatures;
use virtio_ring::packed::Descriptor;

use crate::config::ConfigError;
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::ring::Ring;
use crate::walk::Element;

/// The positions of a queue, in a form that can be stored or sent.
///
/// A saved state is untrusted, like driver input: wrong positions are refused (HOST-30).
///
/// The state of a queue consists of two positions: that of the driver's next available buffer, and that of the device's
/// next used buffer. All other values are in the configuration or in the driver's memory, or start from zero. Chains in
/// flight are not included: save a queue that was [drained](crate::Queue::drain), or [record](crate::RecordedRing) its
/// chains.
///
/// # vhost-user
///
/// [`vring_base`](Self::vring_base) returns the answer to GET_VRING_BASE. [`from_vring_base`](Self::from_vring_base)
/// takes the value of SET_VRING_BASE. Both support both formats:
///
/// * The base of a split ring is the index of the next available entry, from 0 to 65535. The base does not contain the
///   used index. [`Queue::restore`](crate::Queue::restore) reads the used index once, from the ring's memory (BASE-1).
/// * The base of a packed ring has the available position in bits 0 to 15 and the used position in bits 16 to 31. A
///   position is a slot in bits 0 to 14, and a wrap counter in bit 15.
/// * A packed ring begins at 0x8000_8000. Some front ends send 0 for a new packed ring. So `restore` treats 0 as the
///   beginning if no descriptor in the ring has the flag USED, which means that the ring was never used (BASE-3).
///
/// ```
/// use virtio_queue_core::{RingFeatures, SavedQueue};
///
/// let features = RingFeatures::from_negotiated(1 << 32 | 1 << 34)?;
/// let saved = SavedQueue::from_vring_base(0x8007_8009, features)?;
/// assert_eq!((saved.next_available(), saved.next_used()), (0x8009, Some(0x8007)));
/// assert_eq!(saved.vring_base(), 0x8007_8009);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// With the feature `serde`, a `SavedQueue` can be serialized. Later versions of this crate can read the form of this
/// version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SavedQueue {
    version: u16,
    positions: Saved,
}

/// The positions in either format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub(crate) enum Saved {
    /// Indexes of 16 bits that wrap around. A used index of `None` is in the ring's memory.
    Split { next_available: u16, next_used: Option<u16> },
    /// A slot in bits 0 to 14 and a wrap counter in bit 15.
    Packed { next_available: u16, next_used: u16 },
}

impl SavedQueue {
    /// The version of the form. It changes whenever the meaning of the form changes.
    pub const VERSION: u16 = 1;

    pub(crate) const fn split(next_available: u16, next_used: Option<u16>) -> Self {
        Self { version: Self::VERSION, positions: Saved::Split { next_available, next_used } }
    }

    pub(crate) const fn packed(next_available: u16, next_used: u16) -> Self {
        Self { version: Self::VERSION, positions: Saved::Packed { next_available, next_used } }
    }

    /// Makes a saved queue with these features and positions.
    ///
    /// A position is an index in a split ring, and a slot with a wrap counter in a packed ring.
    #[must_use]
    pub const fn at(next_available: u16, next_used: u16, features: RingFeatures) -> Self {
        if features.contains(RingFeatures::RING_PACKED) {
            Self::packed(next_available, next_used)
        } else {
            Self::split(next_available, Some(next_used))
        }
    }

    /// Returns the positions as vhost-user's base of a vring.
    #[must_use]
    pub const fn vring_base(&self) -> u32 {
        match self.positions {
            Saved::Split { next_available, .. } => next_available as u32,
            Saved::Packed { next_available, next_used } => (next_used as u32) << 16 | next_available as u32,
        }
    }

    /// Makes a saved queue from a vhost-user base and the negotiated features.
    ///
    /// # Errors
    ///
    /// If the base of a split ring is more than 65535.
    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub const fn from_vring_base(base: u32, features: RingFeatures) -> Result<Self, RestoreError> {
        let (low, high) = (base as u16, (base >> 16) as u16);
        if features.contains(RingFeatures::RING_PACKED) {
            Ok(Self::packed(low, high))
        } else if high == 0 {
            Ok(Self::split(low, None))
        } else {
            Err(RestoreError::Base { base })
        }
    }

    /// Returns the position of the buffer that will be fetched next.
    #[must_use]
    pub const fn next_available(&self) -> u16 {
        let (Saved::Split { next_available, .. } | Saved::Packed { next_available, .. }) = self.positions;
        next_available
    }

    /// Returns the position of the used buffer that will be written next, or `None` if it is in the ring's memory.
    #[must_use]
    pub const fn next_used(&self) -> Option<u16> {
        match self.positions {
            Saved::Split { next_used, .. } => next_used,
            Saved::Packed { next_used, .. } => Some(next_used),
        }
    }

    /// Returns the positions, if this crate knows their version.
    pub(crate) const fn checked(&self) -> Result<Saved, RestoreError> {
        if self.version == Self::VERSION { Ok(self.positions) } else { Err(RestoreError::Version(self.version)) }
    }
}

/// A ring that can be saved, restored and moved to other memory.
pub trait Restorable: Ring + Sized {
    /// Returns the same ring in other memory. The memory is not touched.
    ///
    /// # Errors
    ///
    /// If an area is not in the new memory.
    fn in_memory(&self, mem: Self::Mem) -> Result<Self, ConfigError>;

    /// Returns the positions, as the driver sees them.
    ///
    /// Chains that were completed and not published still count as in flight.
    fn save(&self, positions: &Self::Positions) -> SavedQueue;

    /// Returns the positions of a ring that continues at `saved`.
    ///
    /// Buffers between the two positions were fetched by an earlier life of the queue. They are lost, unless they are
    /// [adopted](crate::Queue::adopt) (BASE-2).
    ///
    /// # Errors
    ///
    /// If the positions cannot be those of this ring.
    fn restore(&self, saved: &SavedQueue) -> Result<Self::Positions, RestoreError>;

    /// Adopts a chain that an earlier life of the queue left in flight, and returns its head in this ring.
    ///
    /// Returns `None` if the restored positions have no room for the chain. `in_flight` is the number of slots in
    /// flight without it.
    fn adopt(&self, positions: &mut Self::Positions, head: Head, in_flight: u16) -> Option<Head>;

    /// Returns the elements of a chain that an earlier life of the queue left in flight.
    ///
    /// In a split ring, the descriptors of the chain are still in the ring. In a packed ring, used descriptors can have
    /// been written over them. So the elements are those of the descriptors that were `stored` when the chain was
    /// fetched.
    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>>;
}

/// The reason why a queue cannot be restored.
///
/// ```
/// use virtio_queue_core::{RestoreError, RingFeatures, SavedQueue};
///
/// let split = RingFeatures::from_negotiated(1 << 32)?;
/// assert_eq!(SavedQueue::from_vring_base(0x1_0000, split), Err(RestoreError::Base { base: 0x1_0000 }));
/// # Ok::<_, virtio_queue_core::FeaturesError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The saved form has an unknown version.
    Version(u16),
    /// The saved queue has the other ring format.
    Format(SavedQueue),
    /// The vhost-user base of a split ring does not fit into 16 bits.
    Base {
        /// The base.
        base: u32,
    },
    /// A position in a packed ring has a slot number that is not less than the queue size.
    Position {
        /// The saved positions.
        saved: SavedQueue,
        /// The queue size.
        size: u16,
    },
    /// The distance of the two positions is more than the queue size.
    Lost {
        /// The available position.
        available: u16,
        /// The used position.
        used: u16,
        /// The queue size.
        size: u16,
    },
    /// The ring cannot be taken into service at these positions.
    Ring(FatalError),
}

impl From<FatalError> for RestoreError {
    fn from(error: FatalError) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "the version of the saved queue is {version}: it must be {}", SavedQueue::VERSION)
            }
            Self::Format(SavedQueue { positions: Saved::Split { .. }, .. }) => {
                f.write_str("a split queue was saved, but RING_PACKED (feature bit 34) was negotiated")
            }
            Self::Format(_) => {
                f.write_str("a packed queue was saved, but RING_PACKED (feature bit 34) was not negotiated")
            }
            Self::Base { base } => {
                write!(f, "the base {base:#x} is not an index of a split ring: it must be at most 0xffff")
            }
            Self::Position { saved, size } => {
                let (available, used) = (saved.next_available(), saved.next_used().unwrap_or_default());
                write!(f, "the positions {available:#x} and {used:#x} must be slots of a packed ring with {size}")
            }
            Self::Lost { available, used, size } => {
                write!(
                    f,
                    "available position {available:#x} must be at most {size} buffers ahead of used position {used:#x}"
                )
            }
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl error::Error for RestoreError {}
