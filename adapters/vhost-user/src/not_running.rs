//! Why a ring does not run.

use std::io;

use virtio_queue_core::{ConfigError, RestoreError};

/// Why a ring does not run.
#[derive(Debug)]
pub(crate) enum NotRunning {
    /// It cannot be where it is said to be, in the memory as it is.
    NotThere(io::Error),
    /// What it begins with makes no sense.
    Broken(io::Error),
}

impl NotRunning {
    /// Returns the reason.
    pub(crate) fn into_error(self) -> io::Error {
        match self {
            Self::NotThere(error) | Self::Broken(error) => error,
        }
    }
}

impl From<ConfigError> for NotRunning {
    fn from(error: ConfigError) -> Self {
        Self::NotThere(io::Error::other(error))
    }
}

impl From<RestoreError> for NotRunning {
    fn from(error: RestoreError) -> Self {
        Self::Broken(io::Error::other(error))
    }
}
