//! The error of a request for random bytes.

use core::error::Error;
use core::fmt;
use std::io;

use virtio_chain::TransferError;
use virtio_queue_core::{ChainError, ReturnError};

/// The reason why a chain got no random bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum RngError {
    /// The chain has no writable bytes.
    NoRoom,
    /// The chain is malformed.
    Transfer(TransferError),
    /// The source has no random bytes.
    Entropy(io::Error),
    /// The chain could not be returned: its queue is broken.
    Return(ReturnError),
}

impl From<ChainError> for RngError {
    fn from(error: ChainError) -> Self {
        Self::Transfer(error.into())
    }
}

impl From<TransferError> for RngError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl From<io::Error> for RngError {
    fn from(error: io::Error) -> Self {
        Self::Entropy(error)
    }
}

impl fmt::Display for RngError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("no room for random bytes"),
            Self::Transfer(error) => error.fmt(f),
            Self::Entropy(error) => write!(f, "no randomness: {error}"),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl Error for RngError {}
