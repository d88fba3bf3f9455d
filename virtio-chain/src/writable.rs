//! A chain that the device writes.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_queue_core::{Chain, Refused, ReturnError};

use crate::cursor::Cursor;
use crate::error::IncompleteError;
use crate::readable::ReadableChain;
use crate::writer::Writer;
use crate::writer::used_len;

/// A chain whose answer the device writes.
///
/// It is a [`Writer`] that owns the chain. [`return_prefix`](Self::return_prefix) returns the chain to the driver, and
/// so does a drop. The driver learns the number of bytes that were written from the beginning without a hole
/// (SPLIT-USED-4). [`return_written`](Self::return_written) tells the driver another number.
///
/// It is `Send` if the chain is `Send`, in generic code as well. So a task can hold it while it waits.
///
/// [Split](Self::split_last) an answer with several parts, such as a payload and a status, and [join](Self::join) the
/// parts again. Then you can write the last part even if the first part fails.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
/// # driver.add(&DriverChain::new().writable(64)).unwrap();
/// use virtio_chain::WritableChain;
///
/// let mut answer = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// answer.write_all(b"some entropy")?;
/// answer.return_prefix()?;
/// # assert_eq!(driver.reap()?.ok_or("not returned")?.written(), b"some entropy");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct WritableChain<C: Chain> {
    writer: Writer<C>,
}

/// Constructors.
impl<C: Chain> WritableChain<C> {
    /// Starts to write `chain` at its first writable byte. Ignores its readable bytes.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        Self { writer: Writer::of(chain) }
    }

    /// Turns to the writable half, if all readable bytes were read or skipped.
    ///
    /// This is [`ReadableChain::into_writable`] under the name from Fuchsia's `virtio_device`.
    ///
    /// # Errors
    ///
    /// As for [`ReadableChain::into_writable`].
    #[inline]
    pub fn from_readable(readable: ReadableChain<C>) -> Result<Self, IncompleteError> {
        readable.into_writable()
    }

    /// Turns to the writable half, even if readable bytes are left.
    #[inline]
    #[must_use]
    pub fn from_incomplete_readable(readable: ReadableChain<C>) -> Self {
        let (chain, cursor) = readable.into_parts();
        let cursor = cursor.into_writable(chain.as_ref());
        Self { writer: Writer::at(chain, cursor) }
    }

    /// Returns the driver's id of the chain: the index of its head in a split ring, or its Buffer ID in a packed ring.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        // The chain is present unless the memory panicked: each method that returns it consumes `self`, and `try_`
        // variants put a refused one back.
        self.writer.chain().map_or(0, C::id)
    }
}

/// From reading to writing.
impl<C: Chain> ReadableChain<C> {
    /// Turns to the writable half, if all readable bytes were read or skipped.
    ///
    /// To continue with unread bytes, use [`WritableChain::from_incomplete_readable`].
    ///
    /// # Errors
    ///
    /// If readable bytes are left, or the chain is malformed. On an error, the chain was returned with nothing written.
    /// [`try_into_writable`](Self::try_into_writable) keeps it.
    #[inline]
    pub fn into_writable(self) -> Result<WritableChain<C>, IncompleteError> {
        self.try_into_writable().map_err(|refused| refused.error)
    }

    /// Turns to the writable half, as [`into_writable`](Self::into_writable) does. On an error, gives `self` back.
    ///
    /// # Errors
    ///
    /// If readable bytes are left, or the chain is malformed. The error contains `self`, unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().readable(b"too long").writable(1)).unwrap();
    /// use virtio_chain::{ReadableChain, WritableChain};
    ///
    /// let mut request = ReadableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
    /// let _: [u8; 3] = request.read_obj()?;
    /// let mut answer = match request.try_into_writable() {
    ///     Ok(answer) => answer,
    ///     Err(refused) => WritableChain::from_incomplete_readable(refused.chain),
    /// };
    /// answer.write_all(&[0xff])?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_into_writable(self) -> Result<WritableChain<C>, Refused<Self, IncompleteError>> {
        match self.check_read() {
            Ok(()) => Ok(WritableChain::from_incomplete_readable(self)),
            Err(error) => Err(Refused { chain: self, error }),
        }
    }
}

/// Returns of the chain.
impl<C: Chain> WritableChain<C> {
    /// Returns the chain, unchanged.
    ///
    /// The chain does not know how many bytes were written. A drop of the chain reports 0 bytes to the driver.
    ///
    /// Returns `None` if the memory panicked in an earlier read or write: the chain was dropped then.
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(64)).unwrap();
    /// # use virtio_chain::WritableChain;
    /// let mut answer = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
    /// answer.write_all(b"later")?;
    /// let written = answer.prefix();
    /// let token = answer.into_chain().ok_or("the memory panicked")?.into_token();
    /// queue.complete(token, written)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn into_chain(mut self) -> Option<C> {
        self.writer.chain_mut().take()
    }

    /// Returns the chain to the driver, if all writable bytes were written.
    ///
    /// # Errors
    ///
    /// If some bytes were not written, or the chain is malformed. On such an error, the chain was returned as a drop
    /// does. [`try_return_complete`](Self::try_return_complete) keeps it. If the queue is broken, the chain cannot be
    /// returned.
    #[inline]
    pub fn return_complete(self) -> Result<(), IncompleteError> {
        self.try_return_complete().map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver, as [`return_complete`](Self::return_complete) does. On an error, gives `self`
    /// back.
    ///
    /// # Errors
    ///
    /// If some bytes were not written, the chain is malformed, or the queue is broken. The error contains `self`,
    /// unchanged.
    pub fn try_return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_written() {
            return Err(Refused { chain: self, error });
        }
        let written = self.prefix();
        self.give_back(written)
    }

    /// Returns the chain to the driver, as a drop does. Reports the bytes that were written from the beginning without
    /// a hole.
    ///
    /// # Errors
    ///
    /// If the queue is broken: the chain cannot be returned.
    // PERF: this variant gives nothing back, so that the position is not moved (`request-write-64`).
    #[inline(always)]
    pub fn return_prefix(mut self) -> Result<(), ReturnError> {
        let written = self.prefix();
        let Some(chain) = self.writer.chain_mut().take() else { return Ok(()) };
        chain.return_unchecked(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver, as [`return_prefix`](Self::return_prefix) does. On an error, gives `self` back.
    ///
    /// # Errors
    ///
    /// If the queue is broken. The error contains `self`, unchanged.
    #[inline]
    pub fn try_return_prefix(self) -> Result<(), Refused<Self, ReturnError>> {
        let written = self.prefix();
        self.give_back(written)
    }

    /// Returns the chain to the driver, and reports `len` written bytes.
    ///
    /// Some devices report all written bytes, although there are holes between them. Others report fewer bytes than
    /// they wrote.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes were written. On this error, the chain was returned as a drop does.
    /// [`try_return_written`](Self::try_return_written) keeps it. If the queue is broken, the chain cannot be returned.
    #[inline]
    pub fn return_written(self, len: u32) -> Result<(), IncompleteError> {
        self.try_return_written(len).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver, as [`return_written`](Self::return_written) does. On an error, gives `self`
    /// back.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes were written, or the queue is broken. The error contains `self`, unchanged.
    pub fn try_return_written(self, len: u32) -> Result<(), Refused<Self, IncompleteError>> {
        let written = self.writer.written();
        if u64::from(len) > written {
            return Err(Refused { chain: self, error: IncompleteError::NotWritten { claimed: len, written } });
        }
        self.give_back(len)
    }

    /// Returns the chain and the position in it.
    #[inline]
    pub(crate) fn parts_mut(&mut self) -> Option<(&C, &mut Cursor<C::Place>)> {
        self.writer.parts_mut()
    }

    fn check_written(&self) -> Result<(), IncompleteError> {
        let cursor = self.writer.cursor();
        if let Some(error) = cursor.fault() {
            return Err(error.into());
        }
        let Some(chain) = self.writer.chain() else { return Ok(()) };
        // A tail that was not joined counts as not written.
        let mut left = cursor.remaining_in_half(chain)?;
        left.bytes += cursor.position() - self.writer.written();
        if left.bytes > 0 { Err(IncompleteError::Unwritten(left)) } else { Ok(()) }
    }

    #[inline]
    fn give_back<E: From<ReturnError>>(mut self, written: u32) -> Result<(), Refused<Self, E>> {
        match self.writer.chain_mut().take().map(|chain| chain.return_unchecked(written)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(refused)) => {
                *self.writer.chain_mut() = Some(refused.chain);
                Err(Refused { chain: self, error: refused.error.into() })
            }
        }
    }
}

/// Returns the chain, and reports the bytes that were written from the beginning without a hole.
impl<C: Chain> Drop for WritableChain<C> {
    #[inline(always)]
    fn drop(&mut self) {
        let written = self.writer.whole_until();
        if let Some(chain) = self.writer.chain_mut().take() {
            give_up(chain, written);
        }
    }
}

/// Returns a chain on a drop.
#[inline(never)]
fn give_up(chain: impl Chain, written: u64) {
    // A broken queue refuses the chain. It has reported its fault, or will report it.
    let _ = chain.return_unchecked(used_len(written));
}

impl<C: Chain> Deref for WritableChain<C> {
    type Target = Writer<C>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.writer
    }
}

impl<C: Chain> DerefMut for WritableChain<C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.writer
    }
}

impl<C: Chain> fmt::Debug for WritableChain<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WritableChain").field(&self.writer).finish()
    }
}
