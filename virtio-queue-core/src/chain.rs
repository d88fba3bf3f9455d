//! Descriptor chains, which return themselves.

use core::fmt;
use core::mem::ManuallyDrop;

use crate::{DriverNotify, QueueState, Refused, ReturnError, Ring, Token, Walk};

/// A descriptor chain that can be walked and has to be returned: what the crate virtio-chain turns into bytes.
///
/// Implement it to use that crate with chains from elsewhere.
pub trait Chain<'m>: Sized {
    /// A walk along the chain.
    type Walk: Walk<'m>;

    /// Returns what the driver knows the chain by.
    fn id(&self) -> u16;

    /// Returns a walk along the chain, from its beginning.
    fn walk(&self) -> Self::Walk;

    /// Returns the chain to the driver. The caller vouches that the first `written` writable bytes have been written.
    ///
    /// # Errors
    ///
    /// If there is nowhere to return it to.
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>>;
}

/// Where a chain goes when it is returned: its queue, a burst, or a queue under a lock.
pub trait ReturnTo<R: Ring> {
    /// Returns the chain that `token` stands for, with `written` bytes written.
    ///
    /// # Errors
    ///
    /// As for [`QueueState::put`].
    fn return_to(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError>;
}

/// Published at once.
impl<R: Ring, N: DriverNotify> ReturnTo<R> for &mut QueueState<R, N> {
    #[inline(always)]
    fn return_to(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        self.put(ring, token, written)?;
        Ok(self.publish(ring)?)
    }
}

/// A chain of descriptors that the driver made available.
///
/// It borrows its queue, and goes back there: with nothing written when it is dropped, or with what
/// [`return_written`](Self::return_written) says. To keep it for longer, turn it into a [`Token`].
///
/// This is the chain as a list of elements. To read and write it as bytes, give it to `ReadableChain` or `WritableChain`
/// of the crate virtio-chain.
pub struct DescChain<'q, R: Ring, T: ReturnTo<R>> {
    ring: &'q R,
    token: Token,
    home: T,
}

impl<'q, R: Ring, T: ReturnTo<R>> DescChain<'q, R, T> {
    /// Returns the chain that [`QueueState::fetch`] fetched from `ring` as `token`.
    #[inline]
    pub fn new(ring: &'q R, token: Token, home: T) -> Self {
        Self { ring, token, home }
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

    /// Returns the elements of the chain, from its beginning. They do not borrow the chain.
    #[inline]
    #[must_use]
    pub fn elements(&self) -> R::Walk<'q> {
        self.ring.walk(self.token.head())
    }

    /// Returns the chain to the driver, of which the first `written` writable bytes have been written.
    ///
    /// Fewer may be claimed than were written, never more; with a hole in what was written, count up to the hole (§2.7.8.2
    /// "Device Requirements: The Virtqueue Used Ring", SPLIT-USED-4).
    ///
    /// To find out how much is writable, this walks along the chain unless `written` is 0. Who has counted already has
    /// [`Chain::return_unchecked`].
    ///
    /// # Errors
    ///
    /// If there are not as many writable bytes: the chain is in the error and has not been returned. If the queue is
    /// broken: there is nowhere to return it to.
    #[inline]
    pub fn return_written(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        if written != 0 {
            let writable = writable_bytes(self.elements());
            if u64::from(written) > writable {
                return Err(Refused { chain: self, error: ReturnError::TooLong { written, writable } });
            }
        }
        self.give_back(written)
    }

    /// Takes the chain out of the borrow of its queue. It stays in flight until the token is given back.
    #[inline]
    pub fn into_token(self) -> Token {
        // Without its drop, which would return the chain.
        ManuallyDrop::new(self).token.again()
    }

    #[inline(always)]
    fn give_back(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        // Its drop would return it once more.
        let mut chain = ManuallyDrop::new(self);
        let token = chain.token.again();
        let ring = chain.ring;
        chain.home.return_to(ring, token, written).map_err(|error| {
            // The token was used up, and with it the chain: there is nothing left to be returned.
            chain.token = chain.token.used_up();
            Refused { chain: ManuallyDrop::into_inner(chain), error }
        })
    }
}

/// Returns how many bytes are writable in a chain, up to its end or to where it is malformed.
#[inline]
fn writable_bytes<'m>(elements: impl Walk<'m>) -> u64 {
    let writable = elements.map_while(Result::ok).filter(|element| element.access.writes());
    writable.map(|element| element.range.len()).sum()
}

impl<'q, R: Ring, T: ReturnTo<R>> Chain<'q> for DescChain<'q, R, T> {
    type Walk = R::Walk<'q>;

    #[inline]
    fn id(&self) -> u16 {
        self.token.id()
    }

    #[inline]
    fn walk(&self) -> R::Walk<'q> {
        self.elements()
    }

    #[inline(always)]
    fn return_unchecked(self, written: u32) -> Result<(), Refused<Self, ReturnError>> {
        self.give_back(written)
    }
}

/// Returns the chain with nothing written.
impl<R: Ring, T: ReturnTo<R>> Drop for DescChain<'_, R, T> {
    #[inline(never)]
    fn drop(&mut self) {
        // A queue that is broken has nowhere to return it to, and has said so or will.
        let _ = self.home.return_to(self.ring, self.token.again(), 0);
    }
}

impl<R: Ring, T: ReturnTo<R>> fmt::Debug for DescChain<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescChain").field("head", &self.token.head()).finish_non_exhaustive()
    }
}
