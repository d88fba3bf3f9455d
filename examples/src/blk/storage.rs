//! The storage of a block device.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use virtio_mem_traits::DeviceRange;

use super::direct::Direct;

/// The number of bytes in one copy, if there is no better way.
pub(super) const BLOCK_LEN: usize = 4096;

/// Persistent bytes at fixed positions.
///
/// # For callers
///
/// The caller must use only ranges inside the [`size`](Self::size). After a failed operation, the bytes in its range
/// are unknown.
///
/// # For implementors
///
/// Every method takes `&self`, so that the devices of several queues can share a storage. The size must not change. It
/// can be any number of bytes: the device pads the last sector.
pub trait Storage {
    /// Returns the size in bytes.
    fn size(&self) -> u64;

    /// Returns the block size in bytes. Aligned operations are fast. The block size is a power of two, and at least a
    /// sector.
    fn block_size(&self) -> u32 {
        512
    }

    /// Returns the size of the blocks in which the medium works, in bytes, if that is known and requests should be
    /// aligned to it. It is a power of two, and at least the [`block_size`](Self::block_size). The default is `None`.
    fn physical_block_size(&self) -> Option<u32> {
        None
    }

    /// Returns whether the storage is read-only. If so, the device calls no operation that changes it.
    fn read_only(&self) -> bool {
        false
    }

    /// Fills all of `buf` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Copies all of `buf` to `offset`.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Copies the bytes at `offset` into these pieces of driver memory, one after the other, until all of them are
    /// full.
    ///
    /// The default copies through a buffer.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read, or the device must not write a piece.
    fn read_into(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        let mut buf = [0; BLOCK_LEN];
        for (block, offset) in blocks(pieces, offset) {
            let (bytes, _) = buf.split_at_mut(block.len());
            self.read_at(bytes, offset)?;
            block.write_bytes(0, bytes).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Does the same as [`read_into`](Self::read_into), but does not wait for a medium. If it would have to wait, it
    /// returns an error of the kind [`WouldBlock`](io::ErrorKind::WouldBlock). The storage can start to read the bytes,
    /// so that the caller can do other work meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`read_into`](Self::read_into). Also if the read would have to wait.
    fn read_now(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        self.read_into(pieces, offset)
    }

    /// Copies all of these pieces of driver memory, one after the other, to `offset`.
    ///
    /// The default copies through a buffer.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be written, or the device must not read a piece.
    fn write_from(&self, pieces: &[DeviceRange<'_>], offset: u64) -> io::Result<()> {
        let mut buf = [0; BLOCK_LEN];
        for (block, offset) in blocks(pieces, offset) {
            let (bytes, _) = buf.split_at_mut(block.len());
            block.read_bytes(0, bytes).map_err(io::Error::other)?;
            self.write_at(bytes, offset)?;
        }
        Ok(())
    }

    /// Returns the file that contains the bytes at the same offsets, if there is one. Then the kernel moves many pieces
    /// of a chain together. The default is `None`, and the device moves chains piece by piece.
    fn file(&self) -> Option<&File> {
        None
    }

    /// Returns the same file past the page cache of the host, if requests should be done there as far as they are
    /// aligned. The default is `None`.
    fn direct(&self) -> Option<&Direct> {
        None
    }

    /// Makes all written bytes stable, so that they survive a crash.
    ///
    /// # Errors
    ///
    /// If the bytes are not certain to be stable.
    fn flush(&self) -> io::Result<()>;

    /// Discards the `len` bytes at `offset`. `len` is at least 1. The storage can release their space. The default does
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the discard fails.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Sets the `len` bytes at `offset` to zero. `len` is at least 1. The default writes zeroes.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be written.
    fn write_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
        write_zeroes(self, offset, len)
    }

    /// Returns whether [`release`](Self::release) can release space. By default, it cannot.
    fn can_release(&self) -> bool {
        false
    }

    /// Sets the `len` bytes at `offset` to zero, and releases their space if that is possible. `len` is at least 1. The
    /// default does the same as [`write_zeroes`](Self::write_zeroes).
    ///
    /// # Errors
    ///
    /// If the bytes cannot be written.
    fn release(&self, offset: u64, len: u64) -> io::Result<()> {
        self.write_zeroes(offset, len)
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

/// Returns where the whole blocks of a part are, and how long they are together, if there are any.
pub(super) const fn whole_blocks(block_size: u32, offset: u64, len: u64) -> Option<(u64, u64)> {
    let block = block_size as u64;
    let (start, end) = (offset.next_multiple_of(block), (offset + len) / block * block);
    if start < end { Some((start, end - start)) } else { None }
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

            fn physical_block_size(&self) -> Option<u32> {
                (**self).physical_block_size()
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

            fn direct(&self) -> Option<&Direct> {
                (**self).direct()
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

            fn can_release(&self) -> bool {
                (**self).can_release()
            }

            fn release(&self, offset: u64, len: u64) -> io::Result<()> {
                (**self).release(offset, len)
            }
        }
    )+};
}

forward!(&S, Box<S>, Rc<S>, Arc<S>);
