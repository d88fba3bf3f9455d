//! Chains of one element, many at a time.

use core::{fmt, iter, slice};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverRange};

use crate::head::Head;
use crate::token::Generation;
use crate::token::Token;
use crate::walk::Piece;

/// Up to `N` gathered chains, each of which is a single element in one piece of memory.
///
/// [`Queue::gather`](crate::Queue::gather) puts chains into it, and
/// [`Queue::complete_gathered`](crate::Queue::complete_gathered) returns them to the driver. In between, the device can
/// look at the memory of all chains, for example to prefetch it. The chains belong to the queue that gathered them:
/// another queue refuses them, and so does the same queue after a reset.
///
/// Make it once, and use it for many calls: a new one costs one write for each place. Chains that are in it when it is
/// dropped stay in flight until the queue is reset.
///
/// # Examples
///
/// See [`Queue::gather`](crate::Queue::gather).
pub struct Gathered<'m, const N: usize> {
    generation: Generation,
    access: Access,
    /// The chains from `first` on and before `end` have not been returned. INVARIANT: `first <= end <= N`.
    chains: [Single<'m>; N],
    first: usize,
    end: usize,
}

/// A chain of one element.
///
/// PERF: it has only what differs between the chains of one queue (`direct-1-burst-32` of the bulk queues).
#[derive(Clone, Copy)]
pub(crate) struct Single<'m> {
    memory: DeviceRange<'m>,
    addr: DriverAddr,
    /// The position where it was fetched.
    position: u16,
    id: u16,
}

impl Single<'_> {
    const NONE: Self = Self { memory: DeviceRange::empty(), addr: DriverAddr(0), position: 0, id: 0 };
}

impl<'m> Single<'m> {
    #[inline(always)]
    pub(crate) const fn new(head: Head, addr: DriverAddr, memory: DeviceRange<'m>) -> Self {
        Self { memory, addr, position: head.first(), id: head.id() }
    }

    #[inline(always)]
    const fn head(&self) -> Head {
        Head::new(self.id, self.position, 1)
    }

    #[inline(always)]
    fn piece(&self, access: Access) -> Piece<'m> {
        // A translated range does not end beyond 2^64.
        let range = DriverRange::new(self.addr, self.memory.len() as u64).unwrap_or(DriverRange::EMPTY);
        Piece { range, memory: self.memory, access }
    }
}

impl<'m, const N: usize> Gathered<'m, N> {
    /// Makes one without chains.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { generation: Generation::NONE, access: Access::Read, chains: [Single::NONE; N], first: 0, end: 0 }
    }

    /// Takes the oldest chain out, if there is one.
    ///
    /// Use it for a chain that must be returned by itself.
    #[inline]
    pub fn pop(&mut self) -> Option<Token> {
        let head = self.oldest()?;
        self.first += 1;
        Some(Token::new(head, self.generation))
    }

    /// Returns the number of chains that were not returned or taken out.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.first
    }

    /// Returns whether all chains were returned or taken out.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements of the chains that were not returned or taken out, in the order of their fetching.
    #[inline]
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = Piece<'m>> + '_ {
        self.left().iter().map(|chain| chain.piece(self.access))
    }

    #[inline(always)]
    fn left(&self) -> &[Single<'m>] {
        self.chains.get(self.first..self.end).unwrap_or_default()
    }

    /// Returns the places for the chains that a queue gathers. If there are chains already, there are no places.
    #[inline(always)]
    pub(crate) fn places(&mut self, generation: Generation, access: Access) -> slice::IterMut<'_, Single<'m>> {
        if !self.is_empty() {
            return slice::IterMut::default();
        }
        (self.generation, self.access, self.first, self.end) = (generation, access, 0, 0);
        self.chains.iter_mut()
    }

    /// Counts the chains that were put into [`places`](Self::places).
    #[inline(always)]
    pub(crate) const fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Returns the generation of the queue that gathered the chains.
    #[inline(always)]
    pub(crate) const fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns the head of the oldest chain.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<Head> {
        self.left().first().map(Single::head)
    }

    /// Removes the `count` oldest chains, or all chains if there are fewer.
    #[inline(always)]
    pub(crate) fn remove(&mut self, count: usize) {
        self.first += count.min(self.len());
    }

    /// Returns the chains, and the access to all of them.
    #[inline(always)]
    pub(crate) fn singles(&self) -> (slice::Iter<'_, Single<'m>>, Access) {
        (self.left().iter(), self.access)
    }
}

/// Returns the heads of the chains in `left`, with the lengths that `work` returns. It stops where `work` returns none,
/// and leaves that chain in `left`.
#[inline(always)]
pub(crate) fn heads<'m>(
    left: &mut slice::Iter<'_, Single<'m>>,
    access: Access,
    mut work: impl FnMut(Piece<'m>) -> Option<u32>,
) -> impl Iterator<Item = (Head, u32)> {
    iter::from_fn(move || {
        let chain = left.as_slice().first()?;
        let written = work(chain.piece(access))?;
        left.next();
        Some((chain.head(), written))
    })
}

impl<const N: usize> Default for Gathered<'_, N> {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Gathered<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.left().iter().map(Single::head)).finish()
    }
}
