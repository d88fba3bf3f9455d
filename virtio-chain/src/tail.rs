//! The last part of an answer, which can be written even if the part before it fails.

use core::fmt;

use virtio_queue_core::{Chain, ChainElements};

use crate::cursor::Cursor;
use crate::error::{JoinError, TransferError};
use crate::writable::WritableChain;

/// The last bytes of an answer, such as a status after a payload. The device writes them later.
///
/// [`WritableChain::split_last`] or [`WritableChain::split_at`] creates it. [`WritableChain::join`] gives it back to
/// the same chain, which then continues at the tail.
///
/// A tail is plain data: it borrows nothing, and can be sent to another thread. So you can store it next to its chain.
/// A chain recognises its tail by the id of the chain and by the position. A chain of another queue can have the same
/// id. So keep a tail together with its own chain.
///
/// [`Lent`](crate::Lent) has an example that keeps both.
#[must_use = "join the tail before you write its bytes"]
pub struct Tail<C: ChainElements> {
    id: u16,
    cursor: Cursor<C::Place>,
}

impl<C: ChainElements> Tail<C> {
    /// Returns the position in the writable half at which the tail begins, in bytes.
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }
}

/// Splits and joins.
impl<C: Chain> WritableChain<C> {
    /// Splits after the next `len` bytes. `self` keeps these bytes, and the result is the rest.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before that point. On an error, nothing has
    /// changed.
    pub fn split_at(&mut self, len: u64) -> Result<Tail<C>, TransferError> {
        let (id, missing) = (self.id(), TransferError::Short { wanted: len, available: 0 });
        let (chain, cursor) = self.parts_mut().ok_or(missing)?;
        Ok(Tail { id, cursor: cursor.split_at(chain, len)? })
    }

    /// Splits before the last `len` bytes, such as a status, and returns these bytes. You can write them even if the
    /// bytes before them fail.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before its end. On an error, nothing has changed.
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
    /// // Now the answer ends before the status.
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

    /// Continues at the beginning of `tail`, which was split off from here. This also works after an error.
    ///
    /// If some bytes before `tail` were not written, there is a hole. The used length counts the bytes before the hole
    /// (SPLIT-USED-4).
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it belongs to another chain. On an error, nothing has
    /// changed.
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
    /// // The driver named memory that does not exist.
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
