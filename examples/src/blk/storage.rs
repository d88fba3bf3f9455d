//! What a block device stores its sectors in.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes at fixed positions, which stay where they are written.
///
/// # For callers
///
/// Ranges that are not inside the [`size`](Self::size) are for the caller to avoid. What a failed operation has changed is
/// not known.
///
/// # For implementors
///
/// Everything takes `&self`, so that the devices of several queues can share a storage. The size must not change. It need
/// not be a number of whole sectors: the device pads the last one.
pub trait Storage {
    /// Returns the size in bytes.
    fn size(&self) -> u64;

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

    /// Makes stable what was written: it survives a crash from then on.
    ///
    /// # Errors
    ///
    /// If that is not certain.
    fn flush(&self) -> io::Result<()>;

    /// Takes note that the `len` bytes at `offset`, at least one, are of no value any more. It may give them back, and does nothing by
    /// default.
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
        const ZEROES: [u8; 4096] = [0; 4096];
        for done in (0..len).step_by(ZEROES.len()) {
            let left = usize::try_from(len - done).unwrap_or(usize::MAX);
            let (block, _) = ZEROES.split_at(left.min(ZEROES.len()));
            self.write_at(block, offset + done)?;
        }
        Ok(())
    }
}

macro_rules! forward {
    ($($handle:ty),+) => {$(
        impl<S: Storage + ?Sized> Storage for $handle {
            fn size(&self) -> u64 {
                (**self).size()
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
