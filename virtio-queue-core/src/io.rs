//! Conversions of queue errors into errors of the standard library.

use std::io::{self, ErrorKind};

use crate::error::{ChainError, FatalError, ReturnError};

/// Converts into an error of the kind `InvalidData`.
impl From<ChainError> for io::Error {
    fn from(error: ChainError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Converts into an error of the kind `InvalidData`.
impl From<FatalError> for io::Error {
    fn from(error: FatalError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Converts into an error of the kind `InvalidData` if the queue is broken, and `InvalidInput` otherwise.
impl From<ReturnError> for io::Error {
    fn from(error: ReturnError) -> Self {
        let kind = match error {
            ReturnError::Broken(_) => ErrorKind::InvalidData,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
