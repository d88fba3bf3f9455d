//! Moving bytes without a copy in between.

use core::{error, fmt};

use virtio_mem_traits::IoVec;
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;
use crate::lent::Lent;
use crate::pieces::Pieces;

/// How many pieces most transfers have.
const FEW: usize = 4;

/// How a step of a transfer has ended.
enum Step {
    /// All that was handed out was moved: there may be more.
    All,
    /// There is no more, or not all was moved.
    Last,
    /// There are more pieces than there was room for. None was handed out.
    TooMany,
}

impl<P: Clone> Cursor<P> {
    /// Hands pieces to `work`, of `limit` bytes together at most, until it moves fewer than it was handed.
    // PERF: room for many pieces is made where there are many (`payload-read-64`, transfer).
    pub(crate) fn transfer<E>(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
        mut work: impl FnMut(&[IoVec]) -> Result<usize, E>,
    ) -> Result<u64, TransferFailed<E>> {
        let start = self.position();
        loop {
            let left = limit - (self.position() - start);
            let step = match self.transfer_pieces::<FEW, _>(chain, left, &mut work) {
                Ok(Step::TooMany) => self.transfer_pieces::<{ Lent::MAX_PIECES }, _>(chain, left, &mut work),
                step => step,
            };
            let moved = self.position() - start;
            match step.map_err(|cause| TransferFailed { moved, cause })? {
                Step::All if moved < limit => {}
                _ => return Ok(moved),
            }
        }
    }

    /// Hands up to `N` pieces to `work`, once.
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
        if pieces.is_full() && N < Lent::MAX_PIECES {
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

/// A transfer that failed, and what it had moved by then.
///
/// The reader or writer is behind what was moved. So a transfer that was interrupted can go on.
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
    /// How many bytes were moved and accounted for.
    pub moved: u64,
    /// Why there are no more.
    pub cause: TransferCause<E>,
}

/// Why a transfer failed.
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
    /// The chain is malformed behind what was moved.
    Chain(ChainError),
    /// The work failed.
    Work(E),
    /// The work says that it moved more than it was handed. None of that counts.
    TooMuch {
        /// How many bytes it says it moved.
        claimed: usize,
        /// How many bytes it was handed.
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
                write!(f, "{claimed} bytes were claimed, and {lent} were handed out: claim no more than that")
            }
        }
    }
}

impl<E: error::Error> error::Error for TransferFailed<E> {}

impl<E: error::Error> error::Error for TransferCause<E> {}
