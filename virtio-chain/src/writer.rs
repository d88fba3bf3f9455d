//! Writing.

mod parts;

use core::fmt;
use core::mem::ManuallyDrop;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, IoVec};
use virtio_queue_core::{ChainElements, ChainError};
use zerocopy::{Immutable, IntoBytes};

use crate::cursor::Cursor;
use crate::{Lent, Remaining, SettleError, TransferCause, TransferError, TransferFailed};

/// The writable bytes of a chain, or a part of them, from a position on.
///
/// It keeps count of what was written, and how far from the beginning that goes without a hole: a driver takes the used
/// length for the number of bytes that it can read from the start of the buffer (SPLIT-USED-4).
///
/// Most devices use it through [`WritableChain`](crate::WritableChain), which owns its chain and is a `Writer<C>`.
/// [`Writer::new`] makes one of a borrowed chain, `Writer<&C>`.
///
/// It is plain data beside its chain, so it can be held wherever the chain can be. After an error it is at its end.
/// What must be written whatever happens, such as a status, is [split off](crate::WritableChain::split_last) before.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
/// # driver.add(&DriverChain::new().writable(4).writable(60)).unwrap();
/// use virtio_chain::Writer;
/// use virtio_chain::zerocopy::little_endian::U32;
///
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// let mut writer = Writer::new(&chain);
/// writer.write_obj(&U32::new(5))?;
/// writer.write_all(b"hello")?;
/// // The writer borrows the chain, which is returned with what was written.
/// let len = writer.prefix();
/// chain.return_written(len)?;
/// # assert_eq!(driver.reap()?.ok_or("not returned")?.written(), b"\x05\0\0\0hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Writer<C: ChainElements> {
    /// `None` once it was returned, which uses up whoever has the writer. A [`WritableChain`](crate::WritableChain) drops
    /// it, and nobody else has one that must be dropped.
    ///
    /// PERF: there is nothing to be dropped after its drop. So the compiler puts the drop wherever it is needed, and
    /// nobody has the address of the position (`request-write-64`).
    chain: ManuallyDrop<Option<C>>,
    cursor: Cursor<C::Place>,
    /// How many bytes were written.
    written: u64,
    /// The position that it began at, and the one up to which everything was written from there.
    start: u64,
    whole_until: u64,
}

/// Copies.
impl<C: ChainElements> Writer<C> {
    #[inline]
    pub(crate) fn of(chain: C) -> Self {
        let cursor = Cursor::new(&chain, Access::Write);
        Self::at(chain, cursor)
    }

    #[inline]
    pub(crate) fn at(chain: C, cursor: Cursor<C::Place>) -> Self {
        let start = cursor.position();
        Self { chain: ManuallyDrop::new(Some(chain)), cursor, written: 0, start, whole_until: start }
    }

    /// Takes note that the `len` bytes before the position were written.
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
    #[inline(always)]
    pub fn write(&mut self, buf: &[u8]) -> Result<usize, ChainError> {
        let Some(chain) = &*self.chain else { return Ok(0) };
        if self.cursor.write_whole(chain, buf).is_some() {
            self.wrote(buf.len() as u64);
            return Ok(buf.len());
        }
        let Some(chain) = self.chain.take() else { return Ok(0) };
        let start = self.cursor.position();
        let after = self.cursor.clone().write_pieces(chain, buf);
        (*self.chain, self.cursor) = (Some(after.chain), after.cursor);
        self.wrote(self.cursor.position() - start);
        after.result
    }

    /// Copies `buf` to the next bytes up to a fault, which the next call reports unless there are none before it.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn write_up_to_fault(&mut self, buf: &[u8]) -> Result<usize, ChainError> {
        let start = self.position();
        match self.write(buf) {
            Ok(count) => Ok(count),
            Err(error) => self.cursor.moved_before(start, error),
        }
    }

    /// Copies all of `buf` to the next bytes.
    ///
    /// # Errors
    ///
    /// If it does not fit, or the chain is malformed before that. What was copied by then has been counted.
    #[inline(always)]
    pub fn write_all(&mut self, buf: &[u8]) -> Result<(), TransferError> {
        let available = self.write(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Copies `object` to the next bytes, however the driver has cut them.
    ///
    /// The fields of an object must be little-endian types, not integers of the machine: VIRTIO 1.4 §1.4 "Structure
    /// Specifications".
    ///
    /// # Errors
    ///
    /// If it does not fit, or the chain is malformed before that. What was copied by then has been counted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(8)).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// use virtio_chain::Writer;
    /// use virtio_chain::zerocopy::little_endian::U32;
    /// use virtio_chain::zerocopy::{FromBytes, Immutable, IntoBytes};
    ///
    /// // All three: what can be written can be read as well, by another device or in a test.
    /// #[derive(FromBytes, Immutable, IntoBytes)]
    /// #[zerocopy(crate = "virtio_chain::zerocopy")]
    /// #[repr(C)]
    /// struct Geometry {
    ///     width: U32,
    ///     height: U32,
    /// }
    ///
    /// let mut writer = Writer::new(&chain);
    /// writer.write_obj(&Geometry { width: U32::new(1024), height: U32::new(768) })?;
    /// assert_eq!(writer.written(), 8);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
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
}

/// Pieces, without a copy.
impl<C: ChainElements> Writer<C> {
    /// Hands the next bytes, of `limit` at most, that lie in one piece to `work`, and returns how many of them it
    /// wrote: 0 at the end.
    ///
    /// `work` returns how many bytes it wrote, from the first one on. These count, and the writer moves on by them.
    ///
    /// # Errors
    ///
    /// If the chain is malformed there, if `work` fails, or if it says that it wrote more than there are. The writer
    /// has not moved then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(3).writable(5)).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Writer;
    /// let mut writer = Writer::new(&chain);
    /// let fill = |piece: virtio_mem_traits::DeviceRange<'_>| piece.fill(0, piece.len(), b'x').map(|()| piece.len());
    /// assert_eq!(writer.next_with_limit(4, fill)?, 3);
    /// assert_eq!(writer.next_with_limit(4, fill)?, 4);
    /// assert_eq!(writer.next_with_limit(4, fill)?, 1);
    /// assert_eq!(writer.next_with_limit(4, fill)?, 0);
    /// assert_eq!(writer.prefix(), 8);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_with_limit<E>(
        &mut self,
        limit: usize,
        work: impl FnOnce(DeviceRange<'_>) -> Result<usize, E>,
    ) -> Result<usize, TransferFailed<E>> {
        let failed = |cause| TransferFailed { moved: 0, cause };
        let Some(chain) = &*self.chain else { return Ok(0) };
        let next = self.cursor.peek(chain, limit).map_err(|error| failed(error.into()))?;
        let Some((range, piece)) = next else { return Ok(0) };
        let count = work(piece).map_err(|error| failed(TransferCause::Work(error)))?;
        if count > piece.len() {
            return Err(failed(TransferCause::TooMuch { claimed: count, lent: piece.len() }));
        }
        let written = range.prefix(count as u64);
        if !written.is_empty() {
            chain.mem().written(written);
        }
        self.cursor.pass(written.len());
        self.wrote(written.len());
        Ok(count)
    }

    /// Hands the next bytes, `limit` at most, to `work` as pieces for `readv` and the like, and returns how many it
    /// wrote.
    ///
    /// `work` returns how many bytes it wrote, from the first one on. It is called again with the next pieces for as
    /// long as it writes all that it is handed, [32](Lent::MAX_PIECES) pieces at a time. Where it writes fewer, the
    /// transfer ends, and the writer is behind what was written. Only these bytes count, and only these are reported to
    /// the memory as written.
    ///
    /// # Errors
    ///
    /// If `work` fails, if it says that it wrote more than it was handed, or if the chain is malformed. What was
    /// written by earlier calls is in the error and has been counted, and the writer is behind it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(512).writable(512).writable(1)).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// use std::io;
    /// use virtio_chain::{IoVec, Writer};
    ///
    /// # fn readv(pieces: &[IoVec]) -> io::Result<usize> { Ok(700) }
    /// let mut writer = Writer::new(&chain);
    /// let moved = writer.transfer(1024, |pieces| {
    ///     readv(pieces) // libc::readv(fd, pieces.as_ptr().cast(), pieces.len() as _)
    /// })?;
    /// // The file has no more than that.
    /// assert_eq!((moved, writer.prefix()), (700, 700));
    /// writer.fill(1024 - moved, 0)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn transfer<E>(
        &mut self,
        limit: u64,
        work: impl FnMut(&[IoVec]) -> Result<usize, E>,
    ) -> Result<u64, TransferFailed<E>> {
        let Some(chain) = &*self.chain else { return Ok(0) };
        let start = self.cursor.position();
        let result = self.cursor.transfer(chain, limit, work);
        self.wrote(self.cursor.position() - start);
        result
    }

    /// Lends the next bytes, `limit` at most, as pieces to work that ends later: at most [32](Lent::MAX_PIECES) pieces.
    /// The writer moves on when they are [settled](Self::settle).
    ///
    /// # Errors
    ///
    /// If the chain is malformed at the next byte. If it is so further on, the pieces end there.
    pub fn lend(&mut self, limit: u64) -> Result<Lent, ChainError> {
        let Some(chain) = &*self.chain else { return Ok(Lent::nothing()) };
        self.cursor.lend(chain, limit)
    }

    /// Moves on by the first `count` bytes of what was lent here, which were written.
    ///
    /// Only these bytes count. They are reported to the memory as written, even if the driver has changed the chain
    /// since.
    ///
    /// # Errors
    ///
    /// If `lent` is of another writer or another position, or has fewer than `count` bytes. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// [`Lent`] has one for a chain that is kept until the work ends. This one is short:
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(512)).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Writer;
    /// let mut writer = Writer::new(&chain);
    /// let lent = writer.lend(u64::MAX)?;
    /// assert_eq!((lent.len(), writer.position()), (512, 0));
    /// writer.settle(lent, 100)?;
    /// assert_eq!((writer.position(), writer.prefix()), (100, 100));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "what was lent is settled once")]
    pub fn settle(&mut self, lent: Lent, count: usize) -> Result<(), SettleError> {
        let Some(chain) = &*self.chain else { return Ok(()) };
        self.cursor.settle(chain, &lent, count)?;
        self.wrote(count as u64);
        Ok(())
    }
}

/// Places, and what was written.
impl<C: ChainElements> Writer<C> {
    /// Passes over the next `len` bytes without writing them, and returns how many: fewer only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn skip(&mut self, len: u64) -> Result<u64, ChainError> {
        let Some(chain) = &*self.chain else { return Ok(0) };
        self.cursor.skip(chain, len)
    }

    /// Returns the length that the driver can be told of: how many bytes were written from the beginning of the
    /// writable half on, without a hole.
    ///
    /// It is what a chain is returned with. Of all 2^32 bytes of the largest chain, 2^32 - 1 can be said
    /// (SPLIT-USED-9). A part that was [split off](Self::split_at) knows nothing of the bytes before it: its prefix is
    /// 0 until it is [joined](Self::join).
    #[inline]
    #[must_use]
    pub fn prefix(&self) -> u32 {
        if self.start == 0 { used_len(self.whole_until) } else { 0 }
    }

    /// Returns the position up to which everything was written from the one that it began at.
    #[inline(always)]
    pub(crate) const fn whole_until(&self) -> u64 {
        self.whole_until
    }

    /// Returns how many bytes were written, with or without holes between them.
    #[inline]
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Returns how many bytes of the writable half lie before here: those that were written or skipped, and those
    /// before the part that this is.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Looks ahead: how much room there is from here on.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end of it.
    pub fn remaining(&self) -> Result<Remaining, ChainError> {
        let Some(chain) = &*self.chain else { return Ok(Remaining::default()) };
        self.cursor.remaining(chain)
    }

    #[inline]
    pub(crate) fn chain(&self) -> Option<&C> {
        self.chain.as_ref()
    }

    #[inline]
    pub(crate) fn chain_mut(&mut self) -> &mut Option<C> {
        &mut self.chain
    }

    #[inline]
    pub(crate) const fn cursor(&self) -> &Cursor<C::Place> {
        &self.cursor
    }

    /// Returns the chain and the position in it, unless the chain was returned.
    pub(crate) fn parts_mut(&mut self) -> Option<(&C, &mut Cursor<C::Place>)> {
        Some((self.chain.as_ref()?, &mut self.cursor))
    }
}

/// Returns what the driver is told of so many bytes (SPLIT-USED-9).
#[inline]
pub(crate) fn used_len(written: u64) -> u32 {
    u32::try_from(written).unwrap_or(u32::MAX)
}

impl<C: ChainElements> fmt::Debug for Writer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("id", &self.chain.as_ref().map(C::id))
            .field("cursor", &self.cursor)
            .field("prefix", &self.prefix())
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
