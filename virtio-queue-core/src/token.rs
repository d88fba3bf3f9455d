//! Tokens: chains that do not borrow their queue.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::head::Head;

/// The right to complete one chain, as a number.
///
/// The number contains the head of the chain, and the generation of the queue that fetched it.
///
/// A token converts to and from a `u64`, for example the user data of io_uring. It cannot be cloned. It belongs to one
/// generation of one queue: another queue refuses it, and so does the same queue after a reset.
///
/// A dropped token does not return its chain: the chain stays in flight until the queue is reset. If a task can be
/// cancelled or a thread can panic, keep an owned chain of the crate virtio-util instead. An owned chain returns
/// itself.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// use virtio_queue_core::Token;
///
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # fixture.driver.add(&DriverChain::new().writable(8)).unwrap();
/// let token = queue.next_chain()?.ok_or("nothing is available")?.into_token();
/// let user_data = token.into_u64();
/// // The I/O is submitted with this number, and completes later:
/// queue.complete(Token::from_u64(user_data), 8)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(PartialEq, Eq)]
#[must_use = "the chain stays in flight until the token is given back to the queue"]
pub struct Token(
    /// The head in the lower 48 bits, and the generation in the upper 16.
    u64,
);

impl Token {
    #[inline]
    pub(crate) const fn new(head: Head, generation: Generation) -> Self {
        Self(generation.0 | head.bits())
    }

    /// Returns a copy of the token. When one of the two is used, the other one becomes stale.
    #[inline]
    pub(crate) const fn again(&self) -> Self {
        Self(self.0)
    }

    /// Returns a token of the same chain that every queue refuses.
    #[inline]
    pub(crate) const fn used_up(&self) -> Self {
        Self::new(self.head(), Generation::NONE)
    }

    /// Returns the head if the token is of this generation.
    #[inline]
    pub(crate) const fn head_in(&self, generation: Generation) -> Option<Head> {
        Head::from_bits(self.0 ^ generation.0)
    }

    /// Returns the head.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes what the head put there")]
    pub(crate) const fn head(&self) -> Head {
        Head::new(self.0 as u16, (self.0 >> 16) as u16, (self.0 >> 32) as u16)
    }

    /// Returns the id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.head().id()
    }

    /// Turns the token into a number.
    #[inline]
    #[must_use]
    pub const fn into_u64(self) -> u64 {
        self.0
    }

    /// Turns a number back into a token.
    ///
    /// Use each number once. A number that was made up or used twice causes no undefined behaviour and no panic: the
    /// queue refuses a token that cannot be for a chain in flight. But such a number can match a chain that is still in
    /// use, and then returns that chain too early.
    #[inline]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// One life of one queue, from activation to reset, as a number of 16 bits.
///
/// Numbers repeat after 65,535 generations. A token that is as old as that could be accepted by the wrong queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(
    /// The number in the upper 16 bits.
    u64,
);

impl Generation {
    /// The generation of no queue. Every queue refuses a token of this generation.
    pub(crate) const NONE: Self = Self(0xffff << 48);

    /// Begins a new generation.
    pub(crate) fn begin() -> Self {
        // A counter of 64 bits does not overflow in practice. After an overflow, two generations in a row would have
        // the number 0.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only the number has to be unique. No other access is ordered by it.
        Self((NEXT.fetch_add(1, Ordering::Relaxed) % 0xffff) << 48)
    }
}
