//! The traits of `std::io`.

use std::io::{self, ErrorKind, Read, Write};

use virtio_queue_core::{Chain, ChainElements};

use crate::{
    IncompleteError, ReadableChain, Reader, TransferCause, TransferError, TransferFailed, WritableChain, Writer,
};

/// A call fills `buf`, from as many pieces as it takes, and ends with `Ok(0)`. Where the chain is malformed, it returns
/// what lies before that; the next call fails, with the kind `InvalidData`.
impl<C: ChainElements> Read for Reader<C> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_up_to_fault(buf)?)
    }
}

/// As for its [`Reader`].
impl<C: Chain> Read for ReadableChain<C> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_up_to_fault(buf)?)
    }
}

/// A call takes all of `buf`, into as many pieces as it takes, and ends with `Ok(0)`. Where the chain is malformed, it
/// takes what fits before that; the next call fails, with the kind `InvalidData`. There is nothing to flush.
impl<C: ChainElements> Write for Writer<C> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.write_up_to_fault(buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As for its [`Writer`].
impl<C: Chain> Write for WritableChain<C> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.write_up_to_fault(buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of the kind `UnexpectedEof` if the chain is too short.
impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Chain(error) => error.into(),
            TransferError::Short { .. } => Self::new(ErrorKind::UnexpectedEof, error),
        }
    }
}

/// Of the kind `InvalidInput` if more was claimed than was written, `InvalidData` if something is left over.
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

/// The cause alone: an error of the work stays what it was.
impl From<TransferFailed<Self>> for io::Error {
    fn from(failed: TransferFailed<Self>) -> Self {
        match failed.cause {
            TransferCause::Work(error) => error,
            TransferCause::Chain(error) => error.into(),
            TransferCause::TooMuch { .. } => Self::new(ErrorKind::InvalidInput, failed.cause),
        }
    }
}
