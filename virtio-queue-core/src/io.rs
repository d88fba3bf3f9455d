//! Errors of a queue as errors of the standard library.

use std::io::{self, ErrorKind};

use crate::{ChainError, FatalError, ReturnError};

/// Of the kind `InvalidData`: the driver said something that makes no sense.
impl From<ChainError> for io::Error {
    fn from(error: ChainError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Of the kind `InvalidData`: the driver said something that makes no sense.
impl From<FatalError> for io::Error {
    fn from(error: FatalError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Of the kind `InvalidData` if the queue is broken, `InvalidInput` otherwise.
impl From<ReturnError> for io::Error {
    fn from(error: ReturnError) -> Self {
        let kind = match error {
            ReturnError::Broken(_) => ErrorKind::InvalidData,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
