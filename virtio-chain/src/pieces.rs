//! Pieces of a chain that are passed on together.

use virtio_mem_traits::{Access, DriverMem, DriverRange, IoVec};
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;

/// The largest number of bytes that are passed on together. No system call moves more.
const MAX_BYTES: usize = isize::MAX.unsigned_abs();

/// Up to `N` pieces, in the form for system calls and in driver addresses.
pub(crate) struct Pieces<const N: usize> {
    /// The number of bytes, and the number of pieces.
    pub(crate) len: usize,
    count: usize,
    io_vecs: [IoVec; N],
    ranges: [DriverRange; N],
}

impl<const N: usize> Pieces<N> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { len: 0, count: 0, io_vecs: [IoVec::EMPTY; N], ranges: [DriverRange::EMPTY; N] }
    }

    #[inline]
    pub(crate) fn io_vecs(&self) -> &[IoVec] {
        self.io_vecs.get(..self.count).unwrap_or_default()
    }

    /// Returns whether there is no room for one more piece.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.count == N
    }

    /// Forgets the pieces.
    #[inline]
    pub(crate) const fn clear(&mut self) {
        (self.len, self.count) = (0, 0);
    }

    fn ranges(&self) -> &[DriverRange] {
        self.ranges.get(..self.count).unwrap_or_default()
    }

    /// Reports to `mem` that the pieces will be read, if `access` is a read.
    #[inline]
    pub(crate) fn before_transfer(&self, mem: &(impl DriverMem + ?Sized), access: Access) {
        if access == Access::Read {
            self.ranges().iter().for_each(|range| mem.before_read(*range));
        }
    }

    /// Reports to `mem` that the first `count` bytes were written, if `access` is a write.
    #[inline]
    pub(crate) fn after_transfer(&self, mem: &(impl DriverMem + ?Sized), access: Access, count: usize) {
        let mut left = if access == Access::Write { count as u64 } else { 0 };
        for range in self.ranges() {
            let written = range.prefix(left);
            if written.is_empty() {
                break;
            }
            mem.written(written);
            left -= written.len();
        }
    }
}

impl<P: Clone> Cursor<P> {
    /// Looks ahead at the next pieces, of at most `limit` bytes in total. Returns the place after the pieces that fit
    /// into `pieces`.
    #[inline]
    pub(crate) fn gather<const N: usize>(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
        pieces: &mut Pieces<N>,
    ) -> Result<Self, ChainError> {
        let mut ahead = self.clone();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_BYTES);
        for (io_vec, slot) in pieces.io_vecs.iter_mut().zip(&mut pieces.ranges) {
            match ahead.take(chain, limit - pieces.len) {
                Ok(Some((range, piece))) => {
                    (*io_vec, *slot) = (piece.into(), range);
                    pieces.len += piece.len();
                    pieces.count += 1;
                }
                Ok(None) => break,
                Err(error) if pieces.count == 0 => {
                    *self = ahead;
                    return Err(error);
                }
                // The pieces before the fault come first.
                Err(_) => {
                    ahead.put_off_fault();
                    break;
                }
            }
        }
        Ok(ahead)
    }
}
