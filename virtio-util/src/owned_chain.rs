//! Chains that a device can keep.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use virtio_mem_traits::DriverMem;
use virtio_queue_core::{Chain, ChainElements, ChainError, ChainWalk, Element, Refused, ReturnError, Token};

use crate::elements::Elements;

/// A chain that a device can keep, send to another thread or task, and return in any order.
///
/// It comes from a [`SharedQueue`](crate::SharedQueue) or a [`DescChainStream`](crate::DescChainStream), on a ring of
/// either format. It has a handle `M` on the memory that it was fetched from, and a private copy of its elements. The
/// elements were read and checked once. So the chain can be read and written at any time, whatever happens to other
/// chains and to the queue (KEEP-1, KEEP-6).
///
/// A drop returns the chain to the driver with nothing written. This also happens when its task is cancelled or its
/// thread panics (KEEP-2). The returning thread publishes the chain, and notifies the driver if the driver wants it
/// (KEEP-3).
///
/// To read and write the chain as bytes, pass it to `ReadableChain` or `WritableChain` of the crate virtio-chain.
///
/// # When not to use it
///
/// If the device completes each chain immediately: a [burst](crate::SharedQueue::burst) copies no elements.
///
/// # Examples
///
/// One thread holds two chains, and returns the second one first:
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
    // The field order matters: the memory handle is dropped first. So after a wait for the last chain, no handle is
    // left. PERF: 128 bytes with an `Arc` as the handle. The compiler moves a larger value with a call, not inline
    // (`shared`).
    mem: M,
    way_home: WayHome<M>,
}

/// The destination of a chain. Its drop returns the chain, unless the chain has returned before.
struct WayHome<M> {
    elements: Elements,
    /// `None` after the chain has returned.
    home: Option<Arc<dyn Home<M>>>,
    /// The token of the chain, as a number.
    token: u64,
}

/// The destination of owned chains. It hides the format, the lock and the notifier from the chains.
pub(crate) trait Home<M>: Send + Sync {
    /// Returns a chain with `elements` copied elements to the driver, and drops its memory handle.
    fn complete(&self, token: Token, written: u32, elements: usize, mem: M) -> Result<(), Kept<M>>;

    /// Puts back a chain with `elements` copied elements, and drops its memory handle.
    fn unfetch(&self, token: Token, elements: usize, mem: M) -> Result<(), Kept<M>>;

    /// Takes back a dropped chain, with nothing written.
    fn take_back(&self, token: Token, elements: usize);

    /// Returns the destination of a chain without a token. The token is used up if the queue broke while it took the
    /// chain.
    fn without_token(self: Arc<Self>) -> Arc<dyn Home<M>>;
}

/// A refusal, with the memory handle of the chain, and with its token unless that is used up.
// PERF: in a box, so that only a refusal pays for the size of its data (`shared`).
pub(crate) type Kept<M> = Box<Refused<(M, Option<Token>), ReturnError>>;

impl<M> OwnedChain<M> {
    #[inline]
    pub(crate) fn new(mem: M, home: Arc<dyn Home<M>>, token: Token, elements: Elements) -> Self {
        Self { mem, way_home: WayHome { elements, home: Some(home), token: token.into_u64() } }
    }

    /// Returns the driver's id of the chain: the index of its head in a split ring, or its Buffer ID in a packed ring.
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
    /// Returns the chain through `go`. If that refuses the chain, it stays out.
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
    /// Returns an iterator over the elements of the chain, from its beginning.
    ///
    /// For a malformed chain, the iterator yields the elements before the malformed one, and then the error.
    #[inline]
    #[must_use]
    pub fn walk(&self) -> ChainWalk<'_, Self> {
        ChainWalk::new(self)
    }

    /// Returns the chain to the driver. The first `written` writable bytes of the chain must have been written.
    ///
    /// You can claim fewer bytes than you wrote, never more. If the written bytes have a hole, count the bytes before
    /// the hole (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring", SPLIT-USED-4).
    ///
    /// # Errors
    ///
    /// If the chain has fewer writable bytes than `written`: it was returned with nothing written.
    /// [`try_return_written`](Self::try_return_written) keeps it. If the queue is broken, is being reset, or is [taken
    /// out](crate::SharedQueue#the-end-of-a-queue): the chain cannot be returned.
    #[inline]
    pub fn return_written(self, written: u32) -> Result<(), ReturnError> {
        self.try_return_written(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_written`](Self::return_written) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If the chain has fewer writable bytes than `written`: the error contains the chain, which has not been returned.
    /// If the queue is broken, is being reset, or is [taken out](crate::SharedQueue#the-end-of-a-queue): the chain can
    /// never be returned. The error contains the chain, which can still be read and written. Until it is dropped, the
    /// chain counts as out, and [`drain`](crate::SharedQueue::drain) waits for it.
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

    /// Puts the chain back as if it had not been fetched. The next fetch finds it again.
    ///
    /// Use it if the device has read the chain but cannot process it yet (BACK-1). This call wakes no thread or task:
    /// fetch again when the device can continue.
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later was not put back. If the later chain is out, put it back first. If it was
    /// returned, this chain can no longer be put back. In both cases, this chain was returned with nothing written.
    /// [`try_unfetch`](Self::try_unfetch) keeps it. If the queue is broken, is being reset, or is [taken
    /// out](crate::SharedQueue#the-end-of-a-queue).
    pub fn unfetch(self) -> Result<(), ReturnError> {
        self.try_unfetch().map_err(|refused| refused.error)
    }

    /// Puts the chain back as [`unfetch`](Self::unfetch) does, or hands it back.
    ///
    /// # Errors
    ///
    /// As for [`unfetch`](Self::unfetch). The error contains the chain.
    pub fn try_unfetch(self) -> Result<(), Refused<Self, ReturnError>> {
        self.go(|home, token, len, mem| home.unfetch(token, len, mem))
    }

    // PERF: a chain is large, and is moved only if it is refused (`shared`).
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

    /// Returns the number of writable bytes, up to the end of the chain or to its malformed element.
    fn writable_bytes(&self) -> u64 {
        let writable = self.walk().map_while(Result::ok).filter(|element| element.access.writes());
        writable.map(|element| element.range.len()).sum()
    }
}

/// A place is the number of elements before it.
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
            // A broken queue refuses the chain. It has reported its fault, or will report it.
            home.take_back(Token::from_u64(self.token), self.elements.len());
        }
    }
}

impl<M> fmt::Debug for OwnedChain<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedChain")
            .field("id", &self.id())
            .field("elements", &self.way_home.elements.len())
            .finish_non_exhaustive()
    }
}
