//! A chain that is being read.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_queue_core::{Chain, Refused};

use crate::cursor::Cursor;
use crate::{IncompleteError, Reader, WritableChain};

/// A chain, beginning with its readable bytes.
///
/// It is a [`Reader`] that owns the chain. It turns into a [`WritableChain`], in the order that chains have: first what
/// the driver says, then what the device answers. Dropping it returns the chain with nothing written.
///
/// It is `Send` whenever the chain is, in generic code as well, so a task can hold it while it waits.
///
/// Where one half is read while the other is written, keep the chain and borrow it: [`Reader::new`] and
/// [`Writer::new`](crate::Writer::new).
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
/// # driver.add(&DriverChain::new().readable(b"ping").writable(4)).unwrap();
/// use virtio_chain::ReadableChain;
///
/// let mut request = ReadableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// assert_eq!(request.read_obj(), Ok(*b"ping"));
/// let mut answer = request.into_writable()?;
/// answer.write_all(b"pong")?;
/// answer.return_complete()?;
/// # assert_eq!(driver.reap()?.ok_or("not returned")?.written(), b"pong");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct ReadableChain<C: Chain> {
    reader: Reader<C>,
}

impl<C: Chain> ReadableChain<C> {
    /// Returns the beginning of `chain`.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        Self { reader: Reader::of(chain) }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.reader.chain().map_or(0, C::id)
    }

    /// Returns the chain as it was when this was made of it.
    #[inline]
    #[must_use]
    pub fn into_chain(self) -> C {
        self.reader.into_parts().0
    }

    /// Goes on with the writable half, if all of the readable one was read or skipped.
    ///
    /// To go on whatever was not read, use [`WritableChain::from_incomplete_readable`].
    ///
    /// # Errors
    ///
    /// If there are readable bytes left, or the chain is malformed. It was returned with nothing written then;
    /// [`try_into_writable`](Self::try_into_writable) keeps it.
    #[inline]
    pub fn into_writable(self) -> Result<WritableChain<C>, IncompleteError> {
        self.try_into_writable().map_err(|refused| refused.error)
    }

    /// Goes on with the writable half as [`into_writable`](Self::into_writable) does, or hands the chain back.
    ///
    /// # Errors
    ///
    /// If there are readable bytes left, or the chain is malformed. It is in the error then, as it was.
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

    /// Returns the chain to the driver, if all of it was read or skipped and there is nothing to write.
    ///
    /// # Errors
    ///
    /// If there are readable or writable bytes left, or the chain is malformed. It was returned with nothing written
    /// all the same; [`try_return_complete`](Self::try_return_complete) keeps it. If the queue is broken, there is
    /// nowhere to return it to.
    #[inline]
    pub fn return_complete(self) -> Result<(), IncompleteError> {
        self.try_return_complete().map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_complete`](Self::return_complete) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If there are readable or writable bytes left, the chain is malformed, or the queue is broken. The chain is in
    /// the error then, as it was.
    pub fn try_return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_read().and_then(|()| self.check_nothing_to_write()) {
            return Err(Refused { chain: self, error });
        }
        let (chain, cursor) = self.into_parts();
        chain.return_unchecked(0).map_err(|refused| Refused {
            chain: Self { reader: Reader::at(refused.chain, cursor) },
            error: refused.error.into(),
        })
    }

    fn check_read(&self) -> Result<(), IncompleteError> {
        if let Some(error) = self.reader.cursor().fault() {
            return Err(error.into());
        }
        match self.reader.remaining()? {
            left if left.bytes > 0 => Err(IncompleteError::Unread(left)),
            _ => Ok(()),
        }
    }

    fn check_nothing_to_write(&self) -> Result<(), IncompleteError> {
        let Some(chain) = self.reader.chain() else { return Ok(()) };
        match self.reader.cursor().clone().into_writable(chain).remaining(chain)? {
            left if left.bytes > 0 => Err(IncompleteError::Unwritten(left)),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (C, Cursor<C::Place>) {
        self.reader.into_parts()
    }
}

impl<C: Chain> Deref for ReadableChain<C> {
    type Target = Reader<C>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.reader
    }
}

impl<C: Chain> DerefMut for ReadableChain<C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}

impl<C: Chain> fmt::Debug for ReadableChain<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadableChain").field(&self.reader).finish()
    }
}
