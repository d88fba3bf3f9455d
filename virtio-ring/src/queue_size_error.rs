//! The error of both formats' queue sizes.

use core::{error, fmt};

/// A number that is not a queue size of the format that it was meant for.
///
/// ```
/// use virtio_ring::{packed, split};
///
/// let error = split::QueueSize::new(24).unwrap_err();
/// assert_eq!(error.to_string(), "queue size 24: that of a split virtqueue must be a power of two from 1 to 32768");
/// let error = packed::QueueSize::new(0).unwrap_err();
/// assert_eq!(error.to_string(), "queue size 0: that of a packed virtqueue must be from 1 to 32768");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueSizeError {
    /// No power of two from 1 to 32768, for a split virtqueue.
    Split {
        /// The number.
        size: u16,
    },
    /// Not from 1 to 32768, for a packed virtqueue.
    Packed {
        /// The number.
        size: u16,
    },
}

impl fmt::Display for QueueSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { size } => {
                write!(f, "queue size {size}: that of a split virtqueue must be a power of two from 1 to 32768")
            }
            Self::Packed { size } => write!(f, "queue size {size}: that of a packed virtqueue must be from 1 to 32768"),
        }
    }
}

impl error::Error for QueueSizeError {}
