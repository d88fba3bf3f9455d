//! Pieces that are lent to an operation that ends later.

use core::{error, fmt};

use virtio_mem_traits::{Access, IoVec};
use virtio_queue_core::{ChainElements, ChainError};

use crate::cursor::Cursor;
use crate::pieces::Pieces;

/// The next pieces of a chain, lent to an operation that ends later, such as an io_uring request or another thread.
///
/// [`Reader::lend`](crate::Reader::lend) or [`Writer::lend`](crate::Writer::lend) creates it. Give it back to the same
/// reader or writer with [`Reader::settle`](crate::Reader::settle) or [`Writer::settle`](crate::Writer::settle). The
/// reader or writer moves on and counts the bytes only then.
///
/// A reader or writer recognises its `Lent` by the half, the position and the id of the chain. A chain of another queue
/// can have the same id. So keep a `Lent` together with its own chain.
///
/// A `Lent` is plain data: it borrows nothing, and can be sent to another thread. So you can store it next to its
/// chain. It keeps nothing alive: you must not return the chain before the operation has ended.
///
/// A `Lent` contains the array of pieces, about 1 KiB. A move of the `Lent` moves the array. The kernel reads the array
/// of an io_uring request later. In such a case, put the `Lent` into a box before you pass on its
/// [pieces](Self::io_vecs), and leave it there until the operation has ended. Then give back the box: `settle` takes
/// one. To save the copy into the box, fill an empty `Lent` in it with `lend_into`.
///
/// # A block device that answers later
///
/// The device lends the payload of a request to the disk. The status follows the payload. The device writes the status
/// even if the payload fails.
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
///     /// In a box: the request can move, but the array of pieces must not.
///     lent: Box<Lent>,
/// }
///
/// /// Begins a request.
/// fn begin<C: Chain>(chain: C) -> Result<Option<InFlight<C>>, Error> {
///     let mut request = ReadableChain::new(chain);
///     let sector: U64 = request.read_obj()?;
///     let mut payload = request.into_writable()?;
///     let status = payload.split_last(1)?;
///     read_next(sector.get(), payload, status)
/// }
///
/// /// Lends the next pieces to the disk, if any are left. Pass `request.lent.io_vecs()` to the read.
/// fn read_next<C: Chain>(
///     sector: u64,
///     mut payload: WritableChain<C>,
///     status: Tail<C>,
/// ) -> Result<Option<InFlight<C>>, Error> {
///     match payload.lend(u64::MAX) {
///         Ok(lent) if !lent.is_empty() => Ok(Some(InFlight { sector, payload, status, lent: Box::new(lent) })),
///         // The disk has read all of the payload.
///         Ok(_) => answer(payload, status, 0),
///         // The driver named memory that does not exist.
///         Err(_) => answer(payload, status, 1),
///     }
/// }
///
/// /// Continues after the disk has read `count` bytes, or has failed.
/// fn complete<C: Chain>(request: InFlight<C>, count: Result<usize, Error>) -> Result<Option<InFlight<C>>, Error> {
///     let InFlight { sector, mut payload, status, lent } = request;
///     match count {
///         Ok(count) if count > 0 => {
///             payload.settle(lent, count)?;
///             // More is left if the count was short, or if one `Lent` had no room for all pieces.
///             read_next(sector, payload, status)
///         }
///         // The disk failed, or has no more bytes.
///         _ => answer(payload, status, 1),
///     }
/// }
///
/// /// Writes the status into the last byte. Reports the bytes before the first hole to the driver.
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
#[must_use = "lent bytes do not count before they are settled"]
pub struct Lent {
    id: u16,
    access: Access,
    /// The position in its half at which the pieces begin.
    position: u64,
    pieces: Pieces<{ Self::MAX_PIECES }>,
}

impl Lent {
    /// The largest number of pieces in one `Lent`.
    pub const MAX_PIECES: usize = 32;

    /// Returns an empty `Lent`, which belongs to no chain. [`Reader::lend_into`](crate::Reader::lend_into) and
    /// [`Writer::lend_into`](crate::Writer::lend_into) fill it.
    #[inline]
    #[expect(clippy::new_without_default, reason = "nobody needs one by default")]
    pub const fn new() -> Self {
        Self { id: 0, access: Access::Write, position: 0, pieces: Pieces::new() }
    }

    /// Forgets the pieces.
    #[inline]
    pub(crate) const fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Returns the pieces, in the order of the chain.
    #[inline]
    #[must_use]
    pub fn io_vecs(&self) -> &[IoVec] {
        self.pieces.io_vecs()
    }

    /// Returns the total number of bytes in the pieces.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pieces.len
    }

    /// Returns whether there are no pieces. This happens if the reader or writer was at its end, or if the limit was 0.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pieces.len == 0
    }
}

impl<P: Clone> Cursor<P> {
    /// Looks ahead at the next pieces, of at most `limit` bytes in total, and lends them.
    pub(crate) fn lend(
        &mut self,
        chain: &impl ChainElements<Place = P>,
        limit: u64,
        lent: &mut Lent,
    ) -> Result<(), ChainError> {
        (lent.id, lent.access, lent.position) = (chain.id(), self.access(), self.position());
        let _ahead = self.gather(chain, limit, &mut lent.pieces)?;
        lent.pieces.before_transfer(chain.mem(), self.access());
        Ok(())
    }

    /// Moves on by the first `count` bytes of `lent`, and reports written bytes to the memory.
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

/// The error of a `Lent` that does not match its reader or writer. Nothing has changed.
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
    /// Another chain or another position lent the pieces.
    Elsewhere {
        /// The id of the chain that lent the pieces.
        lent_id: u16,
        /// The position that lent the pieces, in bytes.
        lent_position: u64,
        /// The id of this chain.
        id: u16,
        /// The position in this chain, in bytes.
        position: u64,
    },
    /// The other half of the chain lent the pieces: a reader for a writer, or the other way round.
    OtherHalf {
        /// The id of the chain that lent the pieces.
        id: u16,
    },
    /// The device claimed more bytes than were lent, or more bytes than the part has after a later split.
    TooMuch {
        /// The number of bytes that the device claimed.
        claimed: usize,
        /// The number of bytes that were lent and are still in the part.
        lent: usize,
    },
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere { lent_id, lent_position, id, position } => write!(
                f,
                "pieces lent at byte {lent_position} of chain {lent_id} cannot be settled at byte {position} of \
                 chain {id}"
            ),
            Self::OtherHalf { id } => {
                write!(f, "pieces lent by one half of chain {id} cannot be settled with the other half")
            }
            Self::TooMuch { claimed, lent } => {
                write!(f, "{claimed} bytes were claimed, but {lent} were lent: claim at most {lent}")
            }
        }
    }
}

impl error::Error for SettleError {}
