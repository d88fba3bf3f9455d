//! What a ring knows of a chain.

use core::fmt;

/// Where a chain is in its ring: what the driver knows it by, where it was fetched, and how many slots it takes.
///
/// It is one word, so that it travels in a register on its way from the ring through the queue and its chain and back.
///
/// ```
/// use virtio_queue_core::Head;
///
/// let head = Head::new(7, 0x8003, 2);
/// assert_eq!((head.id(), head.first(), head.slots()), (7, 0x8003, 2));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Head(
    /// From the lowest bit, 16 bits each: the id, where the chain begins, the slots. INVARIANT: less than 2^48.
    u64,
);

impl Head {
    /// Returns the head of a chain that takes `slots` slots of the ring.
    ///
    /// `id` is what the driver knows it by: the index of its head descriptor, or its Buffer ID. `first` is the position
    /// that it was fetched at: an index of the available ring, or a slot with a wrap counter.
    #[inline]
    #[must_use]
    pub const fn new(id: u16, first: u16, slots: u16) -> Self {
        Self(id as u64 | (first as u64) << 16 | (slots as u64) << 32)
    }

    /// Returns what the driver knows the chain by.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn id(self) -> u16 {
        self.0 as u16
    }

    /// Returns the position that the chain was fetched at.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn first(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Returns how many slots of the ring the chain takes.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes what `new` put there")]
    pub const fn slots(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Returns the number that is the head, less than 2^48.
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the head that is a number, if it is less than 2^48.
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
