//! Chains that outlive the borrow of their queue.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::Head;

/// A chain in flight, apart from its queue: the promise that somebody will return it.
///
/// For devices whose I/O completes later or elsewhere. It cannot be cloned, and belongs to one generation of one queue:
/// another queue, or the same one after a reset, refuses it and touches nothing. A token that is dropped leaves its chain
/// in flight until the queue is reset.
///
/// It fits through a `u64`, such as the user data of io_uring.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the chain stays in flight until the token is given back to the queue"]
pub struct Token {
    pub(crate) head: Head,
    pub(crate) generation: Generation,
}

impl Token {
    /// Returns what the driver knows the chain by: the index of its head, or its Buffer ID.
    #[inline]
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.head.id
    }

    /// Turns the token into a number.
    #[inline]
    #[must_use]
    pub const fn into_u64(self) -> u64 {
        let Head { id, first, slots } = self.head;
        // A chain takes between 1 and 32768 slots, which is 15 bits.
        let slots = (slots as u64).saturating_sub(1);
        (self.generation.0 as u64) << 47 | slots << 32 | (first as u64) << 16 | id as u64
    }

    /// Turns the number back into the token.
    ///
    /// Each number is good for one token. A number that was made up, or used twice, cannot harm this side: the queue
    /// refuses what it cannot have given away. But it may return a chain that is still in use elsewhere.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "takes apart what `into_u64` put together")]
    pub const fn from_u64(number: u64) -> Self {
        let slots = (number >> 32 & 0x7fff) as u16 + 1;
        let head = Head { id: number as u16, first: (number >> 16) as u16, slots };
        Self { head, generation: Generation((number >> 47) as u32) }
    }
}

/// One life of one queue, from activation to reset, as a number of 17 bits.
///
/// A queue does not end by itself while chains are in flight, so that a number comes round again to a token that is still
/// there only if a queue was dropped with its I/O going on, and 2^17 others were made meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    /// The generation of no queue: what is of it is stale everywhere.
    pub(crate) const NONE: Self = Self(0x1_ffff);

    /// Begins a new one.
    pub(crate) fn begin() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the number alone has to be unique, and orders nothing.
        Self(NEXT.fetch_add(1, Ordering::Relaxed) % Self::NONE.0)
    }
}
