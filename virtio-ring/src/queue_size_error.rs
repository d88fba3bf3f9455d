//! The error of both formats' queue sizes.

use core::{error, fmt};

/// A number that is not a queue size of the format that it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSizeError {
    /// The number.
    pub size: u16,
}

impl fmt::Display for QueueSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a size that the queue can have", self.size)
    }
}

impl error::Error for QueueSizeError {}
