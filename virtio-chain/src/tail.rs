//! What an answer goes on with after the part before it, whatever becomes of that part.

use core::fmt;

use virtio_queue_core::{Chain, ChainElements};

use crate::cursor::Cursor;
use crate::{JoinError, TransferError, WritableChain};

/// The last bytes of an answer, which are written later: a status behind a payload.
///
/// It is made by [`WritableChain::split_last`] or [`WritableChain::split_at`], and goes back to the same chain, which
/// goes on there: [`WritableChain::join`].
///
/// It is plain data: it borrows nothing, and can be sent to another thread. So it can be kept beside its chain for as
/// long as a request takes. A chain knows its tail by the id of the chain and by the position. Another queue can have a
/// chain of the same id: keep a tail beside its own chain.
///
/// [`Lent`](crate::Lent) has an example that keeps both.
#[must_use = "the bytes of a tail are written after it was joined"]
pub struct Tail<C: ChainElements> {
    id: u16,
    cursor: Cursor<C::Place>,
}

impl<C: ChainElements> Tail<C> {
    /// Returns at which byte of the writable half the tail begins.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }
}

/// Its parts.
impl<C: Chain> WritableChain<C> {
    /// Cuts off what lies more than `len` bytes further on, and returns it.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. Nothing has changed then.
    pub fn split_at(&mut self, len: u64) -> Result<Tail<C>, TransferError> {
        let (id, missing) = (self.id(), TransferError::Short { wanted: len, available: 0 });
        let (chain, cursor) = self.parts_mut().ok_or(missing)?;
        Ok(Tail { id, cursor: cursor.split_at(chain, len)? })
    }

    /// Cuts off the last `len` bytes, such as a status, and returns them. They can be written whatever becomes of the
    /// bytes before them.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before its end. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
    /// # driver.add(&DriverChain::new().writable(512).writable(1)).unwrap();
    /// # use virtio_chain::WritableChain;
    /// let mut answer = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
    /// let status = answer.split_last(1)?;
    /// // The answer ends before the status now.
    /// assert_eq!(answer.fill(u64::MAX, 7)?, 512);
    /// answer.join(status)?;
    /// answer.write_all(&[0])?;
    /// answer.return_prefix()?;
    /// # assert_eq!(driver.reap()?.ok_or("not returned")?.len, 513);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn split_last(&mut self, len: u64) -> Result<Tail<C>, TransferError> {
        let (id, missing) = (self.id(), TransferError::Short { wanted: len, available: 0 });
        let (chain, cursor) = self.parts_mut().ok_or(missing)?;
        Ok(Tail { id, cursor: cursor.split_last(chain, len)? })
    }

    /// Goes on at the beginning of `tail`, which was split off here: after an error as well.
    ///
    /// If not all before `tail` was written, there is a hole. The driver is told of what lies before the hole
    /// (SPLIT-USED-4).
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it is of another chain. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let (queue, driver) = (&mut fixture.queue, &mut fixture.driver);
    /// # let hole = driver.pool().alloc(512, 16).ok_or("too small")?;
    /// # driver.add(&DriverChain::new().writable(512).at(hole.start()).writable(1)).unwrap();
    /// # fixture.mem.unmap(hole);
    /// # use virtio_chain::WritableChain;
    /// # let mut answer = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
    /// let status = answer.split_last(1)?;
    /// // The driver has named memory that is not there.
    /// let failed = answer.write_all(&[7; 512]).is_err();
    /// answer.join(status)?;
    /// answer.write_all(&[u8::from(failed)])?;
    /// answer.return_prefix()?;
    /// # let used = driver.reap()?.ok_or("not returned")?;
    /// # assert_eq!((used.len, used.writable().last()), (0, Some(&1)));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&mut self, tail: Tail<C>) -> Result<(), JoinError> {
        let (id, start) = (self.id(), tail.position());
        if tail.id != id {
            return Err(JoinError::OtherChain { tail: tail.id, id });
        }
        match self.parts_mut() {
            Some((_, cursor)) if cursor.end() == Some(start) => *cursor = tail.cursor,
            parts => return Err(JoinError::Apart { start, end: parts.and_then(|(_, cursor)| cursor.end()) }),
        }
        Ok(())
    }
}

impl<C: ChainElements> fmt::Debug for Tail<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("id", &self.id).field("cursor", &self.cursor).finish()
    }
}
