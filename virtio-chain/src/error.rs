//! What can go wrong on the way between bytes and a chain.

use core::{error, fmt};

use virtio_queue_core::{ChainError, ReturnError};

/// How much there is from some position on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// In bytes.
    pub bytes: u64,
    /// In elements, the one that the position is in included; those without bytes are none.
    pub descriptors: u32,
}

/// A transfer that had to be whole and was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The chain is malformed.
    Chain(ChainError),
    /// The chain is well-formed, but too short.
    Short {
        /// How many bytes were wanted.
        wanted: u64,
        /// How many there were.
        available: u64,
    },
}

impl TransferError {
    #[inline]
    pub(crate) fn unless_whole(wanted: usize, available: usize) -> Result<(), Self> {
        if available < wanted {
            return Err(Self::Short { wanted: wanted as u64, available: available as u64 });
        }
        Ok(())
    }
}

impl From<ChainError> for TransferError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) => error.fmt(f),
            Self::Short { wanted, available } => write!(f, "{wanted} bytes wanted, {available} left in the chain"),
        }
    }
}

impl error::Error for TransferError {}

/// A chain that is not complete, and was not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncompleteError {
    /// There are readable bytes that were not read.
    Unread(Remaining),
    /// There are writable bytes that were not written.
    Unwritten(Remaining),
    /// The chain is malformed.
    Chain(ChainError),
    /// The chain is complete, but could not be returned.
    Return(ReturnError),
}

impl From<ChainError> for IncompleteError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl fmt::Display for IncompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(Remaining { bytes, descriptors }) => {
                write!(f, "{bytes} readable bytes in {descriptors} elements are left over")
            }
            Self::Unwritten(Remaining { bytes, descriptors }) => {
                write!(f, "{bytes} writable bytes in {descriptors} elements are left over")
            }
            Self::Chain(error) => error.fmt(f),
            Self::Return(error) => error.fmt(f),
        }
    }
}

impl error::Error for IncompleteError {}
