//! Writing.

use core::fmt;

use core::ptr;

use virtio_mem_traits::{DeviceRange, DriverMem};
use virtio_queue_core::{ChainError, Walk};
use zerocopy::{Immutable, IntoBytes};

use crate::cursor::Cursor;
use crate::{Remaining, TransferError};

/// The writable bytes of a chain, or a part of them, from a position on.
///
/// It keeps count of what was written, and how far from the beginning that goes without a hole: a driver takes the used
/// length for the number of bytes that it can read from the start of the buffer (SPLIT-USED-4).
///
/// It does not hold on to the chain. Write nothing to it once the chain was returned: the memory is the driver's again.
///
/// After an error it is at its end.
#[derive(Clone)]
pub struct Writer<'m, W> {
    cursor: Cursor<'m, W>,
    /// How many bytes were written.
    written: u64,
    /// The position that it began at, and the one up to which everything was written from there.
    start: u64,
    whole_until: u64,
}

impl<'m, W: Walk<'m>> Writer<'m, W> {
    #[inline]
    pub(crate) fn new(cursor: Cursor<'m, W>) -> Self {
        let start = cursor.position();
        Self { cursor, written: 0, start, whole_until: start }
    }

    pub(crate) fn cursor(&self) -> &Cursor<'m, W> {
        &self.cursor
    }

    /// Returns how many bytes were written from the beginning of the writable half on, without a hole.
    ///
    /// Of a tail that was [split off](Self::split_at), this counts what lies before it as well.
    #[inline]
    #[must_use]
    pub fn prefix(&self) -> u64 {
        self.whole_until
    }

    /// Returns how many bytes were written, with or without holes between them.
    #[inline]
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns how many bytes the driver of chain `id` may be told of: none if this began somewhere else.
    #[inline]
    pub(crate) fn reportable(&self, id: u16) -> u64 {
        if self.start == 0 && self.cursor.id() == id { self.whole_until } else { 0 }
    }

    /// Takes note that all up to the position was written, of which `len` bytes just now.
    #[inline]
    fn wrote(&mut self, len: u64) {
        let before = self.cursor.position() - len;
        if self.whole_until == before {
            self.whole_until = self.cursor.position();
        }
        self.written += len;
    }

    /// Copies `buf` to the next bytes, and returns how many were copied: fewer than it holds only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that. What was copied by then has been counted.
    #[inline]
    pub fn write(&mut self, buf: &[u8]) -> Result<usize, ChainError> {
        let mut done = 0;
        while done < buf.len() {
            let (_, rest) = buf.split_at(done);
            match self.write_piece(rest)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Copies as much of `buf` as fits into the next piece, and returns how much. After an error nothing was copied.
    #[inline]
    pub(crate) fn write_piece(&mut self, buf: &[u8]) -> Result<usize, ChainError> {
        let Some((range, piece)) = self.cursor.take(buf.len())? else { return Ok(0) };
        let (part, _) = buf.split_at(piece.len());
        piece.write_bytes(0, part).map_err(|_| self.cursor.refused(range))?;
        self.cursor.mem().written(range);
        self.wrote(range.len());
        Ok(piece.len())
    }

    /// Copies all of `buf` to the next bytes.
    ///
    /// # Errors
    ///
    /// If it does not fit, or the chain is malformed before that. What was copied by then has been counted.
    #[inline]
    pub fn write_all(&mut self, buf: &[u8]) -> Result<(), TransferError> {
        let available = self.write(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Copies `object` to the next bytes, however the driver has cut them.
    ///
    /// # Errors
    ///
    /// If it does not fit, or the chain is malformed before that. What was copied by then has been counted.
    #[inline]
    pub fn write_obj<T: IntoBytes + Immutable>(&mut self, object: &T) -> Result<(), TransferError> {
        self.write_all(object.as_bytes())
    }

    /// Sets the next `len` bytes to `value`, and returns how many there were: fewer only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that. What was set by then has been counted.
    pub fn fill(&mut self, len: u64, value: u8) -> Result<u64, ChainError> {
        let block = [value; 256];
        let mut done = 0;
        while done < len {
            let (part, _) = block.split_at(usize::try_from(len - done).map_or(block.len(), |len| len.min(block.len())));
            match self.write(part)? {
                0 => break,
                count => done += count as u64,
            }
        }
        Ok(done)
    }

    /// Passes over the next `len` bytes, which were written through [`fragments`](Self::fragments), and returns how many:
    /// fewer only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn advance(&mut self, len: u64) -> Result<u64, ChainError> {
        let mem = self.cursor.mem();
        let start = self.cursor.position();
        let result = self.cursor.skip(len, |range| mem.written(range));
        self.wrote(self.cursor.position() - start);
        result
    }

    /// Passes over the next `len` bytes without writing them, and returns how many: fewer only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn skip(&mut self, len: u64) -> Result<u64, ChainError> {
        self.cursor.skip(len, |_| ())
    }

    /// Looks ahead at the pieces in which the next bytes lie, of `limit` bytes together at most, and returns how many of
    /// them it has put into `storage`. It does not move on: [`advance`](Self::advance) over what was written.
    ///
    /// This is for `readv` and the like, without copying; see [`IoVec`](crate::IoVec).
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    pub fn fragments<F: From<DeviceRange<'m>>>(&self, limit: u64, storage: &mut [F]) -> Result<usize, ChainError> {
        self.cursor.fragments(limit, storage)
    }

    /// Looks ahead: how much room there is from here on.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end of it.
    pub fn remaining(&self) -> Result<Remaining, ChainError> {
        self.cursor.remaining()
    }

    /// Cuts off what lies more than `len` bytes further on, and returns it.
    ///
    /// To have what is written there counted, [`join`](Self::join) the two again.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. Nothing has changed then.
    pub fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        self.cursor.split_at(len).map(Self::new)
    }

    /// Cuts off the last `len` bytes, such as a status, and returns them. They may be written even where what lies before them
    /// is in memory that is not there.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before its end. Nothing has changed then.
    pub fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        self.cursor.split_last(len).map(Self::new)
    }

    /// Goes on where `tail` is, which was split off here.
    ///
    /// What was written there counts as if it had been written here. If this half was not written to its end, or something
    /// between the two is not joined, there is a hole before `tail`. Parts are joined in the order in which they lie: one
    /// from before the end of this half, or from another chain, changes nothing.
    pub fn join(&mut self, tail: Self) {
        let end = self.cursor.end();
        let elsewhere = tail.cursor.id() != self.cursor.id() || !ptr::addr_eq(tail.cursor.mem(), self.cursor.mem());
        if elsewhere || tail.start < end {
            return;
        }
        if tail.start == end && self.whole_until == end {
            self.whole_until = tail.whole_until;
        }
        self.written += tail.written;
        self.cursor = tail.cursor;
    }
}

impl<W> fmt::Debug for Writer<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("cursor", &self.cursor)
            .field("prefix", &self.whole_until)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
