//! Reads the readable half of a chain.

use core::borrow::Borrow;
use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, IoVec};
use virtio_queue_core::{ChainElements, ChainError};
use zerocopy::{FromBytes, IntoBytes};

use crate::cursor::Cursor;
use crate::error::{Remaining, TransferError};
use crate::lent::{Lent, SettleError};
use crate::transfer::TransferFailed;

/// A position in the readable bytes of a chain, or in a part of them.
///
/// Most devices use a reader through [`ReadableChain`](crate::ReadableChain), which owns its chain and is a
/// `Reader<C>`. [`Reader::new`] borrows a chain, and returns a `Reader<&C>`.
///
/// A reader is the chain with plain data, so it can be held wherever the chain can be. After a
/// [`ChainError`](virtio_queue_core::ChainError), the reader is at its end. After an error of a device's own work in a
/// [`transfer`](Self::transfer), it is after the moved bytes.
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
    /// `None` during a read in several pieces, or after such a read panicked.
    chain: Option<C>,
    cursor: Cursor<C::Place>,
}

/// Readers of a borrowed chain, and splits.
impl<'c, C: ChainElements + ?Sized> Reader<&'c C> {
    /// Starts to read `chain` at its beginning.
    #[inline]
    #[must_use]
    pub fn new(chain: &'c C) -> Self {
        Self::of(chain)
    }

    /// Splits after the next `len` bytes. `self` keeps these bytes, and the result has the rest.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before that point. On an error, nothing has
    /// changed.
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

    /// Splits before the last `len` bytes, and returns these bytes.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before its end. On an error, nothing has changed.
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
    pub(crate) fn into_parts(self) -> (Option<C>, Cursor<C::Place>) {
        (self.chain, self.cursor)
    }

    /// Copies the next bytes into `buf`, and returns their number. It is less than `buf.len()` only at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point. The bytes before it are in `buf`, and the
    /// [position](Self::position) is after them.
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

    /// Copies the next bytes into `buf`, up to a fault. The next call reports the fault. If no bytes lie before the
    /// fault, this call reports it.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn read_up_to_fault(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        let start = self.position();
        match self.read(buf) {
            Ok(count) => Ok(count),
            Err(error) => self.cursor.moved_before(start, error),
        }
    }

    /// Copies the next bytes into `buf`, and fills the rest of `buf` with zeros. Returns the number of bytes from the
    /// chain.
    ///
    /// Use it for commands that grow from one version of the specification to the next: VIRTIO 1.4 §2.13.1 "Device
    /// Requirements: Group administration commands" (USER-2).
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point.
    pub fn read_padded(&mut self, buf: &mut [u8]) -> Result<usize, ChainError> {
        buf.fill(0);
        self.read(buf)
    }

    /// Fills all of `buf` with the next bytes.
    ///
    /// # Errors
    ///
    /// If fewer bytes are left, or the chain is malformed before that point. The reader is then after the copied bytes.
    #[inline(always)]
    pub fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), TransferError> {
        let available = self.read(buf)?;
        TransferError::unless_whole(buf.len(), available)
    }

    /// Reads the next object. The driver can have cut its bytes in any way.
    ///
    /// The fields of an object must be little-endian types, not integers of the machine: VIRTIO 1.4 §1.4 "Structure
    /// Specifications".
    ///
    /// # Errors
    ///
    /// If fewer bytes are left, or the chain is malformed before that point. The reader is then after the copied bytes.
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
    /// // Derive all three traits, so that another device or a test can write the struct.
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

/// Access to pieces, without a copy.
impl<C: ChainElements> Reader<C> {
    /// Takes the next contiguous piece, of at most `limit` bytes. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// If the chain is malformed at the next byte.
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

    /// Passes the next bytes, at most `limit`, to `work` as pieces for `writev` or a similar call. Returns the number
    /// of moved bytes.
    ///
    /// `work` must return how many bytes it moved, counted from the first byte. One call gets at most
    /// 256 pieces, which is 1 MiB in pages. `work` is called again while it moves all bytes that it gets. When it moves
    /// fewer bytes, the transfer ends. The reader is then after the moved bytes.
    ///
    /// # Errors
    ///
    /// If `work` fails, if `work` claims more bytes than it got, or if the chain is malformed. The error contains the
    /// number of bytes that earlier calls moved, and the reader is after these bytes.
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

    /// Lends the next bytes, at most `limit`, to an operation that ends later. Lends at most [32](Lent::MAX_PIECES)
    /// pieces. The reader moves on when you [settle](Self::settle) them.
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
        let Some(chain) = &self.chain else { return Ok(()) };
        self.cursor.lend(chain, limit, lent)
    }

    /// Moves on by the first `count` bytes of `lent`.
    ///
    /// # Errors
    ///
    /// If `lent` belongs to another reader or position, or has fewer than `count` bytes. On an error, nothing has
    /// changed.
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
    /// // The operation sent 6 of the 8 bytes.
    /// reader.settle(lent, 6)?;
    /// assert_eq!(reader.read_obj(), Ok(*b"gh"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn settle(&mut self, lent: impl Borrow<Lent>, count: usize) -> Result<(), SettleError> {
        let Some(chain) = &self.chain else { return Ok(()) };
        self.cursor.settle(chain, lent.borrow(), count)
    }
}

/// Positions.
impl<C: ChainElements> Reader<C> {
    /// Skips the next `len` bytes, and returns the number of skipped bytes. It is less than `len` only at the end. The
    /// memory of the skipped bytes does not need to exist.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before that point.
    #[inline]
    pub fn skip(&mut self, len: u64) -> Result<u64, ChainError> {
        let Some(chain) = &self.chain else { return Ok(0) };
        self.cursor.skip(chain, len)
    }

    /// Returns the position in the readable half, in bytes from its beginning. It counts bytes that were read or
    /// skipped, and bytes before this part.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// Looks ahead, and returns the amount of data that is left.
    ///
    /// # Errors
    ///
    /// If the chain is malformed before the end.
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
