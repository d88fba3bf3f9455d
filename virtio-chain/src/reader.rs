//! Reading.

use core::fmt;

use virtio_mem_traits::{DeviceRange, DriverMem};
use virtio_queue_core::{ChainError, Walk};
use zerocopy::{FromBytes, IntoBytes};

use crate::cursor::Cursor;
use crate::{Remaining, TransferError};

/// The readable bytes of a chain, or a part of them, from a position on.
///
/// After an error it is at its end.
#[derive(Clone)]
pub struct Reader<'m, W> {
    cursor: Cursor<'m, W>,
}

impl<'m, W: Walk<'m>> Reader<'m, W> {
    #[inline]
    pub(crate) fn new(cursor: Cursor<'m, W>) -> Self {
        Self { cursor }
    }

    pub(crate) fn into_cursor(self) -> Cursor<'m, W> {
        self.cursor
    }

    pub(crate) fn cursor(&self) -> &Cursor<'m, W> {
        &self.cursor
    }

    /// Copies the next bytes into `buf`, and returns how many: fewer than it holds only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that. What was copied by then is in `buf`.
    #[inline]
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        let mut done = 0;
        while done < buf.len() {
            let (_, rest) = buf.split_at_mut(done);
            match self.read_piece(rest)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Copies as much into `buf` as the next piece has, and returns how much. After an error nothing was copied.
    #[inline]
    pub(crate) fn read_piece(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        let Some((range, piece)) = self.cursor.take(buf.len())? else { return Ok(0) };
        self.cursor.mem().before_read(range);
        let (part, _) = buf.split_at_mut(piece.len());
        piece.read_bytes(0, part).map_err(|_| self.cursor.refused(range))?;
        Ok(piece.len())
    }

    /// Copies the next bytes into `buf` as if zeroes without end followed the last, and returns how many came from the chain.
    ///
    /// For commands that grow from one version of the specification to the next: VIRTIO 1.4 §2.13.1 "Device Requirements:
    /// Group administration commands" (USER-2).
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    pub fn read_padded(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        buf.fill(0);
        self.read(buf)
    }

    /// Copies the next bytes into `buf`, all of it.
    ///
    /// # Errors
    ///
    /// If there are not as many, or the chain is malformed before that. The position is then unspecified.
    #[inline]
    pub fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), TransferError> {
        let available = self.read(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Returns a copy of the object that comes next, however the driver has cut it.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. The position is then unspecified.
    #[inline]
    pub fn read_obj<T: FromBytes + IntoBytes>(&mut self) -> Result<T, TransferError> {
        let mut object = T::new_zeroed();
        self.read_exact(object.as_mut_bytes())?;
        Ok(object)
    }

    /// Takes the next bytes, of `limit` at most, that lie in one piece, or `None` at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn next_with_limit(&mut self, limit: usize) -> Result<Option<DeviceRange<'m>>, ChainError> {
        let taken = self.cursor.take(limit)?;
        Ok(taken.map(|(range, piece)| {
            self.cursor.mem().before_read(range);
            piece
        }))
    }

    /// Passes over the next `len` bytes, and returns how many: fewer only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn advance(&mut self, len: u64) -> Result<u64, ChainError> {
        self.cursor.skip(len, |_| ())
    }

    /// Looks ahead at the pieces in which the next bytes lie, of `limit` bytes together at most, and returns how many of
    /// them it has put into `storage`. It does not move on: [`advance`](Self::advance) over what was used.
    ///
    /// This is for `writev` and the like, without copying; see [`IoVec`](crate::IoVec).
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    pub fn fragments<F: From<DeviceRange<'m>>>(&self, limit: u64, storage: &mut [F]) -> Result<usize, ChainError> {
        self.cursor.fragments(limit, storage)
    }

    /// Looks ahead: how much there is from here on.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end of it.
    pub fn remaining(&self) -> Result<Remaining, ChainError> {
        self.cursor.remaining()
    }

    /// Cuts off what lies more than `len` bytes further on, and returns it.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. Nothing has changed then.
    pub fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        self.cursor.split_at(len).map(Self::new)
    }

    /// Cuts off the last `len` bytes, and returns them.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before its end. Nothing has changed then.
    pub fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        self.cursor.split_last(len).map(Self::new)
    }
}

impl<W> fmt::Debug for Reader<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.cursor).finish()
    }
}
