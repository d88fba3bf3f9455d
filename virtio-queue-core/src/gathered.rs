//! Chains of one element.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

use crate::{Piece, Token};

/// A gathered chain: a single element in one piece of memory.
///
/// [`Queue::gather`](crate::Queue::gather) returns it. Give its token to
/// [`Queue::complete_all`](crate::Queue::complete_all) to return the chain. The chain stays in flight until then.
#[derive(Debug)]
#[must_use = "the chain stays in flight until its token is given back to the queue"]
pub struct Gathered<'m> {
    token: Token,
    addr: DriverAddr,
    memory: DeviceRange<'m>,
    access: Access,
}

impl<'m> Gathered<'m> {
    #[inline(always)]
    pub(crate) const fn new(token: Token, addr: DriverAddr, memory: DeviceRange<'m>, access: Access) -> Self {
        Self { token, addr, memory, access }
    }

    /// Returns the element as a translated piece.
    #[inline]
    #[must_use]
    pub fn piece(&self) -> Piece<'m> {
        // A translated range does not end beyond 2^64.
        let range = DriverRange::new(self.addr, self.memory.len() as u64).unwrap_or(DriverRange::EMPTY);
        Piece { range, memory: self.memory, access: self.access }
    }

    /// Returns the memory of the element. It is never empty.
    #[inline]
    #[must_use]
    pub const fn memory(&self) -> DeviceRange<'m> {
        self.memory
    }

    /// Returns the token that completes the chain.
    #[inline]
    pub const fn into_token(self) -> Token {
        self.token
    }
}
