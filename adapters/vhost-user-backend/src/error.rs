//! The error of a vring.

use core::{error, fmt};

use virtio_queue_core::{ConfigError, FatalError, FeaturesError, RestoreError};

/// The reason why a vring cannot start or cannot continue.
///
/// It is reported once. Then the vring does nothing until the front end sets it up again. Do not return it from
/// `handle_event`: that would end the thread and all of its vrings.
///
/// ```
/// use virtio_queue_core::ConfigError;
/// use virtio_vhost_user_backend::VringError;
///
/// let error = VringError::from(ConfigError::SizeOverLimit { size: 512, limit: 256 });
/// assert_eq!(error.to_string(), "queue size 512 must be at most 256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VringError {
    /// The driver accepted features that no queue supports.
    Features(FeaturesError),
    /// The queue size or an address is invalid.
    Config(ConfigError),
    /// The queue cannot start from the base.
    Restore(RestoreError),
    /// The queue was running, and is now broken.
    Ring(FatalError),
}

impl From<FeaturesError> for VringError {
    fn from(error: FeaturesError) -> Self {
        Self::Features(error)
    }
}

impl From<ConfigError> for VringError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<RestoreError> for VringError {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

impl From<FatalError> for VringError {
    fn from(error: FatalError) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for VringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Features(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Restore(error) => error.fmt(f),
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl error::Error for VringError {}
