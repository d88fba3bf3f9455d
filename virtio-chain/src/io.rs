//! The traits of `std::io`.

use std::io::{self, Read, Write};

use virtio_queue_core::{ChainError, Walk};

use crate::{Reader, TransferError, Writer};

/// Ends with `Ok(0)`, and with an error of the kind `InvalidData` where the chain is malformed: a call copies from one piece
/// of memory at most, since after an error nothing may have been copied.
impl<'m, W: Walk<'m>> Read for Reader<'m, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_piece(buf).map_err(invalid_data)
    }
}

/// As for reading. There is nothing to flush.
impl<'m, W: Walk<'m>> Write for Writer<'m, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_piece(buf).map_err(invalid_data)
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
