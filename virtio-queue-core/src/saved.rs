//! What has to be remembered of a queue that is made again elsewhere.

use core::{error, fmt};

use virtio_ring::RingFeatures;
use virtio_ring::packed::Descriptor;

use crate::{ChainError, ConfigError, Element, FatalError, Head, Ring};

/// The positions of a queue, in a form that can be stored or sent: what was saved is as little to be trusted as a
/// driver.
///
/// A queue is nothing but positions: where the driver's next buffer will be, and the device's next used one. All else
/// is in the configuration, or in the driver's memory, or begins anew. Chains in flight are not part of it: save a
/// queue that was [drained](crate::Queue::drain), or [record](crate::RecordedRing) its chains.
///
/// # vhost-user
///
/// [`vring_base`](Self::vring_base) is what GET_VRING_BASE answers, and [`from_vring_base`](Self::from_vring_base)
/// takes what SET_VRING_BASE says, in either format:
///
/// * The base of a split ring is the index of the next available entry, from 0 to 65535. The used index is not in it.
///   It is in the ring's memory, and [`Queue::restore`](crate::Queue::restore) reads it there, once.
/// * The base of a packed ring has the available position in bits 0 to 15 and the used position in bits 16 to 31. A
///   position is a slot in bits 0 to 14, and a wrap counter in bit 15.
/// * A packed ring begins at 0x8000_8000. Some front ends say 0 of a new packed ring. So `restore` takes 0 as the
///   beginning if no descriptor in the ring has the flag USED, which means that the ring was never used.
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
/// With the feature `serde` it can be serialized. Later versions read what this version wrote.
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
    /// Indexes that run freely. A used index that was not saved is in the ring's memory.
    Split { next_available: u16, next_used: Option<u16> },
    /// A slot in bits 0 to 14 and a wrap counter in bit 15.
    Packed { next_available: u16, next_used: u16 },
}

impl SavedQueue {
    /// The version of this form, which changes whenever its meaning does.
    pub const VERSION: u16 = 1;

    pub(crate) const fn split(next_available: u16, next_used: Option<u16>) -> Self {
        Self { version: Self::VERSION, positions: Saved::Split { next_available, next_used } }
    }

    pub(crate) const fn packed(next_available: u16, next_used: u16) -> Self {
        Self { version: Self::VERSION, positions: Saved::Packed { next_available, next_used } }
    }

    /// Returns a queue with these features at these positions: indexes of a split ring; slots with wrap counters of a
    /// packed one.
    #[must_use]
    pub const fn at(next_available: u16, next_used: u16, features: RingFeatures) -> Self {
        if features.contains(RingFeatures::RING_PACKED) {
            Self::packed(next_available, next_used)
        } else {
            Self::split(next_available, Some(next_used))
        }
    }

    /// Returns what vhost-user calls the base of the vring.
    #[must_use]
    pub const fn vring_base(&self) -> u32 {
        match self.positions {
            Saved::Split { next_available, .. } => next_available as u32,
            Saved::Packed { next_available, next_used } => (next_used as u32) << 16 | next_available as u32,
        }
    }

    /// Returns the queue that a vhost-user base stands for, if these features were negotiated.
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

    /// Returns the position of the buffer that is fetched next.
    #[must_use]
    pub const fn next_available(&self) -> u16 {
        let (Saved::Split { next_available, .. } | Saved::Packed { next_available, .. }) = self.positions;
        next_available
    }

    /// Returns the position of the used buffer that is written next, or `None` if it is in the ring's memory.
    #[must_use]
    pub const fn next_used(&self) -> Option<u16> {
        match self.positions {
            Saved::Split { next_used, .. } => next_used,
            Saved::Packed { next_used, .. } => Some(next_used),
        }
    }

    /// Returns the positions, if they are of a version that is known here.
    pub(crate) const fn checked(&self) -> Result<Saved, RestoreError> {
        if self.version == Self::VERSION { Ok(self.positions) } else { Err(RestoreError::Version(self.version)) }
    }
}

/// A ring that can be saved, restored to the positions that it was saved at, and moved to other memory.
pub trait Restorable: Ring + Sized {
    /// Returns the same ring in other memory. The memory is not touched.
    ///
    /// # Errors
    ///
    /// If an area is not there.
    fn in_memory(&self, mem: Self::Mem) -> Result<Self, ConfigError>;

    /// Returns the positions, as the driver sees them: what was completed and not published is still in flight.
    fn save(&self, positions: &Self::Positions) -> SavedQueue;

    /// Returns the positions of a ring that goes on from `saved`.
    ///
    /// Buffers between the two positions were fetched earlier and are lost, unless they are
    /// [adopted](crate::Queue::adopt).
    ///
    /// # Errors
    ///
    /// If the ring cannot be there.
    fn restore(&self, saved: &SavedQueue) -> Result<Self::Positions, RestoreError>;

    /// Takes over a chain that is in flight since an earlier life of the queue, and returns its head as this ring knows
    /// it, or `None` if the ring can have no such chain. `in_flight` slots are in flight without it.
    fn adopt(&self, positions: &mut Self::Positions, head: Head, in_flight: u16) -> Option<Head>;

    /// Gives up a chain that was [adopted](Self::adopt), as if it had not been: it can be adopted again. It is the last
    /// of those that were, and is in flight.
    fn disown(&self, positions: &mut Self::Positions, head: Head);

    /// Returns the elements of a chain that is in flight since an earlier life of the queue.
    ///
    /// A split ring has its descriptors still. In a packed ring, used descriptors can have been written over them:
    /// there, the elements are those of the descriptors that were `stored` when the chain was fetched.
    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>>;
}

/// A queue that cannot be made from what was saved.
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
    /// It was saved in a form that is not known here.
    Version(u16),
    /// It was saved in the other format.
    Format(SavedQueue),
    /// The vhost-user base of a split ring does not fit into 16 bits.
    Base {
        /// The base.
        base: u32,
    },
    /// A position in a packed ring is a slot that the ring does not have.
    Position {
        /// What was saved.
        saved: SavedQueue,
        /// The queue size.
        size: u16,
    },
    /// The positions are further apart than a ring can be.
    Lost {
        /// The available position.
        available: u16,
        /// The used position.
        used: u16,
        /// The queue size.
        size: u16,
    },
    /// The ring cannot go on from there.
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
                write!(f, "a saved queue of version {version} is not known: it must be {}", SavedQueue::VERSION)
            }
            Self::Format(SavedQueue { positions: Saved::Split { .. }, .. }) => {
                f.write_str("a split queue was saved, but RING_PACKED (feature bit 34) was negotiated")
            }
            Self::Format(_) => {
                f.write_str("a packed queue was saved, but RING_PACKED (feature bit 34) was not negotiated")
            }
            Self::Base { base } => {
                write!(f, "the base {base:#x} is no index of a split ring: it must be at most 0xffff")
            }
            Self::Position { saved, size } => {
                let (available, used) = (saved.next_available(), saved.next_used().unwrap_or_default());
                write!(f, "the positions {available:#x} and {used:#x} must be slots of a packed ring with {size}")
            }
            Self::Lost { available, used, size } => {
                write!(
                    f,
                    "available position {available:#x} is further ahead of used position {used:#x} than {size} buffers"
                )
            }
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl error::Error for RestoreError {}
