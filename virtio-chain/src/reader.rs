//! Reading.

use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, IoVec};
use virtio_queue_core::{ChainElements, ChainError};
use zerocopy::{FromBytes, IntoBytes};

use crate::cursor::Cursor;
use crate::{Lent, Remaining, SettleError, TransferError, TransferFailed};

/// The readable bytes of a chain, or a part of them, from a position on.
///
/// Most devices use it through [`ReadableChain`](crate::ReadableChain), which owns its chain and is a `Reader<C>`.
/// [`Reader::new`] makes one of a borrowed chain, `Reader<&C>`.
///
/// It is plain data beside its chain, so it can be held wherever the chain can be. After an error it is at its end.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().readable(b"\x05\0\0\0he").readable(b"llo")).unwrap();
/// use virtio_chain::Reader;
/// use virtio_chain::zerocopy::little_endian::U32;
///
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// let mut reader = Reader::new(&chain);
/// let len: U32 = reader.read_obj()?;
/// let mut text = vec![0; len.get().min(64) as usize];
/// reader.read_exact(&mut text)?;
/// assert_eq!(text, b"hello");
/// chain.return_written(0)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Reader<C: ChainElements> {
    /// `None` while a read goes on in several pieces, or if that panicked.
    chain: Option<C>,
    cursor: Cursor<C::Place>,
}

/// Readers of a borrowed chain, and their parts.
impl<'c, C: ChainElements + ?Sized> Reader<&'c C> {
    /// Returns the readable half of `chain`, from its beginning.
    #[inline]
    #[must_use]
    pub fn new(chain: &'c C) -> Self {
        Self::of(chain)
    }

    /// Cuts off what lies more than `len` bytes further on, and returns it.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"headpayload")).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Reader;
    /// let mut header = Reader::new(&chain);
    /// let mut payload = header.split_at(4)?;
    /// assert_eq!(payload.read_obj(), Ok(*b"payload"));
    /// assert_eq!(header.read(&mut [0; 64]), Ok(4));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(chain, self.cursor.split_at(&chain, len)?))
    }

    /// Cuts off the last `len` bytes, and returns them.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before its end. Nothing has changed then.
    pub fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(chain, self.cursor.split_last(&chain, len)?))
    }
}

/// Copies.
impl<C: ChainElements> Reader<C> {
    #[inline]
    pub(crate) fn of(chain: C) -> Self {
        let cursor = Cursor::new(&chain, Access::Read);
        Self::at(chain, cursor)
    }

    #[inline]
    pub(crate) const fn at(chain: C, cursor: Cursor<C::Place>) -> Self {
        Self { chain: Some(chain), cursor }
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (C, Cursor<C::Place>) {
        match self.chain {
            Some(chain) => (chain, self.cursor),
            None => unreachable!("a read that has ended has put the chain back"),
        }
    }

    /// Copies the next bytes into `buf`, and returns how many: fewer than it holds only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that. What was copied by then is in `buf`, and the [position](Self::position)
    /// is behind it.
    #[inline(always)]
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        let Some(chain) = &self.chain else { return Ok(0) };
        if self.cursor.read_whole(chain, buf).is_some() {
            return Ok(buf.len());
        }
        let Some(chain) = self.chain.take() else { return Ok(0) };
        let after = self.cursor.clone().read_pieces(chain, buf);
        (self.chain, self.cursor) = (Some(after.chain), after.cursor);
        after.result
    }

    /// Copies the next bytes into `buf` up to a fault, which the next call reports unless there are none before it.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn read_up_to_fault(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        let start = self.position();
        match self.read(buf) {
            Ok(count) => Ok(count),
            Err(error) => self.cursor.moved_before(start, error),
        }
    }

    /// Copies the next bytes into `buf` as if zeroes without end followed the last, and returns how many came from the
    /// chain.
    ///
    /// For commands that grow from one version of the specification to the next: VIRTIO 1.4 §2.13.1 "Device
    /// Requirements: Group administration commands" (USER-2).
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
    /// If there are not as many, or the chain is malformed before that. The reader is then behind what was copied.
    #[inline(always)]
    pub fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), TransferError> {
        let available = self.read(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Returns a copy of the object that comes next, however the driver has cut it.
    ///
    /// The fields of an object must be little-endian types, not integers of the machine: VIRTIO 1.4 §1.4 "Structure
    /// Specifications".
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. The reader is then behind what was
    /// copied.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"\x01\0\0\0\0\x02\0\0\0\0\0\0")).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// use virtio_chain::Reader;
    /// use virtio_chain::zerocopy::little_endian::{U32, U64};
    /// use virtio_chain::zerocopy::{FromBytes, Immutable, IntoBytes};
    ///
    /// // All three: what can be read can be written as well, by another device or in a test.
    /// #[derive(FromBytes, Immutable, IntoBytes)]
    /// #[zerocopy(crate = "virtio_chain::zerocopy")]
    /// #[repr(C)]
    /// struct Header {
    ///     request: U32,
    ///     sector: U64,
    /// }
    ///
    /// let header: Header = Reader::new(&chain).read_obj()?;
    /// assert_eq!((header.request.get(), header.sector.get()), (1, 0x200));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn read_obj<T: FromBytes + IntoBytes>(&mut self) -> Result<T, TransferError> {
        let mut object = T::new_zeroed();
        self.read_exact(object.as_mut_bytes())?;
        Ok(object)
    }
}

/// Pieces, without a copy.
impl<C: ChainElements> Reader<C> {
    /// Takes the next bytes, of `limit` at most, that lie in one piece, or `None` at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"abc").readable(b"defgh")).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Reader;
    /// let mut reader = Reader::new(&chain);
    /// let mut sum = 0_u32;
    /// while let Some(piece) = reader.next_with_limit(4)? {
    ///     let mut bytes = [0; 4];
    ///     piece.read_bytes(0, &mut bytes[..piece.len()])?;
    ///     sum += bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    /// }
    /// assert_eq!(sum, b"abcdefgh".iter().map(|byte| u32::from(*byte)).sum());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn next_with_limit(&mut self, limit: usize) -> Result<Option<DeviceRange<'_>>, ChainError> {
        let Some(chain) = &self.chain else { return Ok(None) };
        let Some((range, piece)) = self.cursor.take(chain, limit)? else { return Ok(None) };
        chain.mem().before_read(range);
        Ok(Some(piece))
    }

    /// Hands the next bytes, `limit` at most, to `work` as pieces for `writev` and the like, and returns how many it
    /// moved.
    ///
    /// `work` returns how many bytes it moved, from the first one on. It is called again with the next pieces for as
    /// long as it moves all that it is handed, [32](Lent::MAX_PIECES) pieces at a time. Where it moves fewer, the
    /// transfer ends, and the reader is behind what was moved.
    ///
    /// # Errors
    ///
    /// If `work` fails, if it says that it moved more than it was handed, or if the chain is malformed. What was moved
    /// by earlier calls is in the error, and the reader is behind it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"abc").readable(b"defgh")).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// use std::io;
    /// use virtio_chain::{IoVec, Reader};
    ///
    /// # fn writev(pieces: &[IoVec]) -> io::Result<usize> { Ok(pieces.iter().map(IoVec::len).sum()) }
    /// let moved = Reader::new(&chain).transfer(7, |pieces| {
    ///     assert_eq!(pieces.len(), 2);
    ///     writev(pieces) // libc::writev(fd, pieces.as_ptr().cast(), pieces.len() as _)
    /// })?;
    /// assert_eq!(moved, 7);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn transfer<E>(
        &mut self,
        limit: u64,
        work: impl FnMut(&[IoVec]) -> Result<usize, E>,
    ) -> Result<u64, TransferFailed<E>> {
        let Some(chain) = &self.chain else { return Ok(0) };
        self.cursor.transfer(chain, limit, work)
    }

    /// Lends the next bytes, `limit` at most, as pieces to work that ends later: at most [32](Lent::MAX_PIECES) pieces.
    /// The reader moves on when they are [settled](Self::settle).
    ///
    /// # Errors
    ///
    /// If the chain is malformed at the next byte. If it is so further on, the pieces end there.
    pub fn lend(&mut self, limit: u64) -> Result<Lent, ChainError> {
        let Some(chain) = &self.chain else { return Ok(Lent::nothing()) };
        self.cursor.lend(chain, limit)
    }

    /// Moves on by the first `count` bytes of what was lent here.
    ///
    /// # Errors
    ///
    /// If `lent` is of another reader or another position, or has fewer than `count` bytes. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"abc").readable(b"defgh")).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Reader;
    /// let mut reader = Reader::new(&chain);
    /// let lent = reader.lend(u64::MAX)?;
    /// // Of the 8 bytes, 6 were sent.
    /// reader.settle(lent, 6)?;
    /// assert_eq!(reader.read_obj(), Ok(*b"gh"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "what was lent is settled once")]
    pub fn settle(&mut self, lent: Lent, count: usize) -> Result<(), SettleError> {
        let Some(chain) = &self.chain else { return Ok(()) };
        self.cursor.settle(chain, &lent, count)
    }
}

/// Places.
impl<C: ChainElements> Reader<C> {
    /// Passes over the next `len` bytes, and returns how many: fewer only at the end. The memory need not be there.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that.
    #[inline]
    pub fn skip(&mut self, len: u64) -> Result<u64, ChainError> {
        let Some(chain) = &self.chain else { return Ok(0) };
        self.cursor.skip(chain, len)
    }

    /// Returns how many bytes of the readable half lie before here: those that were read or skipped, and those before
    /// the part that this is.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Looks ahead: how much there is from here on.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end of it.
    pub fn remaining(&self) -> Result<Remaining, ChainError> {
        let Some(chain) = &self.chain else { return Ok(Remaining::default()) };
        self.cursor.remaining(chain)
    }

    #[inline]
    pub(crate) const fn chain(&self) -> Option<&C> {
        self.chain.as_ref()
    }

    #[inline]
    pub(crate) const fn cursor(&self) -> &Cursor<C::Place> {
        &self.cursor
    }
}

impl<C: ChainElements> fmt::Debug for Reader<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("id", &self.chain.as_ref().map(C::id)).field("cursor", &self.cursor).finish()
    }
}
