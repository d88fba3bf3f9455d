//! Copies between a chain and a buffer of the device.

use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;

/// The result of a copy in several pieces.
pub(crate) struct Copied<C: ChainElements> {
    /// The chain and the position, which the copy gives back.
    pub(crate) chain: C,
    pub(crate) cursor: Cursor<C::Place>,
    /// The number of copied bytes, or the error. The number is less than the requested one only at the end.
    pub(crate) result: Result<usize, ChainError>,
}

/// The usual case: all bytes are in one piece, and the memory translates them at once.
impl<P: Clone> Cursor<P> {
    /// Copies the next bytes into `buf`. Returns `None` if nothing was copied, for any reason.
    #[inline(always)]
    pub(crate) fn read_whole(&mut self, chain: &impl ChainElements<Place = P>, buf: &mut [u8]) -> Option<()> {
        let (range, piece) = self.peek_whole(chain, buf.len())?;
        if chain.mem().reports(Access::Read) {
            chain.mem().before_read(range);
        }
        piece.read_bytes(0, buf).ok()?;
        self.pass(range.len());
        Some(())
    }

    /// Copies `buf` to the next bytes. Returns `None` if nothing was copied, for any reason.
    #[inline(always)]
    pub(crate) fn write_whole(&mut self, chain: &impl ChainElements<Place = P>, buf: &[u8]) -> Option<()> {
        let (range, piece) = self.peek_whole(chain, buf.len())?;
        piece.write_bytes(0, buf).ok()?;
        if chain.mem().reports(Access::Write) {
            chain.mem().written(range);
        }
        self.pass(range.len());
        Some(())
    }
}

/// All other cases.
///
/// PERF: the chain and the position are passed and returned by value. So those of a local reader need no address, and
/// stay in registers (`payload-read-64`).
impl<P: Clone> Cursor<P> {
    /// Copies the next bytes into `buf`, from any number of pieces.
    #[inline(never)]
    pub(crate) fn read_pieces<C: ChainElements<Place = P>>(mut self, chain: C, buf: &mut [u8]) -> Copied<C> {
        let mut done = 0;
        let result = loop {
            let (_, rest) = buf.split_at_mut(done);
            match self.read_piece(&chain, rest) {
                Ok(0) => break Ok(done),
                Ok(count) => done += count,
                Err(error) => break Err(error),
            }
        };
        Copied { chain, cursor: self, result }
    }

    /// Copies `buf` to the next bytes, into any number of pieces.
    #[inline(never)]
    pub(crate) fn write_pieces<C: ChainElements<Place = P>>(mut self, chain: C, buf: &[u8]) -> Copied<C> {
        let mut done = 0;
        let result = loop {
            let (_, rest) = buf.split_at(done);
            match self.write_piece(&chain, rest) {
                Ok(0) => break Ok(done),
                Ok(count) => done += count,
                Err(error) => break Err(error),
            }
        };
        Copied { chain, cursor: self, result }
    }

    /// Copies the next piece into `buf`, as far as it fits, and returns the number of bytes. On an error, nothing was
    /// copied.
    fn read_piece(&mut self, chain: &impl ChainElements<Place = P>, buf: &mut [u8]) -> Result<usize, ChainError> {
        let Some((range, piece)) = self.peek(chain, buf.len())? else { return Ok(0) };
        chain.mem().before_read(range);
        let (part, _) = buf.split_at_mut(piece.len());
        piece.read_bytes(0, part).map_err(|_| self.refused(chain.id(), range))?;
        self.pass(range.len());
        Ok(piece.len())
    }

    /// Copies `buf` into the next piece, as far as it fits, and returns the number of bytes. On an error, nothing was
    /// copied.
    fn write_piece(&mut self, chain: &impl ChainElements<Place = P>, buf: &[u8]) -> Result<usize, ChainError> {
        let Some((range, piece)) = self.peek(chain, buf.len())? else { return Ok(0) };
        let (part, _) = buf.split_at(piece.len());
        piece.write_bytes(0, part).map_err(|_| self.refused(chain.id(), range))?;
        chain.mem().written(range);
        self.pass(range.len());
        Ok(piece.len())
    }
}
