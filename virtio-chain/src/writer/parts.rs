//! Writers of a borrowed chain, with splits and joins.

use core::ptr;

use virtio_queue_core::{ChainElements, Refused};

use super::Writer;
use crate::error::{JoinError, TransferError};

/// Writers of a borrowed chain, with splits and joins.
impl<'c, C: ChainElements + ?Sized> Writer<&'c C> {
    /// Starts to write `chain` at its first writable byte.
    #[inline]
    #[must_use]
    pub fn new(chain: &'c C) -> Self {
        Self::of(chain)
    }

    /// Splits after the next `len` bytes. `self` keeps these bytes, and the result has the rest.
    ///
    /// To count the bytes written in the rest, [`join`](Self::join) the two parts again.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before that point. On an error, nothing has
    /// changed.
    pub fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(Some(chain), self.cursor.split_at(&chain, len)?))
    }

    /// Splits before the last `len` bytes, such as a status, and returns these bytes. You can write them even if the
    /// memory of the bytes before them does not exist.
    ///
    /// # Errors
    ///
    /// If fewer than `len` bytes are left, or the chain is malformed before its end. On an error, nothing has changed.
    pub fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(Some(chain), self.cursor.split_last(&chain, len)?))
    }

    /// Continues at the position of `tail`, which was split off from here.
    ///
    /// The bytes written in `tail` count as if they were written here. If this part was not written to its end, there
    /// is a hole before `tail`.
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it belongs to another chain. On an error, the bytes written
    /// in `tail` do not count. [`try_join`](Self::try_join) keeps `tail`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(513)).unwrap();
    /// # let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// # use virtio_chain::Writer;
    /// let mut payload = Writer::new(&chain);
    /// let mut status = payload.split_last(1)?;
    /// status.write_all(&[0])?;
    /// payload.fill(512, 0xff)?;
    /// payload.join(status)?;
    /// assert_eq!(payload.prefix(), 513);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&mut self, tail: Self) -> Result<(), JoinError> {
        self.try_join(tail).map_err(|refused| refused.error)
    }

    /// Continues at the position of `tail`, as [`join`](Self::join) does. On an error, gives `tail` back.
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it belongs to another chain. The error contains `tail`, and
    /// nothing has changed.
    pub fn try_join(&mut self, tail: Self) -> Result<(), Refused<Self, JoinError>> {
        if let Err(error) = self.check_tail(&tail) {
            return Err(Refused { chain: tail, error });
        }
        if self.whole_until == tail.start {
            self.whole_until = tail.whole_until;
        }
        self.written += tail.written;
        self.cursor = tail.cursor;
        Ok(())
    }

    fn check_tail(&self, tail: &Self) -> Result<(), JoinError> {
        if let (Some(here), Some(there)) = (*self.chain, *tail.chain) {
            if !ptr::addr_eq(here, there) {
                return Err(JoinError::OtherChain { tail: there.id(), id: here.id() });
            }
        }
        match self.cursor.end() {
            Some(end) if end == tail.start => Ok(()),
            end => Err(JoinError::Apart { start: tail.start, end }),
        }
    }
}
