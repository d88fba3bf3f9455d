//! Moves bytes without a copy in between.

use core::{error, fmt};

use virtio_mem_traits::IoVec;
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;
use crate::pieces::Pieces;

/// The number of pieces that is enough for most transfers.
const FEW: usize = 4;

/// The number of pieces that is enough for most of the other transfers.
const MANY: usize = 32;

/// The largest number of pieces in one call: the pages of 1 MiB, which is the largest request of many drivers.
const MOST: usize = 256;

/// The result of a step of a transfer.
enum Step {
    /// All bytes that `work` got were moved. More bytes can follow.
    All,
    /// No bytes are left, or not all bytes were moved.
    Last,
    /// There are more pieces than there was room for. `work` got none.
    TooMany,
}

impl<P: Clone> Cursor<P> {
    /// Passes pieces to `work`, of at most `limit` bytes in total, until `work` moves fewer bytes than it got.
    // PERF: only a transfer of many pieces makes room for many, which are 32 bytes each (`payload-read-64`, transfer).
    pub(crate) fn transfer<E>(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
        mut work: impl FnMut(&[IoVec]) -> Result<usize, E>,
    ) -> Result<u64, TransferFailed<E>> {
        let start = self.position();
        loop {
            let left = limit - (self.position() - start);
            let mut step = self.transfer_pieces::<FEW, _>(chain, left, &mut work);
            if let Ok(Step::TooMany) = step {
                step = self.transfer_pieces::<MANY, _>(chain, left, &mut work);
            }
            if let Ok(Step::TooMany) = step {
                step = self.transfer_pieces::<MOST, _>(chain, left, &mut work);
            }
            let moved = self.position() - start;
            match step.map_err(|cause| TransferFailed { moved, cause })? {
                Step::All if moved < limit => {}
                _ => return Ok(moved),
            }
        }
    }

    /// Passes up to `N` pieces to `work`, once.
    fn transfer_pieces<const N: usize, E>(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
        work: &mut impl FnMut(&[IoVec]) -> Result<usize, E>,
    ) -> Result<Step, TransferCause<E>> {
        let mut pieces = Pieces::<N>::new();
        let ahead = self.gather(chain, limit, &mut pieces)?;
        if pieces.len == 0 {
            return Ok(Step::Last);
        }
        if pieces.is_full() && N < MOST {
            return Ok(Step::TooMany);
        }
        pieces.before_transfer(chain.mem(), self.access());
        let count = work(pieces.io_vecs()).map_err(TransferCause::Work)?;
        if count > pieces.len {
            return Err(TransferCause::TooMuch { claimed: count, lent: pieces.len });
        }
        pieces.after_transfer(chain.mem(), self.access(), count);
        if count < pieces.len {
            self.pass_moved(chain, count as u64);
            return Ok(Step::Last);
        }
        *self = ahead;
        Ok(Step::All)
    }
}

/// The error of a transfer, with the number of bytes that it moved before.
///
/// The reader or writer is after the moved bytes. So an interrupted transfer can continue.
///
/// ```
/// use std::io;
/// use virtio_chain::{TransferCause, TransferFailed};
///
/// let failed = TransferFailed { moved: 512, cause: TransferCause::Work(io::Error::from(io::ErrorKind::Interrupted)) };
/// assert_eq!(failed.to_string(), "operation interrupted, after 512 bytes were moved");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferFailed<E> {
    /// The number of bytes that were moved and counted.
    pub moved: u64,
    /// The reason of the failure.
    pub cause: TransferCause<E>,
}

/// The reason why a transfer failed.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(8)).unwrap();
/// use virtio_chain::{TransferCause, WritableChain};
///
/// let mut chain = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// let failed = chain.transfer(8, |_| Err("the disk is gone")).unwrap_err();
/// assert_eq!((failed.moved, failed.cause), (0, TransferCause::Work("the disk is gone")));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferCause<E> {
    /// The chain is malformed after the moved bytes.
    Chain(ChainError),
    /// The operation failed.
    Work(E),
    /// The operation claimed more bytes than it got. None of these bytes count.
    TooMuch {
        /// The number of bytes that the operation claimed.
        claimed: usize,
        /// The number of bytes that the operation got.
        lent: usize,
    },
}

impl<E> From<ChainError> for TransferCause<E> {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl<E: fmt::Display> fmt::Display for TransferFailed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} bytes were moved", self.cause, self.moved)
    }
}

impl<E: fmt::Display> fmt::Display for TransferCause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) => error.fmt(f),
            Self::Work(error) => error.fmt(f),
            Self::TooMuch { claimed, lent } => {
                write!(f, "{claimed} bytes were claimed, but {lent} were passed on: claim at most {lent}")
            }
        }
    }
}

impl<E: error::Error> error::Error for TransferFailed<E> {}

impl<E: error::Error> error::Error for TransferCause<E> {}
