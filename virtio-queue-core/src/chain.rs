//! Descriptor chains, which return themselves.

use core::fmt;
use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;

use crate::{ChainError, DriverNotify, Element, QueueState, Refused, ReturnError, Ring, Token, Walk};

/// The elements of a descriptor chain, step by step.
///
/// A [place](Self::Place) in the chain is plain data, apart from the chain. So the place can be kept wherever the chain
/// can be kept, in a future that moves between threads for example, and the chain does not have to be borrowed
/// meanwhile.
///
/// ```
/// use virtio_queue_core::{Access, ChainElements, ChainError};
///
/// /// Returns how many bytes the driver has to say.
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
    message = "`{Self}` is no descriptor chain",
    note = "chains come from `next_chain` of a queue, a burst or a shared queue; a token becomes one by `Queue::chain`"
)]
pub trait ChainElements {
    /// The memory that the chain lies in.
    type Mem: DriverMem + ?Sized;

    /// A place in the chain: in front of an element, or at the end.
    type Place: Clone + fmt::Debug + Send + Sync + Unpin + 'static;

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    fn id(&self) -> u16;

    /// Returns the memory that the chain lies in.
    fn mem(&self) -> &Self::Mem;

    /// Returns the place in front of the first element.
    fn start(&self) -> Self::Place;

    /// Returns the element at `place`, and moves `place` behind it. Returns `None` at the end, and after an error.
    ///
    /// The rules of [`Walk`] hold for the elements. A place of another chain yields an unspecified element or error.
    ///
    /// # Errors
    ///
    /// If the chain is malformed there. The chain ends with the error.
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>>;
}

/// A borrowed chain has the same elements.
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

/// A descriptor chain that can be walked and must be returned: what the crate virtio-chain turns into bytes.
///
/// A function that takes `impl Chain` works with every chain: borrowed from a queue or a burst, or owned.
/// Implement it to use virtio-chain with chains from elsewhere.
///
/// ```
/// use virtio_queue_core::{Chain, ReturnError};
///
/// /// Answers with nothing.
/// fn refuse(chain: impl Chain) -> Result<(), ReturnError> {
///     chain.return_unchecked(0).map_err(|refused| refused.error)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no descriptor chain that can be returned",
    note = "chains come from `next_chain` of a queue, a burst or a shared queue; a token becomes one by `Queue::chain`",
    note = "a borrowed chain `&C` can be read and written, but not returned"
)]
pub trait Chain: ChainElements + Sized {
    /// Returns the chain to the driver. The caller vouches that the first `written` writable bytes have been written.
    ///
    /// # Errors
    ///
    /// If there is nowhere to return it to.
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>>;
}

/// Where a chain goes when it is returned: its queue, a burst, or a queue under a lock.
pub trait ReturnTo<R: Ring> {
    /// Completes the chain that `token` stands for, with `written` bytes written.
    ///
    /// # Errors
    ///
    /// As for [`QueueState::complete`].
    fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError>;

    /// Puts the chain that `token` stands for back, as if it had not been fetched.
    ///
    /// # Errors
    ///
    /// As for [`QueueState::unfetch`].
    fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>>;
}

/// Published at once.
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
/// It borrows its queue, and goes back there: with nothing written when it is dropped, or with what
/// [`return_written`](Self::return_written) says. To keep it for longer, turn it into a [`Token`], or fetch an owned
/// chain from the shared queue of the crate virtio-util.
///
/// This is the chain as a list of elements. To read and write it as bytes, give it to `ReadableChain` or
/// `WritableChain` of the crate virtio-chain.
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
    /// Where it returns to, until it has returned.
    home: Option<T>,
}

impl<'q, R: Ring, T: ReturnTo<R>> DescChain<'q, R, T> {
    /// Returns the chain that [`QueueState::fetch`] fetched from `ring` as `token`.
    #[inline]
    pub fn new(ring: &'q R, token: Token, home: T) -> Self {
        Self { ring, token, home: Some(home) }
    }

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
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

    /// Returns a walk along the elements of the chain, from its beginning. The walk does not borrow the chain.
    #[inline]
    #[must_use]
    pub fn walk(&self) -> R::Walk<'q> {
        self.ring.walk(self.token.head())
    }

    /// Returns the chain to the driver, of which the first `written` writable bytes have been written.
    ///
    /// Fewer may be claimed than were written, never more; with a hole in what was written, count up to the hole
    /// (VIRTIO 1.4 §2.7.8.2 "Device Requirements: The Virtqueue Used Ring", SPLIT-USED-4).
    ///
    /// To find out how much is writable, this walks along the chain unless `written` is 0. Who has counted already has
    /// [`Chain::return_unchecked`].
    ///
    /// # Errors
    ///
    /// If there are not as many writable bytes: the chain was returned with nothing written.
    /// [`try_return_written`](Self::try_return_written) keeps it. If the queue is broken: there is nowhere to return it
    /// to.
    #[inline]
    pub fn return_written(self, written: u32) -> Result<(), ReturnError> {
        self.try_return_written(written).map_err(|refused| refused.error)
    }

    /// Returns the chain to the driver as [`return_written`](Self::return_written) does, or hands it back.
    ///
    /// # Errors
    ///
    /// If there are not as many writable bytes: the chain is in the error and has not been returned. If the queue is
    /// broken: there is nowhere to return it to.
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

    /// Puts the chain back as if it had not been fetched: the next fetch finds it again.
    ///
    /// It is for a device that has looked at the chain and cannot go on with it yet.
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later is still out as a [`Token`], which must be put back first, or has been
    /// returned: then this one cannot be put back any more. This chain was returned with nothing written;
    /// [`try_unfetch`](Self::try_unfetch) keeps it. If the queue is broken.
    pub fn unfetch(self) -> Result<(), ReturnError> {
        self.try_unfetch().map_err(|refused| refused.error)
    }

    /// Puts the chain back as [`unfetch`](Self::unfetch) does, or hands it back.
    ///
    /// # Errors
    ///
    /// As for [`unfetch`](Self::unfetch). The chain is in the error.
    pub fn try_unfetch(mut self) -> Result<(), Refused<Self, ReturnError>> {
        let Some(mut home) = self.home.take() else { return Ok(()) };
        home.unfetch(self.ring, self.token.again()).map_err(|refused| {
            self.home = Some(home);
            Refused { chain: self, error: refused.error }
        })
    }

    /// Takes the chain out of the borrow of its queue. It stays in flight until the token is completed.
    #[inline]
    pub fn into_token(mut self) -> Token {
        // Its drop returns nothing without a home.
        self.home = None;
        self.token.again()
    }
}

/// Returns a chain with nothing written.
#[inline(never)]
fn give_up<R: Ring>(ring: &R, token: Token, mut home: impl ReturnTo<R>) {
    // A queue that is broken has nowhere to return it to, and has said so or will.
    let _ = home.complete(ring, token, 0);
}

/// Returns how many bytes are writable in a chain, up to its end or to where it is malformed.
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
        // Without its home, its drop does not return it once more.
        let Some(mut home) = self.home.take() else { return Ok(()) };
        home.complete(self.ring, self.token.again(), written).map_err(|error| {
            // The token was used up, and with it the chain: there is nothing left to be returned, whoever tries.
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

/// A walk along any chain that is [step by step](ChainElements).
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
