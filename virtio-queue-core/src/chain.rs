//! Descriptor chains that return themselves.

use core::fmt;
use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;

use crate::error::{ChainError, Refused, ReturnError};
use crate::notify::DriverNotify;
use crate::ring::Ring;
use crate::state::QueueState;
use crate::token::Token;
use crate::walk::{Element, Walk};

/// A descriptor chain whose elements can be read one by one.
///
/// A [place](Self::Place) in the chain is plain data and does not borrow the chain. So the place can be kept beside the
/// chain, for example in a future that moves between threads.
///
/// ```
/// use virtio_queue_core::{Access, ChainElements, ChainError};
///
/// /// Returns the number of readable bytes in a chain.
/// fn readable_bytes(chain: &impl ChainElements) -> Result<u64, ChainError> {
///     let mut bytes = 0;
///     let mut place = chain.start();
///     while let Some(element) = chain.next_element(&mut place).transpose()? {
///         if element.access == Access::Read {
///             bytes += element.range.len();
///         }
///     }
///     Ok(bytes)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a descriptor chain",
    note = "chains come from `next_chain` of a queue, a burst or a shared queue; `Queue::chain` makes one of a token"
)]
pub trait ChainElements {
    /// The memory of the driver that holds the chain.
    type Mem: DriverMem + ?Sized;

    /// A place in the chain: in front of an element, or at the end.
    type Place: Clone + fmt::Debug + Send + Sync + Unpin + 'static;

    /// Returns the id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    fn id(&self) -> u16;

    /// Returns the memory of the driver that holds the chain.
    fn mem(&self) -> &Self::Mem;

    /// Returns the place in front of the first element.
    fn start(&self) -> Self::Place;

    /// Returns the element at `place`, and moves `place` behind that element.
    ///
    /// Returns `None` at the end of the chain, and after an error.
    ///
    /// The elements keep the rules of [`Walk`]. With a place of another chain, the result is an unspecified element or
    /// error.
    ///
    /// # Errors
    ///
    /// If the chain is malformed at `place`. The error is the last item of the chain.
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>>;
}

/// Reads the elements of a borrowed chain.
impl<C: ChainElements + ?Sized> ChainElements for &C {
    type Mem = C::Mem;
    type Place = C::Place;

    #[inline]
    fn id(&self) -> u16 {
        (**self).id()
    }

    #[inline]
    fn mem(&self) -> &Self::Mem {
        (**self).mem()
    }

    #[inline]
    fn start(&self) -> Self::Place {
        (**self).start()
    }

    #[inline(always)]
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>> {
        (**self).next_element(place)
    }
}

/// A descriptor chain that can be walked and must be returned.
///
/// The crate virtio-chain reads and writes such a chain as bytes. A function that takes `impl Chain` works with every
/// chain: borrowed from a queue or a burst, or owned. Implement this trait to use virtio-chain with chains of your own.
///
/// ```
/// use virtio_queue_core::{Chain, ReturnError};
///
/// /// Returns the chain with nothing written.
/// fn refuse(chain: impl Chain) -> Result<(), ReturnError> {
///     chain.return_unchecked(0).map_err(|refused| refused.error)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a descriptor chain that can be returned",
    note = "chains come from `next_chain` of a queue, a burst or a shared queue; `Queue::chain` makes one of a token",
    note = "a borrowed chain `&C` can be read and written, but not returned"
)]
pub trait Chain: ChainElements + Sized {
    /// Returns the chain to the driver with the length `written`.
    ///
    /// The caller must have written the first `written` writable bytes of the chain.
    ///
    /// # Errors
    ///
    /// If the queue does not take the chain: the queue is broken, or the chain is not in flight in it.
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>>;
}

/// The place where a chain returns to: its queue, a burst, or a queue under a lock.
pub trait ReturnTo<R: Ring> {
    /// Completes the chain of `token`, with `written` bytes written.
    ///
    /// # Errors
    ///
    /// As for [`QueueState::complete`].
    fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError>;

    /// Puts the chain of `token` back, as if it had not been fetched.
    ///
    /// # Errors
    ///
    /// As for [`QueueState::unfetch`].
    fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>>;
}

/// Publishes the chain at once.
impl<R: Ring, N: DriverNotify> ReturnTo<R> for &mut QueueState<R, N> {
    #[inline(always)]
    fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        QueueState::complete(self, ring, token, written)?;
        Ok(self.publish(ring)?)
    }

    fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        QueueState::unfetch(self, ring, token)
    }
}

/// A chain of descriptors that the driver made available.
///
/// The chain borrows its queue. [`return_written`](Self::return_written) returns it to the driver. If the chain is
/// dropped, it returns with nothing written. To keep a chain for longer, turn it into a [`Token`], or fetch an owned
/// chain from the shared queue of the crate virtio-util.
///
/// A `DescChain` is a list of elements. To read and write it as bytes, give it to `ReadableChain` or `WritableChain` of
/// the crate virtio-chain.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().readable(b"four").writable(8)).unwrap();
/// let chain = queue.next_chain()?.ok_or("nothing is available")?;
/// for element in chain.walk() {
///     let element = element?;
///     println!("{:?} of {} bytes at {}", element.access, element.range.len(), element.range.start());
/// }
/// chain.return_written(0)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "desc chain")]
pub struct DescChain<'q, R: Ring, T: ReturnTo<R>> {
    ring: &'q R,
    token: Token,
    /// The place where the chain returns to, or `None` once it has returned.
    home: Option<T>,
}

impl<'q, R: Ring, T: ReturnTo<R>> DescChain<'q, R, T> {
    /// Makes a chain of a `token` that [`QueueState::fetch`] fetched from `ring`.
    #[inline]
    pub fn new(ring: &'q R, token: Token, home: T) -> Self {
        Self { ring, token, home: Some(home) }
    }

    /// Returns the id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.token.id()
    }

    /// Returns the driver's memory.
    #[inline]
    #[must_use]
    pub fn mem(&self) -> &'q R::Mem {
        self.ring.mem()
    }

    /// Returns a walk along the elements of the chain, from its beginning.
    ///
    /// The walk does not borrow the chain.
    #[inline]
    #[must_use]
    pub fn walk(&self) -> R::Walk<'q> {
        self.ring.walk(self.token.head())
    }

    /// Returns the chain to the driver with the length `written`.
    ///
    /// The first `written` writable bytes of the chain must have been written. The length can be less than the number
    /// of bytes that were written, and must never be more. If bytes in the middle were left out, count only the bytes
    /// before them (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring", SPLIT-USED-2, SPLIT-USED-4).
    ///
    /// Unless `written` is 0, this walks along the chain to count its writable bytes. If the length is known to be
    /// right, [`Chain::return_unchecked`] does without that walk.
    ///
    /// # Errors
    ///
    /// If the chain has fewer than `written` writable bytes. The chain is then returned with nothing written;
    /// [`try_return_written`](Self::try_return_written) hands it back instead. If the queue is broken: the chain cannot
    /// be returned.
    #[inline]
    pub fn return_written(self, written: u32) -> Result<(), ReturnError> {
        self.try_return_written(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_written`](Self::return_written) does, or hands it back in the error.
    ///
    /// # Errors
    ///
    /// If the chain has fewer than `written` writable bytes: the error contains the chain, which was not returned. If
    /// the queue is broken: the chain cannot be returned.
    #[inline]
    pub fn try_return_written(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        if written != 0 {
            let writable = writable_bytes(self.walk());
            if u64::from(written) > writable {
                return Err(Refused { chain: self, error: ReturnError::TooLong { written, writable } });
            }
        }
        self.return_unchecked(written)
    }

    /// Puts the chain back as if it had not been fetched.
    ///
    /// The next fetch returns the chain again (BACK-1). Use this if the device has looked at the chain and cannot serve
    /// it yet.
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later was not put back. If that chain is a [`Token`], put it back first. If it was
    /// returned, this chain cannot be put back. On the error, this chain is returned with nothing written;
    /// [`try_unfetch`](Self::try_unfetch) hands it back instead.
    ///
    /// If the queue is broken.
    pub fn unfetch(self) -> Result<(), ReturnError> {
        self.try_unfetch().map_err(|refused| refused.error)
    }

    /// Puts the chain back as [`unfetch`](Self::unfetch) does, or hands it back in the error.
    ///
    /// # Errors
    ///
    /// As for [`unfetch`](Self::unfetch). The error contains the chain.
    pub fn try_unfetch(mut self) -> Result<(), Refused<Self, ReturnError>> {
        let Some(mut home) = self.home.take() else { return Ok(()) };
        home.unfetch(self.ring, self.token.again()).map_err(|refused| {
            self.home = Some(home);
            Refused { chain: self, error: refused.error }
        })
    }

    /// Turns the chain into a token, which does not borrow the queue.
    ///
    /// The chain stays in flight until the token is completed.
    #[inline]
    pub fn into_token(mut self) -> Token {
        // Without a home, the drop of the chain returns nothing.
        self.home = None;
        self.token.again()
    }
}

/// Returns a chain with nothing written.
#[inline(never)]
fn give_up<R: Ring>(ring: &R, token: Token, mut home: impl ReturnTo<R>) {
    // A broken queue takes no chain. It has reported the fault already, or will do so.
    let _ = home.complete(ring, token, 0);
}

/// Returns the number of writable bytes in a chain, up to its end or to the first malformed element.
#[inline]
fn writable_bytes(elements: impl Walk) -> u64 {
    let writable = elements.map_while(Result::ok).filter(|element| element.access.writes());
    writable.map(|element| element.range.len()).sum()
}

impl<R: Ring, T: ReturnTo<R>> ChainElements for DescChain<'_, R, T> {
    type Mem = R::Mem;
    type Place = R::Place;

    #[inline]
    fn id(&self) -> u16 {
        self.token.id()
    }

    #[inline]
    fn mem(&self) -> &R::Mem {
        self.ring.mem()
    }

    #[inline(always)]
    fn start(&self) -> R::Place {
        self.ring.start(self.token.head())
    }

    #[inline(always)]
    fn next_element(&self, place: &mut R::Place) -> Option<Result<Element, ChainError>> {
        self.ring.next_element(place)
    }
}

impl<R: Ring, T: ReturnTo<R>> Chain for DescChain<'_, R, T> {
    #[inline(always)]
    fn return_unchecked(mut self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        // Without a home, the drop of the chain does not return it a second time.
        let Some(mut home) = self.home.take() else { return Ok(()) };
        home.complete(self.ring, self.token.again(), written).map_err(|error| {
            // The call has used up the token, so the chain in the error cannot be returned any more.
            self.token = self.token.used_up();
            self.home = Some(home);
            Refused { chain: self, error }
        })
    }
}

/// Returns the chain with nothing written.
impl<R: Ring, T: ReturnTo<R>> Drop for DescChain<'_, R, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            give_up(self.ring, self.token.again(), home);
        }
    }
}

impl<R: Ring, T: ReturnTo<R>> fmt::Debug for DescChain<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescChain").field("head", &self.token.head()).finish_non_exhaustive()
    }
}

/// A walk along any chain that implements [`ChainElements`].
#[derive(Debug)]
pub struct ChainWalk<'c, C: ChainElements + ?Sized> {
    chain: &'c C,
    place: C::Place,
}

impl<'c, C: ChainElements + ?Sized> ChainWalk<'c, C> {
    /// Returns a walk along `chain` from its beginning.
    #[inline]
    #[must_use]
    pub fn new(chain: &'c C) -> Self {
        Self { chain, place: chain.start() }
    }
}

impl<C: ChainElements + ?Sized> Iterator for ChainWalk<'_, C> {
    type Item = Result<Element, ChainError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.chain.next_element(&mut self.place)
    }
}

impl<C: ChainElements + ?Sized> FusedIterator for ChainWalk<'_, C> {}

impl<C: ChainElements + ?Sized> Walk for ChainWalk<'_, C> {
    #[inline]
    fn id(&self) -> u16 {
        self.chain.id()
    }
}

impl<C: ChainElements + ?Sized> Clone for ChainWalk<'_, C> {
    #[inline]
    fn clone(&self) -> Self {
        Self { chain: self.chain, place: self.place.clone() }
    }
}
