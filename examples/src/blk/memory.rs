//! A storage in memory.

use std::io;
use std::sync::{PoisonError, RwLock};

use super::storage::Storage;

/// A storage in memory. A drop loses its bytes.
#[derive(Debug)]
pub struct MemStorage(RwLock<Vec<u8>>);

impl MemStorage {
    /// Creates a storage with these bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `access` with the `len` bytes at `offset`.
    fn with(&self, offset: u64, len: usize, access: impl FnOnce(&mut [u8])) -> io::Result<()> {
        // A panic under the lock can leave a half-finished copy. Bytes can be half copied at any time anyway.
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = start..start.saturating_add(len);
        access(bytes.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Storage for MemStorage {
    fn size(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(offset, buf.len(), |bytes| buf.copy_from_slice(bytes))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.with(offset, buf.len(), |bytes| bytes.copy_from_slice(buf))
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
