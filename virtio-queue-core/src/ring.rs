//! The boundary between a virtqueue and its format.

use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem};

use crate::config::{ConfigError, QueueConfig};
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::walk::{Element, Piece, Walk};

/// A ring in one format, and the operations on it.
///
/// The ring itself never changes. Only its [`Positions`](Self::Positions) change, and the queue keeps them separately.
/// So threads can share the ring while a lock protects the positions. [`Queue`](crate::Queue) adds the parts that do
/// not depend on the format: chains in flight, tokens, generations, bursts, and the latch. After a method has failed,
/// the queue calls no other method.
///
/// Devices do not call this trait. Implement it to bring a ring of another kind.
pub trait Ring {
    /// The driver's memory.
    type Mem: DriverMem;

    /// The positions of driver and device in the ring, as the device remembers them.
    type Positions;

    /// A walk along a chain in this ring.
    type Walk<'r>: Walk
    where
        Self: 'r;

    /// A place in a chain, as plain data. Each step of a walk takes the ring and the place.
    type Place: Clone + fmt::Debug + Send + Sync + Unpin + 'static;

    /// Returns the driver's memory.
    fn mem(&self) -> &Self::Mem;

    /// Returns the number of slots, which is the largest number that can be in flight.
    fn size(&self) -> u16;

    /// Asks the driver for notifications, and returns the positions of a new ring.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn activate(&self) -> Result<Self::Positions, FatalError>;

    /// Fetches the next available chain, if there is one.
    ///
    /// `in_flight` is the number of slots that were fetched and not returned. If no chain is available and
    /// notifications are enabled, the driver will notify of the next one.
    ///
    /// # Errors
    ///
    /// If the driver's part of the ring is invalid, or if an area cannot be accessed.
    fn fetch(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Option<Head>, FatalError>;

    /// Puts the chain of `head` back as if it had not been fetched, and returns whether it did.
    ///
    /// It does so only for the chain that was fetched last and not put back.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn unfetch(&self, positions: &mut Self::Positions, head: Head) -> Result<bool, FatalError>;

    /// Returns a walk along the chain of `head`, from its beginning.
    ///
    /// It accepts any head. An invalid head yields an error.
    fn walk(&self, head: Head) -> Self::Walk<'_>;

    /// Returns the place in front of the first element of the chain of `head`.
    fn start(&self, head: Head) -> Self::Place;

    /// Returns the element at `place`, as [`ChainElements::next_element`](crate::ChainElements::next_element) does.
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>>;

    /// Marks a chain as used without publishing it, and returns whether the chain was in flight.
    ///
    /// A ring that does not remember its chains trusts the queue, and returns `true`.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn complete(&self, positions: &mut Self::Positions, head: Head, written: u32) -> Result<bool, FatalError>;

    /// Serves at most `limit` available chains, and returns the number of chains that it served.
    ///
    /// Each chain is fetched, given to `work`, and completed with the length that `work` returns. Then the next one is
    /// fetched. `in_flight` does not count these chains.
    ///
    /// A ring whose positions are a few words overrides this to keep them in registers. A ring of several formats
    /// overrides it to choose the format once, and not at each step of a walk.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch) and [`complete`](Self::complete).
    #[inline(always)]
    fn serve(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        limit: usize,
        mut work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        for served in 0..limit {
            let Some(head) = self.fetch(positions, in_flight)? else { return Ok(served) };
            let written = work.serve(self.walk(head));
            self.complete(positions, head, written)?;
        }
        Ok(limit)
    }

    /// Serves the next available chain as [`serve`](Self::serve) does and publishes it as [`publish`](Self::publish)
    /// does. Returns whether the driver wants to be notified of it, or `None` if there is no chain.
    ///
    /// A ring that can find out at once where both sides are afterwards overrides this. A ring of several formats does
    /// so for the reason it has with [`serve`](Self::serve).
    ///
    /// # Errors
    ///
    /// As for [`serve`](Self::serve) and [`publish`](Self::publish).
    #[inline(always)]
    fn serve_one(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        mut work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        let Some(head) = self.fetch(positions, in_flight)? else { return Ok(None) };
        let written = work.serve(self.walk(head));
        self.complete(positions, head, written)?;
        self.publish(positions).map(Some)
    }

    /// Fetches at most `limit` available chains of one element each, and returns the number of slots that they take.
    ///
    /// Each chain must be a single element for `access`, in one piece of `mem`. `take` gets the head, the address and
    /// the memory of each.
    ///
    /// It stops at the first other chain, or if no more are available. Call [`fetch`](Self::fetch) to find out which. A
    /// ring does not have to find all such chains. By default it finds none.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    #[inline(always)]
    fn gather<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        let _ = (positions, in_flight, limit, mem, access, take);
        Ok(0)
    }

    /// Completes chains, each with the number of bytes that were written.
    ///
    /// It calls `refuse` for each chain that is not in flight. A ring that does not remember its chains trusts the
    /// queue, and does not call `refuse`.
    ///
    /// # Errors
    ///
    /// As for [`complete`](Self::complete).
    #[inline(always)]
    fn complete_all(
        &self,
        positions: &mut Self::Positions,
        heads: impl Iterator<Item = (Head, u32)>,
        mut refuse: impl FnMut(Head),
    ) -> Result<(), FatalError> {
        for (head, written) in heads {
            if !self.complete(positions, head, written)? {
                refuse(head);
            }
        }
        Ok(())
    }

    /// Publishes all completed chains, and returns whether the driver wants a notification.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn publish(&self, positions: &mut Self::Positions) -> Result<bool, FatalError>;

    /// Asks the driver not to notify.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn suppress_notifications(&self, positions: &mut Self::Positions) -> Result<(), FatalError>;

    /// Asks the driver to notify of new chains, and returns whether a chain is available already.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    fn enable_notifications(&self, positions: &mut Self::Positions) -> Result<Armed, FatalError>;

    /// Asks the driver to notify of chains beyond the next `unfetched` slots, and returns whether one is available
    /// already.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    fn enable_notifications_of_more(
        &self,
        positions: &mut Self::Positions,
        unfetched: u16,
    ) -> Result<Armed, FatalError>;
}

/// The work of a device on each chain that it serves, for any type of walk.
///
/// [`Queue::serve`](crate::Queue::serve) makes it from closures.
pub trait ServeChain {
    /// Serves a chain, and returns the number of bytes that were written into it.
    fn serve(&mut self, walk: impl Walk) -> u32;

    /// Returns the same work, for a part of the chains.
    ///
    /// PERF: work of several parts returns them, and not the address of itself, for a function that is not inlined. So
    /// its parts stay in registers (`direct-1-burst-32`).
    #[inline(always)]
    fn again(&mut self) -> impl ServeChain
    where
        Self: Sized,
    {
        self
    }
}

/// Does the same work by a reference, for a part of the chains.
impl<S: ServeChain> ServeChain for &mut S {
    #[inline(always)]
    fn serve(&mut self, walk: impl Walk) -> u32 {
        (**self).serve(walk)
    }

    #[inline(always)]
    fn again(&mut self) -> impl ServeChain {
        (**self).again()
    }
}

/// The work of [`QueueState::serve`](crate::QueueState::serve).
///
/// PERF: only the addresses of `work` and `finish` are used, not that of this structure. So the structure stays in
/// registers (`direct-1-burst-1`).
pub(crate) struct Pieces<'w, 'm, M: ?Sized, B, W, F> {
    pub(crate) mem: &'m M,
    pub(crate) init: B,
    pub(crate) work: &'w mut W,
    pub(crate) finish: &'w mut F,
}

impl<'m, M, B, E, W, F> ServeChain for Pieces<'_, 'm, M, B, W, F>
where
    M: DriverMem + ?Sized,
    B: Clone,
    E: From<ChainError>,
    W: FnMut(B, Piece<'m>) -> Result<B, E>,
    F: FnMut(Result<B, E>) -> u32,
{
    #[inline(always)]
    fn serve(&mut self, walk: impl Walk) -> u32 {
        (self.finish)(walk.try_fold_pieces(self.mem, self.init.clone(), &mut *self.work))
    }

    #[inline(always)]
    fn again(&mut self) -> impl ServeChain {
        Pieces { mem: self.mem, init: self.init.clone(), work: &mut *self.work, finish: &mut *self.finish }
    }
}

/// A ring that keeps the descriptors of a chain as long as the chain is in flight, even while other chains are
/// returned.
///
/// A split ring keeps them, because only the driver writes descriptors. A packed ring does not: a used descriptor is
/// written over those of the chain that was fetched first, which can still be in flight. In a packed ring, walk along a
/// chain before another one is returned, or use an owned chain of the crate virtio-util. An
/// [`OrderedRing`](crate::OrderedRing) keeps the descriptors in either format.
#[diagnostic::on_unimplemented(
    message = "a token of `{Self}` cannot become its chain again: other used chains can overwrite its descriptors",
    note = "keep an `OwnedChain` from `virtio_util::SharedQueue` instead of a token",
    note = "a `SplitRing` and an `OrderedRing` keep the descriptors"
)]
pub trait KeepsDescriptors: Ring {}

/// A ring that can be made from a [`QueueConfig`].
pub trait FromConfig: Ring + Sized {
    /// Checks a configuration, and makes a ring from it. The memory is not touched.
    ///
    /// # Errors
    ///
    /// If the ring cannot run with this configuration.
    fn from_config(config: &QueueConfig, mem: Self::Mem) -> Result<Self, ConfigError>;
}
