//! A storage that stores nothing.

use std::io;

use virtio_mem_traits::DeviceRange;

use super::storage::Storage;

/// A storage that stores nothing, to measure everything except the storage. It does not access driver memory. Other
/// buffers get zeroes.
#[derive(Clone, Copy, Debug)]
pub struct NullStorage {
    size: u64,
}

impl NullStorage {
    /// Creates a storage that reports a size of `size` bytes.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self { size }
    }
}

impl Storage for NullStorage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_into(&self, _pieces: &[DeviceRange<'_>], _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_from(&self, _pieces: &[DeviceRange<'_>], _offset: u64) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}
