//! The virtqueue.

use core::fmt;

use virtio_mem_traits::{Access, DriverMem};

use crate::any::AnyRing;
use crate::burst::Burst;
use crate::chain::DescChain;
use crate::config::{ConfigError, QueueConfig};
use crate::error::{AdoptError, ChainError, FatalError, Refused, ReturnError};
use crate::gathered::Gathered;
use crate::head::Head;
use crate::notify::{Armed, DriverNotify};
use crate::packed::PackedRing;
use crate::ring::{FromConfig, KeepsDescriptors, Ring};
use crate::saved::{Restorable, SavedQueue};
use crate::split::SplitRing;
use crate::state::QueueState;
use crate::token::Token;
use crate::walk::Piece;

/// A virtqueue of a device: it fetches descriptor chains, and returns them to the driver.
///
/// A queue owns its ring and needs no lock. It can be moved to another thread if its memory handle can, for example an
/// `Arc`. [`SplitQueue`] and [`PackedQueue`] are the types for the two formats. An [`AnyQueue`] chooses the format when
/// it is made.
///
/// ```
/// use virtio_mem_traits::HeapMem;
/// use virtio_queue_core::{AnyQueue, DriverAddr, DriverNotify, QueueConfig, RingFeatures};
/// # struct Interrupt;
/// # impl DriverNotify for Interrupt {
/// #     fn notify(&self) {}
/// # }
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1_0000)?;
/// let features = RingFeatures::from_negotiated(1 << 32 | 1 << 34)?;
/// let config = QueueConfig::new(256, features, DriverAddr(0x1000), DriverAddr(0x2000), DriverAddr(0x2004));
/// let mut queue = AnyQueue::new(&config, &mem, Interrupt)?;
/// while let Some(chain) = queue.next_chain()? {
///     chain.return_written(0)?;
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Violations by the driver
///
/// A malformed chain causes a [`ChainError`](crate::ChainError) when it is walked. Other chains are not affected. An
/// invalid ring causes a [`FatalError`], which is reported once. The queue is broken from then on: it accesses no
/// memory, returns no chains and takes none back (INV-3, DRV-STAT-2). Nothing that is in memory causes a panic (INV-1).
/// The device should set DEVICE_NEEDS_RESET. After the reset, make a new queue.
pub struct Queue<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

/// A virtqueue on a split ring.
pub type SplitQueue<M, N> = Queue<SplitRing<M>, N>;

/// A virtqueue on a packed ring.
pub type PackedQueue<M, N> = Queue<PackedRing<M>, N>;

/// A virtqueue on a ring of the negotiated format.
///
/// The ring is packed if RING_PACKED was negotiated, and split otherwise (FEAT-13, DRV-FEAT-6).
pub type AnyQueue<M, N> = Queue<AnyRing<M>, N>;

/// A chain that is published as soon as it is returned.
pub type QueueChain<'q, R, N> = DescChain<'q, R, &'q mut QueueState<R, N>>;

impl<R: FromConfig, N: DriverNotify> Queue<R, N> {
    /// Makes a running queue, after checking the configuration.
    ///
    /// Call it when the driver has set DRIVER_OK, or has enabled the queue. Before that there is no queue: no memory is
    /// accessed, no chain is fetched, and no notification is given (GEN-1, GEN-13).
    ///
    /// This asks the driver for notifications. Serve the queue once after this call: the driver does not notify again
    /// of chains that are already available (GEN-9, DRV-INIT-1).
    ///
    /// # Errors
    ///
    /// If no queue can run with this configuration: the memory was not touched. If an area cannot be accessed.
    ///
    /// # Examples
    ///
    /// See the [example of the crate](crate).
    pub fn new(config: &QueueConfig, mem: R::Mem, notify: N) -> Result<Self, ConfigError> {
        Self::from_ring(R::from_config(config, mem)?, notify).map_err(ConfigError::Activation)
    }
}

/// Fetching and returning.
impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Makes a running queue on `ring`.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed.
    pub fn from_ring(ring: R, notify: N) -> Result<Self, FatalError> {
        let state = QueueState::activate(&ring, notify)?;
        Ok(Self { ring, state })
    }

    /// Returns the next available chain, if there is one.
    ///
    /// The chain is published as soon as it is returned. To serve several chains, use a [`burst`](Self::burst).
    ///
    /// If no chain is available and notifications are enabled, the driver will notify of the next one.
    ///
    /// Chains come in the order in which the driver made them available (PACK-WRAP-8, USER-3). A kick without a reason
    /// does no harm: the result is `None` (SPLIT-ANOT-5, HOST-25, DRV-ANOT-2, DRV-ANOT-3).
    ///
    /// # Errors
    ///
    /// If the queue broke. The error is reported once. After that, the result is `None`.
    #[inline]
    pub fn next_chain(&mut self) -> Result<Option<QueueChain<'_, R, N>>, FatalError> {
        let fetched = self.state.fetch(&self.ring)?;
        Ok(fetched.map(|token| DescChain::new(&self.ring, token, &mut self.state)))
    }

    /// Begins a burst, whose chains are published together at its end.
    ///
    /// The driver gets at most one notification for a burst.
    #[inline]
    pub fn burst(&mut self) -> Burst<'_, R, N> {
        Burst::new(&self.ring, &mut self.state)
    }

    /// Serves at most `limit` available chains, and returns the number of chains that it served.
    ///
    /// If the number is less than `limit`, no more chains are available. If notifications are enabled, the driver will
    /// then notify of the next chain.
    ///
    /// Each chain is folded piece by piece. `work` is called as by
    /// [`Walk::try_fold_pieces`](crate::Walk::try_fold_pieces), for the first piece with a copy of `init`. `finish`
    /// gets the result of the chain, and must return the number of bytes that were written into it: this is the length
    /// that the driver sees. All chains are published together at the end, with at most one notification.
    ///
    /// This is the fastest way to serve a queue. It is for a device that answers each chain at once. The length is not
    /// checked, as for [`Chain::return_unchecked`](crate::Chain::return_unchecked). If `work` or `finish` panics, no
    /// chain is published, and the queue is broken.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain). Either no chain was published, or all were and only the notification
    /// check failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// use virtio_queue_core::{ChainError, Piece};
    ///
    /// # let mut fixture = SplitFixture::new(16);
    /// # let (mem, queue) = (&fixture.mem, &mut fixture.queue);
    /// # fixture.driver.add(&DriverChain::new().readable(b"four").readable(b"teen")).unwrap();
    /// let mut lens = Vec::new();
    /// let add = |len, piece: Piece<'_>| Ok::<_, ChainError>(len + piece.memory.len());
    /// let served = queue.serve(32, mem, 0, add, |len| {
    ///     lens.push(len);
    ///     0
    /// })?;
    /// assert_eq!((served, lens), (1, vec![Ok(8)]));
    /// # Ok::<_, virtio_queue_core::FatalError>(())
    /// ```
    #[inline(always)]
    pub fn serve<'m, M: DriverMem + ?Sized, B: Clone, E: From<ChainError>>(
        &mut self,
        limit: usize,
        mem: &'m M,
        init: B,
        work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
        finish: impl FnMut(Result<B, E>) -> u32,
    ) -> Result<usize, FatalError> {
        self.state.serve(&self.ring, limit, mem, init, work, finish)
    }

    /// Gathers at most `limit` available chains of one element each, and returns the number of chains.
    ///
    /// It stops at the first chain that is not a single element for `access` in one piece of `mem`, and if `chains` has
    /// no more room. It gathers none if chains are left in `chains`.
    ///
    /// It is for devices that move packets: the device can prefetch the memory of all chains before it copies the first
    /// one. [`next_chain`](Self::next_chain) returns the chain at which it stopped, if there is one. If the queue's
    /// memory wants [reports](DriverMem::reports) of accesses, no chain is gathered.
    ///
    /// The chains stay in flight until [`complete_gathered`](Self::complete_gathered) returns them, or
    /// [`complete`](Self::complete) with their [tokens](Gathered::pop).
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use virtio_fake_driver::{Driver, DriverChain, DriverOptions, Split};
    /// # use virtio_mem_traits::HeapMem;
    /// # use virtio_queue_core::{DriverAddr, QueueLimits, SplitQueue};
    /// # use virtio_util::NotificationCounter;
    /// use virtio_queue_core::{Access, DriverMem, Gathered};
    ///
    /// # let mem = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16)?);
    /// # let mut driver = Driver::<Split>::new(Arc::clone(&mem), 16, DriverOptions::default());
    /// # let config = driver.queue_config(QueueLimits::default());
    /// # let mut queue = SplitQueue::new(&config, Arc::clone(&mem), NotificationCounter::new())?;
    /// # driver.add(&DriverChain::new().writable(64)).unwrap();
    /// # driver.add(&DriverChain::new().writable(64)).unwrap();
    /// let mut chains = Gathered::<32>::new();
    /// let gathered = queue.gather(32, &*mem, Access::Write, &mut chains)?;
    /// assert_eq!(gathered, 2);
    /// // Prefetch `chains.pieces()` here, then write a packet into each of them:
    /// queue.complete_gathered(&mut chains, |piece| {
    ///     piece.memory.write_bytes(0, b"packet").ok()?;
    ///     mem.written(piece.range.prefix(6));
    ///     Some(6)
    /// })?;
    /// assert!(chains.is_empty());
    /// # assert_eq!(driver.reap_all().unwrap().len(), 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn gather<'m, M: DriverMem + ?Sized, const C: usize>(
        &mut self,
        limit: usize,
        mem: &'m M,
        access: Access,
        chains: &mut Gathered<'m, C>,
    ) -> Result<usize, FatalError> {
        self.state.gather(&self.ring, limit, mem, access, chains)
    }

    /// Returns gathered chains in the order of their fetching, and publishes them together.
    ///
    /// `work` gets the element of each chain, and returns the number of bytes that were written, as for
    /// [`complete`](Self::complete). It returns `None` for a chain that cannot be returned in this way. This chain and
    /// the ones after it stay in `chains`: [`Gathered::pop`] takes it out, and another call continues.
    ///
    /// If `work` panics, the queue is broken.
    ///
    /// # Errors
    ///
    /// If the chains are not in flight in this queue: `chains` keeps them. If the queue is broken: they are gone.
    ///
    /// # Examples
    ///
    /// See [`gather`](Self::gather).
    #[inline(always)]
    pub fn complete_gathered<'m, const C: usize>(
        &mut self,
        chains: &mut Gathered<'m, C>,
        work: impl FnMut(Piece<'m>) -> Option<u32>,
    ) -> Result<(), ReturnError> {
        let completed = self.state.complete_gathered(&self.ring, chains, work);
        self.state.publish(&self.ring)?;
        completed
    }

    /// Returns the chain of a token to the driver with the length `written`.
    ///
    /// The first `written` writable bytes must have been written. The token does not know the number of writable bytes,
    /// so a length that is too large goes unnoticed.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    #[inline]
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        self.state.complete(&self.ring, token, written)?;
        Ok(self.state.publish(&self.ring)?)
    }

    /// Puts the chain of a token back, as if it had not been fetched.
    ///
    /// The next fetch returns the chain again. Put chains back in the reverse order of their fetching. For a chain that
    /// is not a token, use [`DescChain::unfetch`].
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later was not put back. If the token is not for a chain in flight in this queue, or
    /// if the queue is broken. The error contains the token.
    ///
    /// # Examples
    ///
    /// A packet needs more room than the driver has made available. The device leaves the buffers where they are, and
    /// waits for the driver to add one:
    ///
    /// ```
    /// # use virtio_fake_driver::{DriverChain, SplitFixture};
    /// use virtio_queue_core::Armed;
    /// # let mut fixture = SplitFixture::new(16);
    /// # let queue = &mut fixture.queue;
    /// # fixture.driver.add(&DriverChain::new().writable(60)).unwrap();
    ///
    /// let chain = queue.next_chain()?.ok_or("nothing is available")?;
    /// chain.unfetch()?;
    /// assert_eq!(queue.enable_notifications_of_more()?, Armed::Waiting);
    /// # fixture.driver.add(&DriverChain::new().writable(60)).unwrap();
    /// # assert!(fixture.driver.needs_kick());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn unfetch(&mut self, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        self.state.unfetch(&self.ring, token)
    }
}

impl<R: KeepsDescriptors, N: DriverNotify> Queue<R, N> {
    /// Turns a token back into its chain.
    ///
    /// The chain can be walked again, and returns itself when it is dropped.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    #[inline]
    pub fn chain(&mut self, token: Token) -> Result<QueueChain<'_, R, N>, ReturnError> {
        self.state.check(&token)?;
        Ok(DescChain::new(&self.ring, token, &mut self.state))
    }
}

/// Notifications from the driver.
impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Asks the driver not to notify.
    ///
    /// This is for a device that polls or is busy. It is a hint: the driver can still notify.
    #[inline]
    pub fn suppress_notifications(&mut self) {
        self.state.suppress_notifications(&self.ring);
    }

    /// Asks the driver to notify of new chains, and returns whether a chain is available already.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    #[inline]
    pub fn enable_notifications(&mut self) -> Result<Armed, FatalError> {
        self.state.enable_notifications(&self.ring)
    }

    /// Asks the driver to notify of chains beyond those that were [put back](Self::unfetch), and returns whether one is
    /// available already.
    ///
    /// This is for a device that has put chains back because it needs more of them.
    /// [`enable_notifications`](Self::enable_notifications) asks for a notification of the first chain that was put
    /// back. With EVENT_IDX, the driver has notified of that chain already, and does not notify again (BACK-2).
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications_of_more(&mut self) -> Result<Armed, FatalError> {
        self.state.enable_notifications_of_more(&self.ring)
    }
}

/// Saved positions, replaced memory, and chains of an earlier life.
impl<R: Restorable, N: DriverNotify> Queue<R, N> {
    /// Returns the positions of the queue, as the driver sees them. Chains in flight are not included.
    #[must_use]
    pub fn save(&self) -> SavedQueue {
        self.ring.save(self.state.positions())
    }

    /// Replaces the memory of the running queue.
    ///
    /// Call it after memory was added, removed or mapped elsewhere. The areas of the queue stay at the same driver
    /// addresses.
    ///
    /// Chains in flight stay in flight. An owned chain keeps the memory from which it was fetched (KEEP-6). A token is
    /// completed in the new memory.
    ///
    /// # Errors
    ///
    /// If an area of the queue is not in the new memory. The queue then keeps the old memory. If the device must not
    /// use the old memory, it must stop serving the queue until the area is back.
    pub fn replace_mem(&mut self, mem: R::Mem) -> Result<(), ConfigError> {
        self.ring = self.ring.in_memory(mem)?;
        Ok(())
    }

    /// Adopts a chain that an earlier life of the queue fetched and did not return.
    ///
    /// A [`Recorder`](crate::Recorder) knows such chains. The chain counts as in flight from then on.
    ///
    /// `head` has the id of the chain and the number of its slots, which is 1 in a split ring. Call this for each chain
    /// in the order of their fetching. [`Restorable::walk_stored`] returns the elements of the chain.
    ///
    /// # Errors
    ///
    /// If the restored positions have no room for the chain. The record is untrusted, like driver input. If the queue
    /// is broken.
    pub fn adopt(&mut self, head: Head) -> Result<Token, AdoptError> {
        self.state.adopt(&self.ring, head)
    }
}

/// Accessors, and the parts of a queue.
impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Returns the driver's memory.
    #[inline]
    #[must_use]
    pub fn mem(&self) -> &R::Mem {
        self.ring.mem()
    }

    /// Returns the number of descriptors.
    #[inline]
    #[must_use]
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// Returns the number of slots in flight: fetched, and not returned.
    ///
    /// In a split ring, a chain takes one slot. In a packed ring, it takes one slot for each of its descriptors in the
    /// ring.
    #[inline]
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Returns the error that broke the queue, or `None` if the queue is not broken.
    #[inline]
    #[must_use]
    pub const fn fault(&self) -> Option<FatalError> {
        self.state.fault()
    }

    /// Returns whether the queue is broken.
    #[inline]
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.fault().is_some()
    }

    /// Notifies the driver, even if it does not want a notification.
    ///
    /// The driver must accept notifications without a reason (SPLIT-UNOT-8).
    #[inline]
    pub fn notify(&self) {
        self.state.notifier().notify();
    }

    /// Makes a queue from its two parts.
    #[inline]
    pub const fn from_parts(ring: R, state: QueueState<R, N>) -> Self {
        Self { ring, state }
    }

    /// Borrows the two parts, for a device that holds several chains at a time.
    #[inline]
    pub const fn parts_mut(&mut self) -> (&R, &mut QueueState<R, N>) {
        (&self.ring, &mut self.state)
    }

    /// Returns the two parts, for a wrapper that shares the queue.
    #[inline]
    pub fn into_parts(self) -> (R, QueueState<R, N>) {
        (self.ring, self.state)
    }
}

impl<R: Ring<Positions: fmt::Debug> + fmt::Debug, N> fmt::Debug for Queue<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("ring", &self.ring).field("state", &self.state).finish()
    }
}
