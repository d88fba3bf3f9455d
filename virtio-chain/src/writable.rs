//! A chain that is being written.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_queue_core::{Chain, Refused, ReturnError};

use crate::cursor::Cursor;
use crate::writer::used_len;
use crate::{IncompleteError, ReadableChain, Writer};

/// A chain, at its writable bytes.
///
/// It is a [`Writer`] that owns the chain. When it returns the chain, it tells the driver how many bytes were written
/// from the beginning on without a hole (SPLIT-USED-4): [`return_prefix`](Self::return_prefix) does that, and so does
/// its drop. [`return_written`](Self::return_written) tells the driver another number.
///
/// It is `Send` whenever the chain is, in generic code as well, so a task can hold it while it waits.
///
/// An answer in parts, such as a payload and a status, is [split](Self::split_last) into them and
/// [joined](Self::join) again, so that the last part can be written whatever becomes of the first.
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

/// How it begins.
impl<C: Chain> WritableChain<C> {
    /// Returns the writable half of `chain`, whatever its readable one holds.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        Self { writer: Writer::of(chain) }
    }

    /// Goes on with the writable half, if all of the readable one was read.
    ///
    /// It is [`ReadableChain::into_writable`], under the name that Fuchsia's `virtio_device` has for it.
    ///
    /// # Errors
    ///
    /// As for [`ReadableChain::into_writable`].
    #[inline]
    pub fn from_readable(readable: ReadableChain<C>) -> Result<Self, IncompleteError> {
        readable.into_writable()
    }

    /// Goes on with the writable half, whether or not all of the readable one was read.
    #[inline]
    #[must_use]
    pub fn from_incomplete_readable(readable: ReadableChain<C>) -> Self {
        let (chain, cursor) = readable.into_parts();
        let cursor = cursor.into_writable(&chain);
        Self { writer: Writer::at(chain, cursor) }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        // Nobody has one whose chain was returned.
        self.writer.chain().map_or(0, C::id)
    }
}

/// How it ends.
impl<C: Chain> WritableChain<C> {
    /// Returns the chain as it was when this was made of it.
    ///
    /// The chain does not know what was written. Its own drop tells the driver of 0 bytes.
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
    /// let token = answer.into_chain().into_token();
    /// queue.complete(token, written)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn into_chain(mut self) -> C {
        match self.writer.chain_mut().take() {
            Some(chain) => chain,
            None => unreachable!("what takes the chain uses up the writable chain that had it"),
        }
    }

    /// Returns the chain to the driver, if all of it was written.
    ///
    /// # Errors
    ///
    /// If there are bytes that were not written, or the chain is malformed. It was returned as its drop does then;
    /// [`try_return_complete`](Self::try_return_complete) keeps it. If the queue is broken, there is nowhere to return
    /// it to.
    #[inline]
    pub fn return_complete(self) -> Result<(), IncompleteError> {
        self.try_return_complete().map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_complete`](Self::return_complete) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If there are bytes that were not written, the chain is malformed, or the queue is broken. The chain is in the
    /// error then, as it was.
    pub fn try_return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_written() {
            return Err(Refused { chain: self, error });
        }
        let written = self.prefix();
        self.give_back(written)
    }

    /// Returns the chain to the driver with what was written from the beginning on without a hole, as its drop does.
    ///
    /// # Errors
    ///
    /// If the queue is broken: there is nowhere to return it to.
    // PERF: the usual case hands nothing back, so that the position need not be moved (`request-write-64`).
    #[inline(always)]
    pub fn return_prefix(mut self) -> Result<(), ReturnError> {
        let written = self.prefix();
        let Some(chain) = self.writer.chain_mut().take() else { return Ok(()) };
        chain.return_unchecked(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_prefix`](Self::return_prefix) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If the queue is broken. The chain is in the error then, as it was.
    #[inline]
    pub fn try_return_prefix(self) -> Result<(), Refused<Self, ReturnError>> {
        let written = self.prefix();
        self.give_back(written)
    }

    /// Returns the chain to the driver, which is told that `len` bytes were written.
    ///
    /// Some devices report all that was written, although there are holes in it; others less than was written.
    ///
    /// # Errors
    ///
    /// If fewer bytes than that were written. The chain was returned as its drop does then;
    /// [`try_return_written`](Self::try_return_written) keeps it. If the queue is broken, there is nowhere to return it
    /// to.
    #[inline]
    pub fn return_written(self, len: u32) -> Result<(), IncompleteError> {
        self.try_return_written(len).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_written`](Self::return_written) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If fewer bytes than `len` were written, or the queue is broken. The chain is in the error then, as it was.
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
        // A tail that was not joined was not written either.
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

/// Returns the chain with what was written from the beginning on without a hole.
impl<C: Chain> Drop for WritableChain<C> {
    #[inline(always)]
    fn drop(&mut self) {
        let written = self.writer.whole_until();
        if let Some(chain) = self.writer.chain_mut().take() {
            give_up(chain, written);
        }
    }
}

/// Returns a chain that was dropped.
#[inline(never)]
fn give_up(chain: impl Chain, written: u64) {
    // A queue that is broken has nowhere to return it to, and has said so or will.
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
