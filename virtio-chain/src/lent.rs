//! Pieces that are lent to work that ends later.

use core::{error, fmt};

use virtio_mem_traits::{Access, DriverMem, DriverRange, IoVec};
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;

/// The next pieces of a chain, lent to work that ends later: an io_uring request, or another thread.
///
/// It is made by [`Reader::lend`](crate::Reader::lend) or [`Writer::lend`](crate::Writer::lend), and goes back to the
/// same reader or writer, which moves on and accounts for it: [`Reader::settle`](crate::Reader::settle),
/// [`Writer::settle`](crate::Writer::settle). Until then nothing has moved. If it never goes back, nothing ever does.
///
/// A reader or writer knows what it has lent by its half, its position and the id of its chain. Another queue can have
/// a chain of the same id: keep what was lent beside its own.
///
/// It is plain data: it borrows nothing, and can be sent to another thread. So it can be kept beside the chain that
/// owns the bytes. It keeps nothing alive either. Whoever hands the pieces to the operating system sees to it that the
/// chain is not returned before the work has ended, and that the array stays where it is for as long as the kernel
/// looks at it.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(512).writable(1)).unwrap();
/// use virtio_chain::{Lent, WritableChain};
/// use virtio_queue_core::Chain;
///
/// /// A request whose data is on its way from a disk.
/// struct InFlight<C: Chain> {
///     chain: WritableChain<C>,
///     lent: Lent,
/// }
///
/// let mut chain = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// let payload = chain.remaining()?.bytes - 1;
/// let lent = chain.lend(payload)?;
/// let mut request = InFlight { chain, lent };
///
/// let pieces = request.lent.io_vecs(); // For IORING_OP_READV, which completes with a count.
/// assert_eq!((pieces.len(), request.lent.len()), (1, 512));
/// let count = 512;
///
/// request.chain.settle(request.lent, count)?;
/// request.chain.write_all(&[0])?;
/// request.chain.return_complete()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "what was lent does not count before it is settled"]
pub struct Lent {
    id: u16,
    access: Access,
    /// Where in its half they begin.
    position: u64,
    /// How many bytes there are, and in how many pieces.
    len: usize,
    count: usize,
    io_vecs: [IoVec; Self::MAX_PIECES],
    ranges: [DriverRange; Self::MAX_PIECES],
}

impl Lent {
    /// The most pieces that are lent at a time.
    pub const MAX_PIECES: usize = 32;

    /// The most bytes that are lent at a time: more than that, no system call moves.
    const MAX_BYTES: usize = isize::MAX.unsigned_abs();

    fn new(id: u16, access: Access, position: u64) -> Self {
        let (io_vecs, ranges) = ([IoVec::EMPTY; Self::MAX_PIECES], [DriverRange::EMPTY; Self::MAX_PIECES]);
        Self { id, access, position, len: 0, count: 0, io_vecs, ranges }
    }

    /// Returns nothing, lent by nobody.
    pub(crate) fn nothing() -> Self {
        Self::new(0, Access::Write, 0)
    }

    /// Returns the pieces, in the order in which they lie in the chain.
    #[inline]
    #[must_use]
    pub fn io_vecs(&self) -> &[IoVec] {
        self.io_vecs.get(..self.count).unwrap_or_default()
    }

    /// Returns how many bytes the pieces have together.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no pieces: the reader or writer was at its end, or the limit was 0.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reports to `mem` that the first `count` bytes were written, if they were lent for that.
    pub(crate) fn report(&self, mem: &(impl DriverMem + ?Sized), count: usize) {
        if self.access == Access::Read {
            return;
        }
        let mut left = count as u64;
        for range in self.ranges.iter().take_while(|range| !range.is_empty()) {
            let written = range.prefix(left);
            if written.is_empty() {
                break;
            }
            mem.written(written);
            left -= written.len();
        }
    }
}

impl<P: Clone> Cursor<P> {
    /// Looks ahead at the next pieces, of `limit` bytes together at most, and returns them with the place behind them.
    pub(crate) fn lend(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
    ) -> Result<(Lent, Self), ChainError> {
        let mut lent = Lent::new(chain.id(), self.access(), self.position());
        let mut ahead = self.clone();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(Lent::MAX_BYTES);
        for (io_vec, slot) in lent.io_vecs.iter_mut().zip(&mut lent.ranges) {
            match ahead.take(chain, limit - lent.len) {
                Ok(Some((range, piece))) => {
                    if self.access() == Access::Read {
                        chain.mem().before_read(range);
                    }
                    (*io_vec, *slot) = (piece.into(), range);
                    lent.len += piece.len();
                    lent.count += 1;
                }
                Ok(None) => break,
                Err(error) if lent.count == 0 => {
                    *self = ahead;
                    return Err(error);
                }
                // What lies before it comes first.
                Err(_) => {
                    ahead.put_off_fault();
                    break;
                }
            }
        }
        Ok((lent, ahead))
    }

    /// Moves on by the first `count` bytes of what was lent here, and reports to the memory those that were written.
    pub(crate) fn settle(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        lent: &Lent,
        count: usize,
    ) -> Result<(), SettleError> {
        let id = chain.id();
        if lent.access != self.access() {
            return Err(SettleError::OtherHalf { id: lent.id });
        }
        if (lent.id, lent.position) != (id, self.position()) {
            let (lent_id, lent_position) = (lent.id, lent.position);
            return Err(SettleError::Elsewhere { lent_id, lent_position, id, position: self.position() });
        }
        let allowed = usize::try_from(self.left()).unwrap_or(usize::MAX).min(lent.len);
        if count > allowed {
            return Err(SettleError::TooMuch { claimed: count, lent: allowed });
        }
        lent.report(chain.mem(), count);
        self.pass_moved(chain, count as u64);
        Ok(())
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("id", &self.id)
            .field("access", &self.access)
            .field("position", &self.position)
            .field("io_vecs", &self.io_vecs())
            .finish_non_exhaustive()
    }
}

/// Pieces that were not lent here, or not like that. Nothing has changed.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(8)).unwrap();
/// use virtio_chain::{SettleError, WritableChain};
///
/// let mut chain = WritableChain::new(queue.next_chain()?.ok_or("nothing is available")?);
/// let lent = chain.lend(8)?;
/// assert_eq!(chain.settle(lent, 9), Err(SettleError::TooMuch { claimed: 9, lent: 8 }));
/// assert_eq!(chain.prefix(), 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// They were lent by another chain, or at another position.
    Elsewhere {
        /// The chain that they were lent by.
        lent_id: u16,
        /// The position that they were lent at, in bytes.
        lent_position: u64,
        /// The chain that they were to be settled with.
        id: u16,
        /// Its position, in bytes.
        position: u64,
    },
    /// They were lent by the other half of a chain: by a reader for a writer, or the other way round.
    OtherHalf {
        /// The chain that they were lent by.
        id: u16,
    },
    /// The work says that it moved more than was lent, or more than the part was cut to meanwhile.
    TooMuch {
        /// How many bytes it says it moved.
        claimed: usize,
        /// How many bytes it had.
        lent: usize,
    },
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere { lent_id, lent_position, id, position } => write!(
                f,
                "what byte {lent_position} of chain {lent_id} has lent cannot be settled at byte {position} of \
                 chain {id}"
            ),
            Self::OtherHalf { id } => {
                write!(f, "what one half of chain {id} has lent cannot be settled with the other half")
            }
            Self::TooMuch { claimed, lent } => {
                write!(f, "{claimed} bytes were claimed, and {lent} were lent: claim no more than that")
            }
        }
    }
}

impl error::Error for SettleError {}
