//! The error of the queue sizes of both formats.

use core::{error, fmt};

/// The reason why a number is not a queue size of a format.
///
/// ```
/// use virtio_ring::{packed, split};
///
/// let error = split::QueueSize::new(24).unwrap_err();
/// assert_eq!(error.to_string(), "queue size 24: it must be a power of two from 1 to 32768 for a split virtqueue");
/// let error = packed::QueueSize::new(0).unwrap_err();
/// assert_eq!(error.to_string(), "queue size 0: it must be from 1 to 32768 for a packed virtqueue");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueSizeError {
    /// The size of a split virtqueue is not a power of two from 1 to 32768.
    Split {
        /// The number.
        size: u16,
    },
    /// The size of a packed virtqueue is not from 1 to 32768.
    Packed {
        /// The number.
        size: u16,
    },
}

impl fmt::Display for QueueSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { size } => {
                write!(f, "queue size {size}: it must be a power of two from 1 to 32768 for a split virtqueue")
            }
            Self::Packed { size } => write!(f, "queue size {size}: it must be from 1 to 32768 for a packed virtqueue"),
        }
    }
}

impl error::Error for QueueSizeError {}
