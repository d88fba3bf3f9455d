//! Chains that are kept.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use virtio_mem_traits::DriverMem;
use virtio_queue_core::{Chain, ChainElements, ChainError, ChainWalk, Element, Refused, ReturnError, Token};

use crate::elements::Elements;

/// A chain that belongs to whoever holds it: kept for as long as its work takes, sent to another thread or task, and
/// returned in any order.
///
/// It comes from a [`SharedQueue`](crate::SharedQueue) or a [`DescChainStream`](crate::DescChainStream), on a ring of
/// either format. It has a handle `M` on the memory that it was fetched from, and a private copy of its elements, which
/// were read and checked once. So it can be read and written at any time, whatever happens to other chains and to the
/// queue.
///
/// Dropped, it goes back to the driver with nothing written: also when its task is cancelled, or when its thread
/// panics. The thread that returns it publishes it, and notifies the driver if the driver wants that.
///
/// To read and write it as bytes, give it to `ReadableChain` or `WritableChain` of the crate virtio-chain.
///
/// # When not to use it
///
/// Where the work on a chain is done as soon as the chain is fetched: a [burst](crate::SharedQueue::burst) copies
/// nothing.
///
/// # Examples
///
/// Two chains in hand on one thread, returned in the other order:
///
#[cfg_attr(feature = "std", doc = "```")]
#[cfg_attr(not(feature = "std"), doc = "```ignore")]
/// use virtio_util::SharedQueue;
/// # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
/// # let fixture = AnyFixtureOptions::default().build_plain()?;
/// # let (queue, mut driver) = (fixture.queue, fixture.driver);
/// # for _ in 0..2 {
/// #     driver.add(&DriverChain::new().writable(8))?;
/// # }
///
/// let queue = SharedQueue::new(queue);
/// let first = queue.next_chain()?.ok_or("nothing is available")?;
/// let second = queue.next_chain()?.ok_or("only one is available")?;
/// second.return_written(0)?;
/// for element in first.walk() {
///     println!("{:?} of {} bytes", element?.access, element?.range.len());
/// }
/// first.return_written(0)?;
/// # assert_eq!(driver.reap_all()?.len(), 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "DescChain")]
pub struct OwnedChain<M> {
    // The order matters: the memory is given up first, so that whoever waits for the last chain finds no handle left.
    // PERF: 128 bytes with an `Arc` for the handle. What is larger is not moved in place, but by a call (`shared`).
    mem: M,
    way_home: WayHome<M>,
}

/// Where a chain returns to: when this is dropped at the latest.
struct WayHome<M> {
    elements: Elements,
    /// Nothing, once it has returned.
    home: Option<Arc<dyn Home<M>>>,
    /// Its token, as a number.
    token: u64,
}

/// Where owned chains return to. It knows the format, the lock and the notifier, so that chains need not know them.
pub(crate) trait Home<M>: Send + Sync {
    /// Returns a chain that has a copy of `elements` elements, and drops its handle on the memory.
    fn complete(&self, token: Token, written: u32, elements: usize, mem: M) -> Result<(), Kept<M>>;

    /// Puts a chain back that has a copy of `elements` elements, and drops its handle on the memory.
    fn unfetch(&self, token: Token, elements: usize, mem: M) -> Result<(), Kept<M>>;

    /// Takes a chain back that is dropped, with nothing written.
    fn take_back(&self, token: Token, elements: usize);

    /// Returns where a chain returns to whose token is used up, because the queue broke while it took the chain.
    fn without_token(self: Arc<Self>) -> Arc<dyn Home<M>>;
}

/// A refusal, and what the chain goes on with: its handle on the memory, and its token unless that is used up.
// PERF: in a box, because all returns pay for the size of what only a refusal needs (`shared`).
pub(crate) type Kept<M> = Box<Refused<(M, Option<Token>), ReturnError>>;

impl<M> OwnedChain<M> {
    #[inline]
    pub(crate) fn new(mem: M, home: Arc<dyn Home<M>>, token: Token, elements: Elements) -> Self {
        Self { mem, way_home: WayHome { elements, home: Some(home), token: token.into_u64() } }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        Token::from_u64(self.way_home.token).id()
    }

    /// Returns the memory that the chain was fetched from.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &M {
        &self.mem
    }
}

impl<M> WayHome<M> {
    /// Goes home by `go`, or stays out.
    #[inline]
    fn go(
        &mut self,
        mem: M,
        go: impl FnOnce(&dyn Home<M>, Token, usize, M) -> Result<(), Kept<M>>,
    ) -> Result<(), Refused<M, ReturnError>> {
        let token = Token::from_u64(self.token);
        let Some(home) = self.home.take() else {
            return Err(Refused { chain: mem, error: ReturnError::Stale { id: token.id() } });
        };
        go(&*home, token, self.elements.len(), mem).map_err(|refused| {
            let Refused { chain: (mem, token), error } = *refused;
            self.home = Some(if token.is_some() { home } else { home.without_token() });
            Refused { chain: mem, error }
        })
    }
}

impl<M: DriverMem> OwnedChain<M> {
    /// Returns a walk along the elements of the chain, from its beginning.
    ///
    /// A malformed chain has the elements up to where it is malformed, and then the error.
    #[inline]
    #[must_use]
    pub fn walk(&self) -> ChainWalk<'_, Self> {
        ChainWalk::new(self)
    }

    /// Returns the chain to the driver, of which the first `written` writable bytes have been written.
    ///
    /// Fewer may be claimed than were written, never more; with a hole in what was written, count up to the hole
    /// (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring", SPLIT-USED-4).
    ///
    /// # Errors
    ///
    /// If there are not as many writable bytes: the chain was returned with nothing written.
    /// [`try_return_written`](Self::try_return_written) keeps it. If the queue is broken, is being reset, or is
    /// [taken out](crate::SharedQueue#the-end-of-a-queue): there is nowhere to return it to.
    #[inline]
    pub fn return_written(self, written: u32) -> Result<(), ReturnError> {
        self.try_return_written(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_written`](Self::return_written) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If there are not as many writable bytes: the chain is in the error and has not been returned. If the queue is
    /// broken, is being reset, or is [taken out](crate::SharedQueue#the-end-of-a-queue): there is nowhere to return it
    /// to, now or later. The chain is in the error, and can still be read and written. Its drop tells the queue that it
    /// is not out any more, and until then [`drain`](crate::SharedQueue::drain) waits.
    #[inline]
    pub fn try_return_written(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        if written != 0 {
            let writable = self.writable_bytes();
            if u64::from(written) > writable {
                return Err(Refused { chain: self, error: ReturnError::TooLong { written, writable } });
            }
        }
        self.return_unchecked(written)
    }

    /// Puts the chain back as if it had not been fetched: the next fetch finds it again.
    ///
    /// It is for a device that has looked at the chain and cannot go on with it yet. Nobody is woken: whoever puts a
    /// chain back knows when to look again.
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later was not put back. If that one is out, put it back first. If it was returned,
    /// this one cannot be put back any more. This chain was returned with nothing written;
    /// [`try_unfetch`](Self::try_unfetch) keeps it. If the queue is broken, is being reset, or is [taken
    /// out](crate::SharedQueue#the-end-of-a-queue).
    pub fn unfetch(self) -> Result<(), ReturnError> {
        self.try_unfetch().map_err(|refused| refused.error)
    }

    /// Puts the chain back as [`unfetch`](Self::unfetch) does, or hands it back.
    ///
    /// # Errors
    ///
    /// As for [`unfetch`](Self::unfetch). The chain is in the error.
    pub fn try_unfetch(self) -> Result<(), Refused<Self, ReturnError>> {
        self.go(|home, token, len, mem| home.unfetch(token, len, mem))
    }

    // PERF: a chain is large, and stays where it is unless it is refused (`shared`).
    #[inline(always)]
    fn go(
        mut self,
        go: impl FnOnce(&dyn Home<M>, Token, usize, M) -> Result<(), Kept<M>>,
    ) -> Result<(), Refused<Self, ReturnError>> {
        match self.way_home.go(self.mem, go) {
            Ok(()) => Ok(()),
            Err(Refused { chain: mem, error }) => {
                self.mem = mem;
                Err(Refused { chain: self, error })
            }
        }
    }

    /// Returns how many bytes are writable, up to the end of the chain or to where it is malformed.
    fn writable_bytes(&self) -> u64 {
        let writable = self.walk().map_while(Result::ok).filter(|element| element.access.writes());
        writable.map(|element| element.range.len()).sum()
    }
}

/// A place is the number of elements in front of it.
impl<M: DriverMem> ChainElements for OwnedChain<M> {
    type Mem = M;
    type Place = usize;

    #[inline]
    fn id(&self) -> u16 {
        self.id()
    }

    #[inline]
    fn mem(&self) -> &M {
        &self.mem
    }

    #[inline]
    fn start(&self) -> usize {
        0
    }

    #[inline]
    fn next_element(&self, place: &mut usize) -> Option<Result<Element, ChainError>> {
        let item = self.way_home.elements.get(*place)?;
        *place += 1;
        Some(item)
    }
}

impl<M: DriverMem> Chain for OwnedChain<M> {
    #[inline]
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        self.go(|home, token, len, mem| home.complete(token, written, len, mem))
    }
}

/// Returns the chain with nothing written.
impl<M> Drop for WayHome<M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // A queue that is broken has nowhere to return it to, and has said so or will.
            home.take_back(Token::from_u64(self.token), self.elements.len());
        }
    }
}

impl<M> fmt::Debug for OwnedChain<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedChain")
            .field("id", &self.id())
            .field("elements", &self.way_home.elements)
            .finish_non_exhaustive()
    }
}
