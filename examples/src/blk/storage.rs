//! What a block device stores its sectors in.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use virtio_mem_traits::DeviceRange;

/// The bytes that are copied at a time where there is no better way.
pub(super) const BLOCK_LEN: usize = 4096;

/// Bytes at fixed positions, which stay where they are written.
///
/// # For callers
///
/// Ranges that are not inside the [`size`](Self::size) are for the caller to avoid. What a failed operation has changed
/// is not known.
///
/// # For implementors
///
/// Everything takes `&self`, so that the devices of several queues can share a storage. The size must not change. It
/// need not be a number of whole sectors: the device pads the last one.
pub trait Storage {
    /// Returns the size in bytes.
    fn size(&self) -> u64;

    /// Returns the block size in bytes: what is aligned to it is fast. It is a power of two, and at least a sector.
    fn block_size(&self) -> u32 {
        512
    }

    /// Returns whether it cannot be changed. The operations that would do so are not called then.
    fn read_only(&self) -> bool {
        false
    }

    /// Copies the bytes at `offset` into `buf`, all of it.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Copies all of `buf` to `offset`.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Copies the bytes at `offset` into these pieces of driver memory, one after the other, until all of them are
    /// full.
    ///
    /// By default they take the way through a buffer.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or a piece may not be written.
    fn read_into(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        let mut buf = [0; BLOCK_LEN];
        for (block, offset) in blocks(pieces, offset) {
            let (bytes, _) = buf.split_at_mut(block.len());
            self.read_at(bytes, offset)?;
            block.write_bytes(0, bytes).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Does the same, unless it would have to wait for a medium. In that case it is an error of the kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the bytes are on their way by then, as far as the storage sees to
    /// that: somebody else may be asked for meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`read_into`](Self::read_into), and if it would have to wait.
    fn read_now(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        self.read_into(pieces, offset)
    }

    /// Copies all of these pieces of driver memory, one after the other, to `offset`.
    ///
    /// By default they take the way through a buffer.
    ///
    /// # Errors
    ///
    /// If they cannot be written, or a piece may not be read.
    fn write_from(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        let mut buf = [0; BLOCK_LEN];
        for (block, offset) in blocks(pieces, offset) {
            let (bytes, _) = buf.split_at_mut(block.len());
            block.read_bytes(0, bytes).map_err(io::Error::other)?;
            self.write_at(bytes, offset)?;
        }
        Ok(())
    }

    /// Returns the file that the bytes are in, at the same offsets, if they are in one: then the kernel moves many
    /// pieces of a chain at a time. There is none by default, and chains are moved piece by piece.
    fn file(&self) -> Option<&File> {
        None
    }

    /// Makes stable what was written: it survives a crash from then on.
    ///
    /// # Errors
    ///
    /// If that is not certain.
    fn flush(&self) -> io::Result<()>;

    /// Takes note that the `len` bytes at `offset`, at least one, are of no value any more. It may give them back, and
    /// does nothing by default.
    ///
    /// # Errors
    ///
    /// If that fails.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Sets the `len` bytes at `offset`, at least one, to zero: by writing them unless there is a better way.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    fn write_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
        write_zeroes(self, offset, len)
    }
}

/// Writes `len` zeroes at `offset`.
pub(super) fn write_zeroes<S: Storage + ?Sized>(storage: &S, offset: u64, len: u64) -> io::Result<()> {
    const ZEROES: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
    for done in (0..len).step_by(ZEROES.len()) {
        let left = usize::try_from(len - done).unwrap_or(usize::MAX);
        let (block, _) = ZEROES.split_at(left.min(ZEROES.len()));
        storage.write_at(block, offset + done)?;
    }
    Ok(())
}

/// Returns the pieces in blocks, each with its place in a storage in which they begin at `offset`.
fn blocks<'m>(pieces: &[DeviceRange<'m>], offset: u64) -> impl Iterator<Item = (DeviceRange<'m>, u64)> {
    let blocks = pieces
        .iter()
        .flat_map(|piece| (0..piece.len()).step_by(BLOCK_LEN).map(|done| piece.after(done).prefix(BLOCK_LEN)));
    blocks.scan(offset, |next, block| {
        let offset = *next;
        *next += block.len() as u64;
        Some((block, offset))
    })
}

macro_rules! forward {
    ($($handle:ty),+) => {$(
        impl<S: Storage + ?Sized> Storage for $handle {
            fn size(&self) -> u64 {
                (**self).size()
            }

            fn block_size(&self) -> u32 {
                (**self).block_size()
            }

            fn read_only(&self) -> bool {
                (**self).read_only()
            }

            fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
                (**self).read_at(buf, offset)
            }

            fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
                (**self).write_at(buf, offset)
            }

            fn read_into(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
                (**self).read_into(pieces, offset)
            }

            fn read_now(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
                (**self).read_now(pieces, offset)
            }

            fn write_from(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
                (**self).write_from(pieces, offset)
            }

            fn file(&self) -> Option<&File> {
                (**self).file()
            }

            fn flush(&self) -> io::Result<()> {
                (**self).flush()
            }

            fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
                (**self).discard(offset, len)
            }

            fn write_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
                (**self).write_zeroes(offset, len)
            }
        }
    )+};
}

forward!(&S, Box<S>, Rc<S>, Arc<S>);
