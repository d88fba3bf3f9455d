//! Chains that outlive the borrow of their queue.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::Head;

/// The right to complete one chain, as a number: it names the chain, and the life of the queue that the chain was
/// fetched in.
///
/// It fits through a `u64`, such as the user data of io_uring. It cannot be cloned, and belongs to one generation of
/// one queue: another queue, or the same one after a reset, refuses it and touches nothing.
///
/// A token does not return its chain when it is dropped: the chain stays in flight until the queue is reset. Where a
/// task can be cancelled or a thread can panic, keep an owned chain of the crate virtio-util instead. It returns
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
    /// The head in the lower 48 bits, the generation above.
    u64,
);

impl Token {
    #[inline]
    pub(crate) const fn new(head: Head, generation: Generation) -> Self {
        Self(generation.0 | head.bits())
    }

    /// Returns the token once more. One of the two is good for nothing as soon as the other is used.
    #[inline]
    pub(crate) const fn again(&self) -> Self {
        Self(self.0)
    }

    /// Returns the token of the same chain that is stale everywhere.
    #[inline]
    pub(crate) const fn used_up(&self) -> Self {
        Self::new(self.head(), Generation::NONE)
    }

    /// Returns the head, if the token is of that generation.
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

    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
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

    /// Turns the number back into the token.
    ///
    /// Each number is good for one token. A number that was made up, or used twice, cannot harm this side: the queue
    /// refuses what it cannot have given away. But it may return a chain that is still in use elsewhere.
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
/// The number comes round after 65,535 others. That matters to a token that is still there by then, and only if it is
/// then given to a queue that has the same number and is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(
    /// The number in the upper 16 bits.
    u64,
);

impl Generation {
    /// The generation of no queue: what is of it is stale everywhere.
    const NONE: Self = Self(0xffff << 48);

    /// Begins a new one.
    pub(crate) fn begin() -> Self {
        // It never comes round itself: after 2^32 the same number would be next twice.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the number alone has to be unique, and orders nothing.
        Self((NEXT.fetch_add(1, Ordering::Relaxed) % 0xffff) << 48)
    }
}
