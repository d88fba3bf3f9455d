//! Pieces that are lent to work that ends later.

use core::{error, fmt};

use virtio_mem_traits::{Access, IoVec};
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;
use crate::pieces::Pieces;

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
/// owns the bytes. It keeps nothing alive either: the chain must not be returned before the work has ended.
///
/// The array of pieces is a part of it, of about 1 KiB. To move the `Lent` moves the array. If something looks at the
/// array later, as the kernel does at that of an io_uring request, put the `Lent` into a box before its
/// [pieces](Self::io_vecs) are handed out, and leave it there until the work has ended.
///
/// # A block device that answers later
///
/// The payload of a request is lent to the disk. The status has its place behind the payload, and is written there
/// whatever becomes of the payload.
///
/// ```
/// use virtio_chain::{Lent, ReadableChain, Tail, WritableChain};
/// use virtio_queue_core::Chain;
/// # use virtio_chain::zerocopy::little_endian::U64;
///
/// type Error = Box<dyn core::error::Error>;
///
/// /// A sector on its way from the disk.
/// struct InFlight<C: Chain> {
///     sector: u64,
///     payload: WritableChain<C>,
///     status: Tail<C>,
///     /// In a box: the request moves from here to there, and the array of pieces must not.
///     lent: Box<Lent>,
/// }
///
/// /// Begins with a request.
/// fn begin<C: Chain>(chain: C) -> Result<Option<InFlight<C>>, Error> {
///     let mut request = ReadableChain::new(chain);
///     let sector: U64 = request.read_obj()?;
///     let mut payload = request.into_writable()?;
///     let status = payload.split_last(1)?;
///     read_next(sector.get(), payload, status)
/// }
///
/// /// Lends the pieces that the disk is to fill next, if there are any: `request.lent.io_vecs()` is for the read.
/// fn read_next<C: Chain>(
///     sector: u64,
///     mut payload: WritableChain<C>,
///     status: Tail<C>,
/// ) -> Result<Option<InFlight<C>>, Error> {
///     match payload.lend(u64::MAX) {
///         Ok(lent) if !lent.is_empty() => Ok(Some(InFlight { sector, payload, status, lent: Box::new(lent) })),
///         // All of the payload was read.
///         Ok(_) => answer(payload, status, 0),
///         // The driver has named memory that is not there.
///         Err(_) => answer(payload, status, 1),
///     }
/// }
///
/// /// Goes on when the disk has read `count` bytes, or has failed.
/// fn complete<C: Chain>(request: InFlight<C>, count: Result<usize, Error>) -> Result<Option<InFlight<C>>, Error> {
///     let InFlight { sector, mut payload, status, lent } = request;
///     match count {
///         Ok(count) if count > 0 => {
///             payload.settle(*lent, count)?;
///             // There is more to read if the count was short, or if there were too many pieces for one `Lent`.
///             read_next(sector, payload, status)
///         }
///         // The disk has failed, or has no more bytes.
///         _ => answer(payload, status, 1),
///     }
/// }
///
/// /// Writes the status into the last byte, and tells the driver of what was written before the first hole.
/// fn answer<C: Chain>(
///     mut payload: WritableChain<C>,
///     status: Tail<C>,
///     code: u8,
/// ) -> Result<Option<InFlight<C>>, Error> {
///     payload.join(status)?;
///     payload.write_all(&[code])?;
///     payload.return_prefix()?;
///     Ok(None)
/// }
/// # use virtio_fake_driver::{AnyFixture, DriverChain};
/// # let AnyFixture { mut queue, mut driver, mem, .. } = AnyFixture::new(16);
/// # let range = driver.pool().alloc(512, 16).ok_or("too small")?;
/// # let hole = range.start();
/// # mem.unmap(range);
/// # let request = || DriverChain::new().readable(3_u64.to_le_bytes());
/// # let cases: [(DriverChain, &[usize], u32, u8); 5] = [
/// #     (request().writable(512).writable(1), &[512], 513, 0),
/// #     (request().writable(513), &[100, 412], 513, 0),
/// #     (request().writable(512).at(hole).writable(1), &[], 0, 1),
/// #     (request().writable(256).writable(256).at(hole).writable(1), &[256], 256, 1),
/// #     (request().writable(512).writable(1), &[100, 0], 100, 1),
/// # ];
/// # for (chain, counts, len, status) in cases {
/// #     driver.add(&chain)?;
/// #     let mut request = begin(queue.next_chain()?.ok_or("nothing is available")?)?;
/// #     for count in counts {
/// #         request = complete(request.ok_or("ended")?, Ok(*count))?;
/// #     }
/// #     assert!(request.is_none());
/// #     let used = driver.reap()?.ok_or("not returned")?;
/// #     assert_eq!((used.len, used.writable().last()), (len, Some(&status)));
/// # }
/// # Ok::<_, Error>(())
/// ```
#[must_use = "what was lent does not count before it is settled"]
pub struct Lent {
    id: u16,
    access: Access,
    /// Where in its half they begin.
    position: u64,
    pieces: Pieces<{ Self::MAX_PIECES }>,
}

impl Lent {
    /// The most pieces that are lent at a time.
    pub const MAX_PIECES: usize = 32;

    /// Returns nothing, lent by nobody.
    pub(crate) fn nothing() -> Self {
        Self { id: 0, access: Access::Write, position: 0, pieces: Pieces::new() }
    }

    /// Returns the pieces, in the order in which they lie in the chain.
    #[inline]
    #[must_use]
    pub fn io_vecs(&self) -> &[IoVec] {
        self.pieces.io_vecs()
    }

    /// Returns how many bytes the pieces have together.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pieces.len
    }

    /// Returns whether there are no pieces: the reader or writer was at its end, or the limit was 0.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pieces.len == 0
    }
}

impl<P: Clone> Cursor<P> {
    /// Looks ahead at the next pieces, of `limit` bytes together at most, and lends them.
    pub(crate) fn lend(&mut self, chain: &impl ChainElements<Place = P>, limit: u64) -> Result<Lent, ChainError> {
        let mut lent = Lent { id: chain.id(), access: self.access(), position: self.position(), ..Lent::nothing() };
        let _ahead = self.gather(chain, limit, &mut lent.pieces)?;
        lent.pieces.before_transfer(chain.mem(), self.access());
        Ok(lent)
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
        let allowed = usize::try_from(self.left()).unwrap_or(usize::MAX).min(lent.len());
        if count > allowed {
            return Err(SettleError::TooMuch { claimed: count, lent: allowed });
        }
        lent.pieces.after_transfer(chain.mem(), lent.access, count);
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
