//! The virtqueue.

use core::fmt;

use virtio_mem_traits::{Access, DriverMem};

use crate::packed::PackedRing;
use crate::split::SplitRing;
use crate::{
    AdoptError, AnyRing, Armed, Burst, ChainError, ConfigError, DescChain, DriverNotify, FatalError, FromConfig,
    Gathered, Head, KeepsDescriptors, Piece, QueueConfig, QueueState, Refused, Restorable, ReturnError, Ring,
    SavedQueue, Token,
};

/// A virtqueue of a device: chains of descriptors come out of it, and go back.
///
/// It is the one owner of its ring and needs no lock. It can be moved to another thread, together with its memory if
/// the memory handle is an `Arc`. [`SplitQueue`] and [`PackedQueue`] are the types for the two formats, [`AnyQueue`] is
/// the one for either, chosen when the queue is made.
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
/// A malformed chain is a [`ChainError`](crate::ChainError) where it is walked, and concerns that chain alone. A ring
/// that makes no sense is a [`FatalError`]: it is reported once, and the queue is broken from then on. It accesses
/// nothing, has nothing available and takes nothing back until it is made anew; the device should set
/// DEVICE_NEEDS_RESET.
pub struct Queue<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

/// A virtqueue on a split ring.
pub type SplitQueue<M, N> = Queue<SplitRing<M>, N>;

/// A virtqueue on a packed ring.
pub type PackedQueue<M, N> = Queue<PackedRing<M>, N>;

/// A virtqueue on a ring of the format that was negotiated: packed with RING_PACKED, split without (FEAT-13).
pub type AnyQueue<M, N> = Queue<AnyRing<M>, N>;

/// A chain that its queue publishes when it is returned.
pub type QueueChain<'q, R, N> = DescChain<'q, R, &'q mut QueueState<R, N>>;

impl<R: FromConfig, N: DriverNotify> Queue<R, N> {
    /// Makes a running queue: what the driver set up is checked, and the driver is asked for notifications. Look at the
    /// queue once without waiting for one: what was made available before was not notified of (GEN-9).
    ///
    /// # Errors
    ///
    /// If no queue can run like that. The memory was not touched then.
    ///
    /// # Examples
    ///
    /// See the [crate's own](crate).
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
    /// It is published as soon as it is returned. For more than one at a time, use a [`burst`](Self::burst).
    ///
    /// If notifications are enabled and there is none, the driver will notify of the next one.
    ///
    /// # Errors
    ///
    /// If the queue broke. That is reported once; afterwards nothing is available.
    #[inline]
    pub fn next_chain(&mut self) -> Result<Option<QueueChain<'_, R, N>>, FatalError> {
        let fetched = self.state.fetch(&self.ring)?;
        Ok(fetched.map(|token| DescChain::new(&self.ring, token, &mut self.state)))
    }

    /// Begins a burst: chains that are returned during it are published together at its end, with one notification.
    #[inline]
    pub fn burst(&mut self) -> Burst<'_, R, N> {
        Burst::new(&self.ring, &mut self.state)
    }

    /// Serves the chains that are available, at most `limit` of them, and returns how many there were. If fewer than
    /// `limit`, there are no more, and the driver will notify of the next one if notifications are enabled.
    ///
    /// Each chain is folded piece by piece: `work` is called as by [`Walk::try_fold_pieces`](crate::Walk::try_fold_pieces), at first with a copy of
    /// `init`. `finish` is told what has come of the chain, and returns how many bytes were written into it. All chains
    /// are published together at the end, with one notification.
    ///
    /// This is the fastest way through a queue, for a device that is done with a chain as soon as it has seen it. The
    /// caller vouches for what was written, as for [`Chain::return_unchecked`](crate::Chain::return_unchecked). If
    /// `work` or `finish` panics, nothing is published, and the queue is broken.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain). Nothing is published then, unless all was, and it could not be found
    /// out whether the driver wants to be notified.
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

    /// Gathers chains that are available, at most `limit` of them, up to the first one that is more than a single
    /// element for `access` in one piece of `mem`. Returns how many there were.
    ///
    /// It is for packets: all that were gathered can be on their way into the cache before the first of them is copied.
    /// What ends it goes the usual way: [`next_chain`](Self::next_chain) returns that chain, if there is one. Where the
    /// queue's memory wants [reports](DriverMem::reports) of accesses, all chains go the usual way.
    ///
    /// The chains are in flight until their tokens go back to [`complete_all`](Self::complete_all), or to
    /// [`complete`](Self::complete). If `take` panics, the queue is broken.
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
    /// use virtio_queue_core::{Access, DriverMem};
    ///
    /// # let mem = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16)?);
    /// # let mut driver = Driver::<Split>::new(Arc::clone(&mem), 16, DriverOptions::default());
    /// # let config = driver.queue_config(QueueLimits::default());
    /// # let mut queue = SplitQueue::new(&config, Arc::clone(&mem), NotificationCounter::new())?;
    /// # driver.add(&DriverChain::new().writable(64)).unwrap();
    /// # driver.add(&DriverChain::new().writable(64)).unwrap();
    /// let mut batch = Vec::new();
    /// let gathered = queue.gather(32, &*mem, Access::Write, |chain| batch.push(chain))?;
    /// assert_eq!(gathered, 2);
    /// // Prefetch here, then write into each of them:
    /// let written = batch.drain(..).map(|chain| {
    ///     let piece = chain.piece();
    ///     let len = if piece.memory.write_bytes(0, b"packet").is_ok() { 6 } else { 0 };
    ///     mem.written(piece.range.prefix(len));
    ///     (chain.into_token(), len as u32)
    /// });
    /// queue.complete_all(written)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn gather<'m, M: DriverMem + ?Sized>(
        &mut self,
        limit: usize,
        mem: &'m M,
        access: Access,
        take: impl FnMut(Gathered<'m>),
    ) -> Result<usize, FatalError> {
        self.state.gather(&self.ring, limit, mem, access, take)
    }

    /// Returns the chains that tokens stand for, each with the number of bytes that were written, as
    /// [`complete`](Self::complete) does. They are published together.
    ///
    /// # Errors
    ///
    /// If a token is not for a chain in flight in this queue: the others were returned. If the queue is broken.
    ///
    /// # Examples
    ///
    /// See [`gather`](Self::gather).
    #[inline(always)]
    pub fn complete_all(&mut self, chains: impl IntoIterator<Item = (Token, u32)>) -> Result<(), ReturnError> {
        let completed = self.state.complete_all(&self.ring, chains);
        self.state.publish(&self.ring)?;
        completed
    }

    /// Returns the chain that a token stands for, of which the first `written` writable bytes have been written.
    ///
    /// A token does not know how much of its chain is writable, so that more was written than could be is not noticed.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    #[inline]
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        self.state.complete(&self.ring, token, written)?;
        Ok(self.state.publish(&self.ring)?)
    }

    /// Puts the chain that a token stands for back, as if it had not been fetched: the next fetch finds it again.
    ///
    /// Chains are put back in the reverse order of their fetching. A chain that was not turned into a token has
    /// [`DescChain::unfetch`].
    ///
    /// # Errors
    ///
    /// If another chain that was fetched later is still out or has been returned: the token is in the error. If the
    /// token is not for a chain in flight in this queue, or if the queue is broken.
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
    /// Turns a token back into its chain, which can be walked again and returns itself.
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

/// Notifications by the driver.
impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Asks the driver not to notify, for a device that polls or is busy. It is a hint: notifications may still come.
    #[inline]
    pub fn suppress_notifications(&mut self) {
        self.state.suppress_notifications(&self.ring);
    }

    /// Asks the driver to notify when it makes something available, and looks whether something is there already.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    #[inline]
    pub fn enable_notifications(&mut self) -> Result<Armed, FatalError> {
        self.state.enable_notifications(&self.ring)
    }

    /// Asks the driver to notify when it makes something available beyond the chains that were [put
    /// back](Self::unfetch), and looks whether something is there already.
    ///
    /// It is for a device that has put chains back because it needs more of them. After
    /// [`enable_notifications`](Self::enable_notifications) the driver would have notified of the first of those
    /// already, and with EVENT_IDX it would not notify again.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications_of_more(&mut self) -> Result<Armed, FatalError> {
        self.state.enable_notifications_of_more(&self.ring)
    }
}

/// Positions, memory, and chains of an earlier life.
impl<R: Restorable, N: DriverNotify> Queue<R, N> {
    /// Returns the positions of the queue, as the driver sees them. Chains in flight are not part of it.
    #[must_use]
    pub fn save(&self) -> SavedQueue {
        self.ring.save(self.state.positions())
    }

    /// Goes on in other memory, at the same addresses of the driver: after memory was added, removed or mapped
    /// elsewhere.
    ///
    /// Chains in flight stay in flight. An owned chain keeps the memory that it was fetched from. A token is completed
    /// in the new memory.
    ///
    /// # Errors
    ///
    /// If an area of the queue is not in the new memory: the queue goes on in the old one. A device that must not do
    /// that stops serving the queue until the area is back.
    pub fn replace_mem(&mut self, mem: R::Mem) -> Result<(), ConfigError> {
        self.ring = self.ring.in_memory(mem)?;
        Ok(())
    }

    /// Counts a chain as in flight that an earlier life of the queue has fetched, as a [`Recorder`](crate::Recorder)
    /// knows.
    ///
    /// `head` says what the driver knows the chain by, and how many slots it takes: 1 in a split ring. Call this in the
    /// order in which the chains were fetched. The elements are those of [`Restorable::walk_stored`].
    ///
    /// # Errors
    ///
    /// If there can be no such chain in flight: what was recorded is as little to be trusted as a driver. If the queue
    /// is broken.
    pub fn adopt(&mut self, head: Head) -> Result<Token, AdoptError> {
        self.state.adopt(&self.ring, head)
    }
}

/// What it is and how it is.
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

    /// Returns how many slots of the ring are in flight: fetched, and not returned.
    ///
    /// A chain takes one slot of a split ring, and one slot of a packed ring for each of its descriptors in the ring.
    #[inline]
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Returns why the queue is broken, if it is.
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

    /// Notifies the driver, whether or not it wants that: it has to bear notifications that mean nothing
    /// (SPLIT-UNOT-8).
    #[inline]
    pub fn notify(&self) {
        self.state.notifier().notify();
    }

    /// Puts a queue together from its two parts.
    #[inline]
    pub const fn from_parts(ring: R, state: QueueState<R, N>) -> Self {
        Self { ring, state }
    }

    /// Lends the two parts, for a device that has several chains in its hands at a time.
    #[inline]
    pub const fn parts_mut(&mut self) -> (&R, &mut QueueState<R, N>) {
        (&self.ring, &mut self.state)
    }

    /// Takes the queue apart, for a wrapper that shares it.
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
