//! Implements the traits of `std::io`.

use std::io::{self, ErrorKind, Read, Write};

use virtio_queue_core::{Chain, ChainElements};

use crate::error::{IncompleteError, TransferError};
use crate::readable::ReadableChain;
use crate::reader::Reader;
use crate::transfer::{TransferCause, TransferFailed};
use crate::writable::WritableChain;
use crate::writer::Writer;

/// Each call fills `buf` from as many pieces as needed. At the end, a call returns `Ok(0)`. If the chain is malformed,
/// a call returns the bytes before the fault. The next call fails with the kind `InvalidData`.
impl<C: ChainElements> Read for Reader<C> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_up_to_fault(buf)?)
    }
}

/// Reads as its [`Reader`] does.
impl<C: Chain> Read for ReadableChain<C> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_up_to_fault(buf)?)
    }
}

/// Each call writes all of `buf` into as many pieces as needed. At the end, a call returns `Ok(0)`. If the chain is
/// malformed, a call writes the bytes that fit before the fault. The next call fails with the kind `InvalidData`. A
/// flush does nothing.
impl<C: ChainElements> Write for Writer<C> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.write_up_to_fault(buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as its [`Writer`] does.
impl<C: Chain> Write for WritableChain<C> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.write_up_to_fault(buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has the kind `UnexpectedEof` if the chain is too short.
impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Chain(error) => error.into(),
            TransferError::Short { .. } => Self::new(ErrorKind::UnexpectedEof, error),
        }
    }
}

/// Has the kind `InvalidInput` if the device claimed more bytes than it wrote, and `InvalidData` if bytes are left
/// over.
impl From<IncompleteError> for io::Error {
    fn from(error: IncompleteError) -> Self {
        match error {
            IncompleteError::Chain(error) => error.into(),
            IncompleteError::Return(error) => error.into(),
            IncompleteError::NotWritten { .. } => Self::new(ErrorKind::InvalidInput, error),
            IncompleteError::Unread(_) | IncompleteError::Unwritten(_) => Self::new(ErrorKind::InvalidData, error),
        }
    }
}

/// Keeps only the cause. An error of the operation is unchanged.
impl From<TransferFailed<Self>> for io::Error {
    fn from(failed: TransferFailed<Self>) -> Self {
        match failed.cause {
            TransferCause::Work(error) => error,
            TransferCause::Chain(error) => error.into(),
            TransferCause::TooMuch { .. } => Self::new(ErrorKind::InvalidInput, failed.cause),
        }
    }
}
