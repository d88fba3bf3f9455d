//! Writes the writable half of a chain.

mod parts;

use core::borrow::Borrow;
use core::fmt;
use core::mem::ManuallyDrop;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, IoVec};
use virtio_queue_core::{ChainElements, ChainError};
use zerocopy::{Immutable, IntoBytes};

use crate::cursor::Cursor;
use crate::error::{Remaining, TransferError};
use crate::lent::{Lent, SettleError};
use crate::transfer::{TransferCause, TransferFailed};

/// A position in the writable bytes of a chain, or in a part of them.
///
/// A writer counts the written bytes. It also counts the bytes that were written from the beginning without a hole. A
/// driver can read as many bytes from the start of the buffer as the used length says (SPLIT-USED-4).
///
/// Most devices use a writer through [`WritableChain`](crate::WritableChain), which owns its chain and is a
/// `Writer<C>`. [`Writer::new`] borrows a chain, and returns a `Writer<&C>`.
///
/// A writer is the chain with plain data, so it can be held wherever the chain can be. After a
/// [`ChainError`](virtio_queue_core::ChainError), the writer is at its end. After an error of a device's own work in a
/// [`transfer`](Self::transfer), it is after the moved bytes. [Split off](crate::WritableChain::split_last) a part that
/// you must write after an error, such as a status, before you write the rest.
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
/// // The writer borrows the chain. Return the chain with the written length.
/// let len = writer.prefix();
/// chain.return_written(len)?;
/// # assert_eq!(driver.reap()?.ok_or("not returned")?.written(), b"\x05\0\0\0hello");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Writer<C: ChainElements> {
    /// `None` after the chain was returned. The return consumes the owner of the writer. A
    /// [`WritableChain`](crate::WritableChain) returns the chain on its drop. Other owners only borrow a chain.
    ///
    /// PERF: after that drop, no field needs a drop. So the compiler can inline the drop everywhere, and the position
    /// needs no address (`request-write-64`).
    chain: ManuallyDrop<Option<C>>,
    cursor: Cursor<C::Place>,
    /// The number of written bytes.
    written: u64,
    /// The start position, and the position up to which all bytes after the start were written.
    start: u64,
    whole_until: u64,
}

/// Copies.
impl<C: ChainElements> Writer<C> {
    #[inline]
    pub(crate) fn of(chain: C) -> Self {
        let cursor = Cursor::new(&chain, Access::Write);
        Self::at(Some(chain), cursor)
    }

    #[inline]
    pub(crate) fn at(chain: Option<C>, cursor: Cursor<C::Place>) -> Self {
        let start = cursor.position();
        Self { chain: ManuallyDrop::new(chain), cursor, written: 0, start, whole_until: start }
    }

    /// Records that the `len` bytes before the position were written.
    #[inline]
    fn wrote(&mut self, len: u64) {
        let before = self.cursor.position() - len;
        if self.whole_until == before {
            self.whole_until = self.cursor.position();
        }
        self.written += len;
    }

    /// Copies `buf` to the next bytes, and returns the number of copied bytes. It is less than `buf.len()` only at the
    /// end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point. The bytes that were copied before it count as written.
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

    /// Copies `buf` to the next bytes, up to a fault. The next call reports the fault. If no bytes lie before the
    /// fault, this call reports it.
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
    /// If the chain has too little room, or is malformed before that point. The bytes that were copied before it count
    /// as written.
    #[inline(always)]
    pub fn write_all(&mut self, buf: &[u8]) -> Result<(), TransferError> {
        let available = self.write(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Writes `object` to the next bytes. The driver can have cut them in any way.
    ///
    /// The fields of an object must be little-endian types, not integers of the machine: VIRTIO 1.4 §1.4 "Structure
    /// Specifications".
    ///
    /// # Errors
    ///
    /// If the chain has too little room, or is malformed before that point. The bytes that were copied before it count
    /// as written.
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
    /// // Derive all three traits, so that another device or a test can read the struct.
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

    /// Sets the next `len` bytes to `value`, and returns the number of set bytes. It is less than `len` only at the
    /// end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point. The bytes that were set before it count as written.
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

/// Access to pieces, without a copy.
impl<C: ChainElements> Writer<C> {
    /// Passes the next contiguous piece, of at most `limit` bytes, to `work`. Returns the number of bytes that `work`
    /// wrote, or 0 at the end.
    ///
    /// `work` must return how many bytes it wrote, counted from the first byte. The writer moves on by these bytes, and
    /// counts them as written.
    ///
    /// # Errors
    ///
    /// If the chain is malformed at the next byte, if `work` fails, or if `work` claims more bytes than it got. On an
    /// error, the writer has not moved.
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

    /// Passes the next bytes, at most `limit`, to `work` as pieces for `readv` or a similar call. Returns the number of
    /// written bytes.
    ///
    /// `work` must return how many bytes it wrote, counted from the first byte. One call gets at most
    /// 256 pieces, which is 1 MiB in pages. `work` is called again while it writes all bytes that it gets. When it
    /// writes fewer bytes, the transfer ends. The writer is then after the written bytes. Only these bytes count as
    /// written, and only these are reported to the memory.
    ///
    /// # Errors
    ///
    /// If `work` fails, if `work` claims more bytes than it got, or if the chain is malformed. The error contains the
    /// number of bytes that earlier calls wrote. These bytes count as written, and the writer is after them.
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
    /// // The file has only 700 bytes.
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

    /// Lends the next bytes, at most `limit`, to an operation that ends later. Lends at most [32](Lent::MAX_PIECES)
    /// pieces. The writer moves on when you [settle](Self::settle) them.
    ///
    /// # Errors
    ///
    /// If the chain is malformed at the next byte. If it is malformed later, the pieces end there.
    pub fn lend(&mut self, limit: u64) -> Result<Lent, ChainError> {
        let mut lent = Lent::new();
        self.lend_into(limit, &mut lent).map(|()| lent)
    }

    /// Lends the next bytes as [`lend`](Self::lend) does, and puts the pieces into `lent`, in place of those before. A
    /// `Lent` has more than 500 bytes: use this for one in a box, which is not moved then.
    ///
    /// # Errors
    ///
    /// As for [`lend`](Self::lend). Then `lent` is empty.
    pub fn lend_into(&mut self, limit: u64, lent: &mut Lent) -> Result<(), ChainError> {
        lent.clear();
        let Some(chain) = &*self.chain else { return Ok(()) };
        self.cursor.lend(chain, limit, lent)
    }

    /// Moves on by the first `count` bytes of `lent`, and counts them as written.
    ///
    /// Only these bytes count as written. They are reported to the memory, even if the driver has changed the chain
    /// since.
    ///
    /// # Errors
    ///
    /// If `lent` belongs to another writer or position, or has fewer than `count` bytes. On an error, nothing has
    /// changed.
    ///
    /// # Examples
    ///
    /// This example is short. [`Lent`] has an example that keeps the chain until the operation ends.
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
    pub fn settle(&mut self, lent: impl Borrow<Lent>, count: usize) -> Result<(), SettleError> {
        let Some(chain) = &*self.chain else { return Ok(()) };
        self.cursor.settle(chain, lent.borrow(), count)?;
        self.wrote(count as u64);
        Ok(())
    }
}

/// Positions and counts.
impl<C: ChainElements> Writer<C> {
    /// Skips the next `len` bytes without writing them, and returns the number of skipped bytes. It is less than `len`
    /// only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point.
    #[inline]
    pub fn skip(&mut self, len: u64) -> Result<u64, ChainError> {
        let Some(chain) = &*self.chain else { return Ok(0) };
        self.cursor.skip(chain, len)
    }

    /// Returns the used length for the driver: the number of bytes written from the beginning of the writable half
    /// without a hole.
    ///
    /// Return the chain with this length. The largest chain has 2^32 bytes, but the largest used length is 2^32 - 1
    /// (SPLIT-USED-9). A part that was [split off](Self::split_at) does not know about the bytes before it. Its prefix
    /// is 0 until it is [joined](Self::join).
    #[inline]
    #[must_use]
    pub fn prefix(&self) -> u32 {
        if self.start == 0 { used_len(self.whole_until) } else { 0 }
    }

    /// Returns the position up to which all bytes after the start position were written.
    #[inline(always)]
    pub(crate) const fn whole_until(&self) -> u64 {
        self.whole_until
    }

    /// Returns the number of written bytes, including bytes after holes.
    #[inline]
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Returns the position in the writable half, in bytes from its beginning. It counts bytes that were written or
    /// skipped, and bytes before this part.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Looks ahead, and returns the amount of room that is left.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end.
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

    /// Returns the chain and the position. Returns `None` if the chain was returned.
    pub(crate) fn parts_mut(&mut self) -> Option<(&C, &mut Cursor<C::Place>)> {
        Some((self.chain.as_ref()?, &mut self.cursor))
    }
}

/// Returns the used length for a number of bytes. It is limited to 2^32 - 1 (SPLIT-USED-9).
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
