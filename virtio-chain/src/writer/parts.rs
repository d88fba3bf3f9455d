//! Writers of a borrowed chain, and their parts.

use core::ptr;

use virtio_queue_core::{ChainElements, Refused};

use super::Writer;
use crate::{JoinError, TransferError};

/// Writers of a borrowed chain, and their parts.
impl<'c, C: ChainElements + ?Sized> Writer<&'c C> {
    /// Returns the writable half of `chain`, from its beginning.
    #[inline]
    #[must_use]
    pub fn new(chain: &'c C) -> Self {
        Self::of(chain)
    }

    /// Cuts off what lies more than `len` bytes further on, and returns it.
    ///
    /// To have what is written there counted, [`join`](Self::join) the two again.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before that. Nothing has changed then.
    pub fn split_at(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(chain, self.cursor.split_at(&chain, len)?))
    }

    /// Cuts off the last `len` bytes, such as a status, and returns them. They can be written even where what lies
    /// before them is in memory that is not there.
    ///
    /// # Errors
    ///
    /// If there are not as many bytes, or the chain is malformed before its end. Nothing has changed then.
    pub fn split_last(&mut self, len: u64) -> Result<Self, TransferError> {
        let available = TransferError::Short { wanted: len, available: 0 };
        let chain = self.chain.ok_or(available)?;
        Ok(Self::at(chain, self.cursor.split_last(&chain, len)?))
    }

    /// Goes on where `tail` is, which was split off here.
    ///
    /// What was written there counts as if it had been written here. If this part was not written to its end, there is
    /// a hole before `tail`.
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it is of another chain. What was written there does not
    /// count then; [`try_join`](Self::try_join) keeps it.
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

    /// Goes on where `tail` is as [`join`](Self::join) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If `tail` does not begin where this part ends, or if it is of another chain. It is in the error then, and
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
