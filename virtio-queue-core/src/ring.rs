//! The boundary between a virtqueue and its format.

use virtio_mem_traits::DriverMem;

use crate::{Armed, ConfigError, FatalError, Head, QueueConfig, Walk};

/// A ring in one format: the half of a queue that never changes, and the operations on it.
///
/// What changes are the [`Positions`](Self::Positions), which the queue keeps apart: the ring can then be shared between
/// threads while the positions are under a lock. [`Queue`](crate::Queue) adds what no format cares about: chains in
/// flight, tokens, generations, bursts, the latch. It calls no method after one has failed.
///
/// Users do not call this trait. It is implemented by the formats here, and by whoever brings a ring of another kind.
pub trait Ring {
    /// The driver's memory.
    type Mem: DriverMem;

    /// Where both sides are, as this side remembers it.
    type Positions;

    /// A walk along a chain in this ring.
    type Walk<'r>: Walk<'r, Mem = Self::Mem>
    where
        Self: 'r;

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

    /// Returns a walk along the chain of `head`, from its beginning. It bears any head, if with an error.
    fn walk(&self, head: Head) -> Self::Walk<'_>;

    /// Writes that a chain was used, without publishing it, and returns whether there is such a chain in flight. A ring that
    /// does not remember them takes the queue's word for it.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    fn put_used(&self, positions: &mut Self::Positions, head: Head, written: u32) -> Result<bool, FatalError>;

    /// Fetches available chains, at most `limit` of them, puts each back with as many bytes written as `work` says before the
    /// next one is fetched, and returns how many there were. `in_flight` does not count these.
    ///
    /// A ring whose positions are a few words overrides this to keep them in registers.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch) and [`put_used`](Self::put_used).
    #[inline(always)]
    fn serve<'r>(
        &'r self,
        positions: &mut Self::Positions,
        in_flight: u16,
        limit: usize,
        mut work: impl FnMut(Self::Walk<'r>) -> u32,
    ) -> Result<usize, FatalError> {
        for served in 0..limit {
            let Some(head) = self.fetch(positions, in_flight)? else { return Ok(served) };
            let written = work(self.walk(head));
            self.put_used(positions, head, written)?;
        }
        Ok(limit)
    }

    /// Publishes everything that was put, and returns whether the driver wants to be notified of it.
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
}

/// A ring in which a chain can be walked for as long as it is in flight, whatever happens to others meanwhile.
///
/// A split ring is one: nobody but the driver writes descriptors. A packed ring is not: used descriptors are written over
/// those of the chain that was fetched first, which may still be in flight. There, walk along a chain before another one is
/// returned, or keep the order with an [`OrderedRing`](crate::OrderedRing).
pub trait Lasting: Ring {}

/// A ring that can be made from what a driver set up.
pub trait FromConfig: Ring + Sized {
    /// Checks a configuration, and makes a ring of it. The memory is not touched.
    ///
    /// # Errors
    ///
    /// If no such ring can run like that.
    fn from_config(config: &QueueConfig, mem: Self::Mem) -> Result<Self, ConfigError>;
}
