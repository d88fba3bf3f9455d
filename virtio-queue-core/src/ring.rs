//! The boundary between a virtqueue and its format.

use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem};

use crate::{Armed, ChainError, ConfigError, Element, FatalError, Head, Piece, QueueConfig, Walk};

/// A ring in one format: the half of a queue that never changes, and the operations on it.
///
/// What changes are the [`Positions`](Self::Positions), which the queue keeps apart: the ring can then be shared
/// between threads while the positions are under a lock. [`Queue`](crate::Queue) adds what no format cares about:
/// chains in flight, tokens, generations, bursts, the latch. It calls no method after one has failed.
///
/// Users do not call this trait. It is implemented by the formats here, and by whoever brings a ring of another kind.
pub trait Ring {
    /// The driver's memory.
    type Mem: DriverMem;

    /// Where both sides are, as this side remembers it.
    type Positions;

    /// A walk along a chain in this ring.
    type Walk<'r>: Walk
    where
        Self: 'r;

    /// A place in a chain, as plain data: a walk that is handed the ring at each step.
    type Place: Clone + fmt::Debug + Send + Sync + Unpin + 'static;

    /// Returns the driver's memory.
    fn mem(&self) -> &Self::Mem;

    /// Returns the number of slots: the most that can be in flight.
    fn size(&self) -> u16;

    /// Takes the ring into service: asks the driver for notifications, and returns the positions of a new ring.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn activate(&self) -> Result<Self::Positions, FatalError>;

    /// Fetches the next available chain, if there is one.
    ///
    /// `in_flight` slots have been fetched and not returned. If notifications are enabled and there is none, the driver
    /// will notify of the next one.
    ///
    /// # Errors
    ///
    /// If the driver's part of the ring makes no sense, or an area cannot be accessed.
    fn fetch(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Option<Head>, FatalError>;

    /// Puts the chain of `head` back as if it had not been fetched, and returns whether it did. It does so only for the
    /// chain that was fetched last, of those that were not put back.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn unfetch(&self, positions: &mut Self::Positions, head: Head) -> Result<bool, FatalError>;

    /// Returns a walk along the chain of `head`, from its beginning. A head that the ring does not have yields an
    /// error.
    fn walk(&self, head: Head) -> Self::Walk<'_>;

    /// Returns the place where the chain of `head` begins.
    fn start(&self, head: Head) -> Self::Place;

    /// Takes one step of a walk from `place`, as [`ChainElements::next_element`](crate::ChainElements::next_element)
    /// does.
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>>;

    /// Writes that a chain was used, without publishing it, and returns whether there is such a chain in flight. A ring
    /// that does not remember them takes the queue's word for it.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn complete(&self, positions: &mut Self::Positions, head: Head, written: u32) -> Result<bool, FatalError>;

    /// Fetches available chains, at most `limit` of them, completes each with as many bytes written as `work` says
    /// before the next one is fetched, and returns how many there were. `in_flight` does not count these.
    ///
    /// A ring whose positions are a few words overrides this to keep them in registers. A ring of several formats
    /// overrides it so that no walk has to say again and again which of them it is for.
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

    /// Fetches available chains, at most `limit` of them, up to the first one that is more than a single element for
    /// `access` in one piece, and hands out where each is in `mem`. Returns how many slots they take.
    ///
    /// What ends it is an available chain or the end of them: [`fetch`](Self::fetch) says which. A ring need not find
    /// all such chains; by default it finds none.
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

    /// Completes chains, each with the number of bytes that were written, and calls `refuse` for each that is not in
    /// flight. A ring that does not remember them takes the queue's word for it.
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

    /// Publishes everything that was completed, and returns whether the driver wants to be notified of it.
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

    /// Asks the driver to notify, and looks whether something is available already.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    fn enable_notifications(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Armed, FatalError>;

    /// Asks the driver to notify of what it makes available beyond the next `unfetched` slots, and looks whether that
    /// is available already.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    fn enable_notifications_of_more(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        unfetched: u16,
    ) -> Result<Armed, FatalError>;
}

/// What a device does with each chain that it serves, by whatever walk leads along the chain.
///
/// [`Queue::serve`](crate::Queue::serve) makes it of closures.
pub trait ServeChain {
    /// Serves a chain, and returns how many bytes were written.
    fn serve(&mut self, walk: impl Walk) -> u32;
}

/// The same work, for a part of the chains.
impl<S: ServeChain> ServeChain for &mut S {
    #[inline(always)]
    fn serve(&mut self, walk: impl Walk) -> u32 {
        (**self).serve(walk)
    }
}

/// The work of [`QueueState::serve`](crate::QueueState::serve).
///
/// PERF: its address is no matter to anybody, as that of `work` is, so that it stays in registers (`direct-1-burst-1`).
pub(crate) struct Pieces<'w, 'm, M: ?Sized, B, W, F> {
    pub(crate) mem: &'m M,
    pub(crate) init: B,
    pub(crate) work: &'w mut W,
    pub(crate) finish: F,
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
}

/// A ring that keeps the descriptors of a chain for as long as the chain is in flight, whatever happens to others
/// meanwhile.
///
/// A split ring is one: nobody but the driver writes descriptors. A packed ring is not: used descriptors are written
/// over those of the chain that was fetched first, which may still be in flight. There, walk along a chain before
/// another one is returned, keep an owned chain of the crate virtio-util, or keep the order with an
/// [`OrderedRing`](crate::OrderedRing).
#[diagnostic::on_unimplemented(
    message = "a token of `{Self}` cannot be turned back into its chain: other chains may be written over its descriptors",
    note = "keep an `OwnedChain` from `virtio_util::SharedQueue` instead of a token, use a `SplitRing`, or use an `OrderedRing`"
)]
pub trait KeepsDescriptors: Ring {}

/// A ring that can be made from what a driver set up.
pub trait FromConfig: Ring + Sized {
    /// Checks a configuration, and makes a ring of it. The memory is not touched.
    ///
    /// # Errors
    ///
    /// If no such ring can run like that.
    fn from_config(config: &QueueConfig, mem: Self::Mem) -> Result<Self, ConfigError>;
}
