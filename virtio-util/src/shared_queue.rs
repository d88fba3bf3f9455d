//! A queue for several threads.

use core::fmt;

use lock_api::{Mutex, RawMutex};
use virtio_queue_core::{
    Armed, Burst, DescChain, DriverNotify, FatalError, KeepsDescriptors, Queue, QueueState, ReturnError, ReturnTo,
    Ring, Token,
};

/// A virtqueue whose chains are fetched and returned on any thread.
///
/// The ring is shared, and what changes is under a lock. The lock is held while a chain is fetched or returned, and not
/// while it is walked or its bytes are copied. The driver is notified while it is held; the notifier must not call the
/// queue.
///
/// Which lock, `L`, is the user's choice: `parking_lot::RawMutex`, a spin lock, one that masks interrupts. If cargo
/// chose [`lock_api`](crate::lock_api) 0.5 for this crate and the lock is one for 0.4, then
/// `cargo update -p lock_api@0.5.0 --precise 0.4.14` brings the two together.
///
/// # When not to use it
///
/// Where one thread fetches and returns, a [`Queue`] does without a lock. Where one thread fetches and others only do
/// the I/O, tokens that travel back to it may do as well.
///
/// # Examples
///
/// See the [crate's own](crate).
pub struct SharedQueue<L, R: Ring, N> {
    ring: R,
    state: Mutex<L, QueueState<R, N>>,
}

/// A chain that its shared queue publishes when it is returned, on whatever thread that is.
pub type SharedChain<'q, L, R, N> = DescChain<'q, R, &'q SharedQueue<L, R, N>>;

/// Fetching and returning.
impl<L: RawMutex, R: Ring, N: DriverNotify> SharedQueue<L, R, N> {
    /// Shares a queue.
    pub fn new(queue: Queue<R, N>) -> Self {
        let (ring, state) = queue.into_parts();
        Self { ring, state: Mutex::new(state) }
    }

    /// Locks the queue once for as many chains as `work` fetches and returns, and notifies the driver once at the end.
    ///
    /// It is for completing what has gathered, or for work so short that others can wait for it. `work` uses the burst
    /// and nothing else of the queue: every other call, and the drop of a chain that was fetched outside, waits for the
    /// lock that this thread holds, for ever. It may turn chains into tokens, which become [chains](Self::chain) again
    /// once the lock is free.
    ///
    /// ```
    /// # use virtio_queue_core::{DriverNotify, ReturnError, Ring, Token};
    /// # use virtio_util::{SharedQueue, lock_api::RawMutex};
    /// # fn complete_all<L: RawMutex, R: Ring, N: DriverNotify>(
    /// #     queue: &SharedQueue<L, R, N>,
    /// #     finished: impl Iterator<Item = (Token, u32)>,
    /// # ) -> Result<(), ReturnError> {
    /// queue.burst(|mut burst| {
    ///     for (token, written) in finished {
    ///         burst.complete(token, written)?;
    ///     }
    ///     Ok(burst.finish()?)
    /// })
    /// # }
    /// ```
    #[inline]
    pub fn burst<T>(&self, work: impl FnOnce(Burst<'_, R, N>) -> T) -> T {
        work(Burst::new(&self.ring, &mut self.state.lock()))
    }

    /// Returns to the driver the chain that a token stands for, of which the first `written` writable bytes have been
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`Queue::complete`].
    #[inline]
    pub fn complete(&self, token: Token, written: u32) -> Result<(), ReturnError> {
        let mut state = self.state.lock();
        state.complete(&self.ring, token, written)?;
        // This notifies the driver, under the lock. So whoever has the lock, or the queue for itself, knows that no
        // notification is under way, as a reset demands (QRST-1), and the notifier need not be `Sync`. A notifier that
        // is too slow for that is put into a `BufferedNotify`, lent to the queue and flushed after this call.
        Ok(state.publish(&self.ring)?)
    }
}

/// Chains that are walked without the lock, while others are returned. In a packed ring that takes an
/// [`OrderedRing`](virtio_queue_core::OrderedRing); without one, walk along the chains of a [burst](SharedQueue::burst).
impl<L: RawMutex, R: KeepsDescriptors, N: DriverNotify> SharedQueue<L, R, N> {
    /// Returns the next available chain, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`Queue::next_chain`]. Of several threads that ask, one is told.
    #[inline]
    pub fn next_chain(&self) -> Result<Option<SharedChain<'_, L, R, N>>, FatalError> {
        let token = self.state.lock().fetch(&self.ring)?;
        Ok(token.map(|token| DescChain::new(&self.ring, token, self)))
    }

    /// Returns a token's chain as a chain, on whatever thread goes on with it.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    #[inline]
    pub fn chain(&self, token: Token) -> Result<SharedChain<'_, L, R, N>, ReturnError> {
        self.state.lock().check(&token)?;
        Ok(DescChain::new(&self.ring, token, self))
    }
}

/// Published at once, under the lock.
impl<L: RawMutex, R: Ring, N: DriverNotify> ReturnTo<R> for &SharedQueue<L, R, N> {
    #[inline]
    fn complete(&mut self, _ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        SharedQueue::complete(self, token, written)
    }

    fn unfetch(&mut self, _ring: &R, token: Token) -> Result<(), virtio_queue_core::Refused<Token, ReturnError>> {
        self.state.lock().unfetch(&self.ring, token)
    }
}

/// Notifications by the driver.
impl<L: RawMutex, R: Ring, N: DriverNotify> SharedQueue<L, R, N> {
    /// Asks the driver not to notify, as [`Queue::suppress_notifications`] does.
    #[inline]
    pub fn suppress_notifications(&self) {
        self.state.lock().suppress_notifications(&self.ring);
    }

    /// Asks the driver to notify, and looks whether something is available, as [`Queue::enable_notifications`] does.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    #[inline]
    pub fn enable_notifications(&self) -> Result<Armed, FatalError> {
        self.state.lock().enable_notifications(&self.ring)
    }
}

/// What it is and how it is.
impl<L: RawMutex, R: Ring, N: DriverNotify> SharedQueue<L, R, N> {
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

    /// Returns how many slots of the ring are in flight, at this moment: fetched, and not returned.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.state.lock().in_flight()
    }

    /// Returns why the queue is broken, if it is.
    #[inline]
    #[must_use]
    pub fn fault(&self) -> Option<FatalError> {
        self.state.lock().fault()
    }

    /// Returns whether the queue is broken.
    #[inline]
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.fault().is_some()
    }

    /// Takes the queue apart, when nobody shares it any more.
    pub fn into_parts(self) -> (R, QueueState<R, N>) {
        (self.ring, self.state.into_inner())
    }
}

impl<L: RawMutex, R: Ring<Positions: fmt::Debug> + fmt::Debug, N> fmt::Debug for SharedQueue<L, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("ring", &self.ring).field("state", &self.state).finish()
    }
}
