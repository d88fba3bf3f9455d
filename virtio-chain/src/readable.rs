//! A chain that the device reads.

use core::fmt;
use core::ops::{Deref, DerefMut};

use virtio_queue_core::{Chain, Refused};

use crate::cursor::Cursor;
use crate::error::IncompleteError;
use crate::reader::Reader;

/// A chain whose request the device reads.
///
/// It is a [`Reader`] that owns the chain. After the request, turn it into a [`WritableChain`](crate::WritableChain)
/// for the answer. A drop returns the chain with nothing written.
///
/// It is `Send` if the chain is `Send`, in generic code as well. So a task can hold it while it waits.
///
/// To read one half while you write the other, keep the chain and borrow it: [`Reader::new`] and
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
    /// Starts to read `chain` at its beginning.
    #[inline]
    #[must_use]
    pub fn new(chain: C) -> Self {
        Self { reader: Reader::of(chain) }
    }

    /// Returns the driver's id of the chain: the index of its head in a split ring, or its Buffer ID in a packed ring.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.reader.chain().map_or(0, C::id)
    }

    /// Returns the chain, unchanged. Reading it again starts from its beginning.
    ///
    /// Returns `None` if the memory panicked in an earlier read: the chain was dropped then.
    #[inline]
    #[must_use]
    pub fn into_chain(self) -> Option<C> {
        self.reader.into_parts().0
    }

    /// Returns the chain to the driver, if all readable bytes were read or skipped and it has no writable bytes.
    ///
    /// # Errors
    ///
    /// If readable or writable bytes are left, or the chain is malformed. The chain was still returned, with nothing
    /// written. [`try_return_complete`](Self::try_return_complete) keeps it. If the queue is broken, the chain cannot
    /// be returned.
    #[inline]
    pub fn return_complete(self) -> Result<(), IncompleteError> {
        self.try_return_complete().map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver, as [`return_complete`](Self::return_complete) does. On an error, gives `self`
    /// back.
    ///
    /// # Errors
    ///
    /// If readable or writable bytes are left, the chain is malformed, or the queue is broken. The error contains
    /// `self`, unchanged.
    pub fn try_return_complete(self) -> Result<(), Refused<Self, IncompleteError>> {
        if let Err(error) = self.check_read().and_then(|()| self.check_nothing_to_write()) {
            return Err(Refused { chain: self, error });
        }
        let (Some(chain), cursor) = self.into_parts() else { return Ok(()) };
        chain.return_unchecked(0).map_err(|refused| Refused {
            chain: Self { reader: Reader::at(refused.chain, cursor) },
            error: refused.error.into(),
        })
    }

    pub(crate) fn check_read(&self) -> Result<(), IncompleteError> {
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
        match self.reader.cursor().clone().into_writable(Some(chain)).remaining(chain)? {
            left if left.bytes > 0 => Err(IncompleteError::Unwritten(left)),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn into_parts(self) -> (Option<C>, Cursor<C::Place>) {
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
