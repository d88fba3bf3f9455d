//! The head of a chain: what a ring has to remember of it.

use core::fmt;

/// The id of a chain, the position where it was fetched, and the number of its slots.
///
/// A head is one word, so that it can be passed in a register.
///
/// ```
/// use virtio_queue_core::Head;
///
/// let head = Head::new(7, 0x8003, 2);
/// assert_eq!((head.id(), head.first(), head.slots()), (7, 0x8003, 2));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Head(
    /// From the lowest bit on, 16 bits each: the id, the position, and the number of slots. INVARIANT: less than 2^48.
    u64,
);

impl Head {
    /// Makes the head of a chain that takes `slots` slots of the ring.
    ///
    /// `id` is the index of the head descriptor in a split ring, and the Buffer ID in a packed ring. `first` is the
    /// position where the chain was fetched: an index of the available ring, or a slot with a wrap counter.
    #[inline]
    #[must_use]
    pub const fn new(id: u16, first: u16, slots: u16) -> Self {
        Self(id as u64 | (first as u64) << 16 | (slots as u64) << 32)
    }

    /// Returns the id of the chain: the index of its head in a split ring, its Buffer ID in a packed ring.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn id(self) -> u16 {
        self.0 as u16
    }

    /// Returns the position where the chain was fetched.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn first(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Returns the number of slots of the ring that the chain takes.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn slots(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Returns the head as a number less than 2^48.
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the head of a number, or `None` if the number is 2^48 or more.
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Option<Self> {
        if bits >> 48 == 0 { Some(Self(bits)) } else { None }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, first, slots) = (self.id(), self.first(), self.slots());
        f.debug_struct("Head").field("id", &id).field("first", &first).field("slots", &slots).finish()
    }
}
