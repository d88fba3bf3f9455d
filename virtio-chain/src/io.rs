//! The traits of `std::io`.

use std::io::{self, Read, Write};

use virtio_queue_core::{ChainError, Walk};

use crate::{Reader, TransferError, Writer};

/// Ends with `Ok(0)`, and with an error of the kind `InvalidData` where the chain is malformed.
impl<'m, W: Walk<'m>> Read for Reader<'m, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Reader::read(self, buf).map_err(invalid_data)
    }
}

/// Ends with `Ok(0)`, and with an error of the kind `InvalidData` where the chain is malformed. There is nothing to flush.
impl<'m, W: Walk<'m>> Write for Writer<'m, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Writer::write(self, buf).map_err(invalid_data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> Self {
        let kind = match error {
            TransferError::Chain(_) => io::ErrorKind::InvalidData,
            TransferError::Short { .. } => io::ErrorKind::UnexpectedEof,
        };
        Self::new(kind, error)
    }
}

fn invalid_data(error: ChainError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
