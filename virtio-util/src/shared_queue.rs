//! A queue for several threads or tasks.

mod burst;
mod inner;
mod phase;
mod ring;
mod state;
mod waiting;

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;

use virtio_queue_core::{
    AdoptError, AnyRing, Armed, ConfigError, DriverNotify, FatalError, Head, Queue, Restorable, ReturnError,
    SavedQueue, Token,
};
use virtio_ring::packed::Descriptor;

pub use self::burst::SharedBurst;
pub use self::ring::SharedRing;

use self::inner::{Inner, LetGo};
use self::state::State;
#[cfg(feature = "std")]
use crate::lock::DefaultLock;
use crate::lock::Lock;
use crate::owned_chain::{Home, OwnedChain};

/// The default [budget](SharedQueue#the-budget) of a [`SharedQueue`], in elements. With it, a queue of size 256 has
/// room for 256 elements in each of its chains, and keeps at most 3 MiB for its driver.
pub const DEFAULT_BUDGET: usize = 1 << 16;

/// A handle on a virtqueue that several threads or tasks use. A clone is another handle on the same queue.
///
/// Its chains are [owned](OwnedChain). You can keep them, send them to other threads, and return them in any order, on
/// a ring of either format. The queue is locked while it fetches and copies a chain, and while it returns a chain. It
/// is not locked while you read or write a chain. Under the lock, the queue notifies the driver, translates addresses,
/// and clones and drops memory handles. So neither the notifier nor the memory must call the queue. If one of them
/// panics, the queue stays usable.
///
/// Call [`wake`](Self::wake) each time the driver kicks. Threads wait for chains in [`wait_chain`](Self::wait_chain).
/// Tasks wait for chains in a [`DescChainStream`](crate::DescChainStream).
///
/// # The budget
///
/// A driver can make all of its chains share one large indirect table. So a budget bounds the total number of elements
/// of the chains that are out (KEEP-4). The default is [`DEFAULT_BUDGET`]. The queue puts back a chain that would
/// exceed the budget, and fetches it again after others have returned. No chain is lost. Meanwhile
/// [`next_chain`](Self::next_chain) returns `None`, and [`is_full`](Self::is_full) returns `true`. When a chain
/// returns, the queue wakes the threads and tasks that wait. If no chain is out, the next chain is always fetched: the
/// limits of the queue bound its length.
///
/// # The end of a queue
///
/// A queue ends in one of three ways. All handles see the end. Every thread or task that waits for a chain gets `None`
/// or an error.
///
/// * The driver broke it: [`fault`](Self::fault) returns the reason. One call reports the reason as an error.
/// * It is being reset, after [`reset`](Self::reset).
/// * It is taken out, by [`finish_reset`](Self::finish_reset) or [`try_into_queue`](Self::try_into_queue). The
///   remaining handles then have no queue.
///
/// After the end, a chain that is out cannot be returned (KEEP-5). It can still be read and written until it is
/// dropped. [`drain`](Self::drain) waits for this drop.
///
/// # When not to use it
///
/// If one thread completes each chain before it fetches the next one: a [`Queue`] needs no lock.
///
/// # Examples
///
/// A pool of four threads. Each thread fetches its own chains, and can keep each one as long as it needs. Catch panics:
/// without that, a request that panics ends its thread. After four such requests, the device would stop without an
/// error:
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind};
/// use std::thread;
/// use virtio_queue_core::FatalError;
/// use virtio_util::SharedQueue;
/// # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
/// # let fixture = AnyFixtureOptions::default().build_plain()?;
/// # let (queue, mut driver) = (fixture.queue, fixture.driver);
///
/// let queue = SharedQueue::new(queue);
/// let pool = [(); 4].map(|()| {
///     let queue = queue.clone();
///     thread::spawn(move || {
///         // The loop ends when the queue breaks, is reset, or is taken out.
///         while let Some(chain) = queue.wait_chain()? {
///             // If this panics, the chain is dropped, which returns it.
///             let _ = catch_unwind(AssertUnwindSafe(|| {
///                 // Read, compute, write.
///                 let _ = chain.return_written(0);
///             }));
///         }
///         Ok::<_, FatalError>(())
///     })
/// });
///
/// // Whenever the driver kicks:
/// # for _ in 0..10 {
/// #     driver.add(&DriverChain::new().writable(8))?;
/// # }
/// queue.wake();
/// # while driver.in_flight() != 0 {
/// #     driver.reap_all()?;
/// # }
///
/// // When the driver resets the queue or the device, wait until no chain is out:
/// queue.reset();
/// queue.drain();
/// for thread in pool {
///     thread.join().expect("panics are caught")?;
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "std")]
pub struct SharedQueue<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock = DefaultLock> {
    pub(crate) inner: Arc<Inner<R, N, L>>,
}

/// A handle on a virtqueue that several threads or tasks use. With the feature `std`, the lock has a default, and this
/// page has more text.
#[cfg(not(feature = "std"))]
pub struct SharedQueue<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> {
    pub(crate) inner: Arc<Inner<R, N, L>>,
}

/// A shared [`AnyQueue`](virtio_queue_core::AnyQueue): the negotiated features decide its format.
///
/// The memory handle must be `M: StableMem + Send + 'static`. It does not need `Sync`. The usual handle is an `Arc` of
/// a memory. The notifier must be `N: DriverNotify + Send + 'static`.
///
/// # Examples
///
/// A function that takes any such queue:
///
/// ```
/// use virtio_queue_core::{DriverNotify, FatalError, StableMem};
/// use virtio_util::SharedAnyQueue;
///
/// fn serve<M, N>(queue: &SharedAnyQueue<M, N>) -> Result<(), FatalError>
/// where
///     M: StableMem + Send + 'static,
///     N: DriverNotify + Send + 'static,
/// {
///     while let Some(chain) = queue.next_chain()? {
///         let _ = chain.return_written(0);
///     }
///     Ok(())
/// }
/// # serve(&virtio_util::SharedQueue::new(virtio_fake_driver::AnyFixtureOptions::default().build_plain()?.queue))?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "std")]
pub type SharedAnyQueue<M, N, L = DefaultLock> = SharedQueue<AnyRing<M>, N, L>;

/// A shared queue whose format the negotiated features decide. The memory handle must be `M: StableMem + Send +
/// 'static`.
#[cfg(not(feature = "std"))]
pub type SharedAnyQueue<M, N, L> = SharedQueue<AnyRing<M>, N, L>;

/// Constructors with the default lock.
#[cfg(feature = "std")]
impl<R: SharedRing, N: DriverNotify + Send + 'static> SharedQueue<R, N> {
    /// Shares a queue.
    pub fn new(queue: Queue<R, N>) -> Self {
        Self::with_budget(queue, DEFAULT_BUDGET)
    }

    /// Shares a queue. The chains that are out can have `budget` elements in total. An element takes 24 bytes, and up
    /// to 48 bytes in a chain of more than four elements.
    pub fn with_budget(queue: Queue<R, N>, budget: usize) -> Self {
        Self::with_lock(queue, budget)
    }
}

/// The constructor with any lock.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Shares a queue under a lock of the kind `L`. The chains that are out can have `budget` elements in total.
    ///
    /// ```
    /// # use virtio_fake_driver::AnyFixtureOptions;
    /// use virtio_util::{DEFAULT_BUDGET, SharedQueue};
    /// # let queue = AnyFixtureOptions::default().build_plain()?.queue;
    /// # #[cfg(feature = "lock_api-0-4")]
    /// let queue = SharedQueue::<_, _, parking_lot::Mutex<()>>::with_lock(queue, DEFAULT_BUDGET);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_lock(queue: Queue<R, N>, budget: usize) -> Self {
        let size = queue.size();
        Self { inner: Arc::new(Inner::new(L::new(State::new(queue, budget)), size)) }
    }
}

/// Fetching and returning.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Returns the next available chain. Returns `None` if no chain is available, or if the [budget](Self#the-budget)
    /// has no room for it.
    ///
    /// This call does not wait. [`wait_chain`](Self::wait_chain) does.
    ///
    /// # Errors
    ///
    /// As for [`Queue::next_chain`]. If several threads call this, only one of them gets the error.
    #[inline]
    pub fn next_chain(&self) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        let fetched = self.with(|state| state.fetch(|| self.home()));
        if fetched.is_err() {
            self.inner.broken();
        }
        fetched
    }

    /// Returns whether the queue put back a chain for lack of budget, and no chain has returned since.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.with(|state| state.is_full())
    }

    /// Locks the queue once for all chains that `work` fetches and returns. Notifies the driver once at the end.
    ///
    /// Use it for short work: other threads wait for the lock meanwhile. A burst copies no elements. `work` must use
    /// only the burst, no other method of the queue, and must not drop an [`OwnedChain`]. Each of these would wait
    /// forever for the lock that this thread holds. `work` can turn chains into tokens and [complete](Self::complete)
    /// them later. The budget does not count tokens.
    ///
    #[cfg_attr(feature = "std", doc = "```")]
    #[cfg_attr(not(feature = "std"), doc = "```ignore")]
    /// # use virtio_fake_driver::AnyFixtureOptions;
    /// # use virtio_util::SharedQueue;
    /// # let queue = SharedQueue::new(AnyFixtureOptions::default().build_plain()?.queue);
    /// queue.burst(|mut burst| {
    ///     while let Some(chain) = burst.next_chain()? {
    ///         let _ = chain.return_written(0);
    ///     }
    ///     burst.finish()
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn burst<T>(&self, work: impl FnOnce(SharedBurst<'_, R, N>) -> T) -> T {
        let Ok(done) = self.inner.returning(|state| Ok::<_, Infallible>(work(state.burst())));
        done
    }

    /// Publishes the chains together that are returned during `work`, at its end, and notifies the driver once.
    ///
    /// Use it if several requests have ended at the same time. Unlike in a [burst](Self::burst), the queue is not
    /// locked, and `work` can return [owned chains](OwnedChain). The chains that other threads return meanwhile are
    /// published at the end as well: do not wait in `work`. Until then, the queue does not count as
    /// [drained](Self::drain).
    ///
    #[cfg_attr(feature = "std", doc = "```")]
    #[cfg_attr(not(feature = "std"), doc = "```ignore")]
    /// # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
    /// # use virtio_util::SharedQueue;
    /// # let fixture = AnyFixtureOptions::default().build_plain()?;
    /// # let (queue, mut driver) = (SharedQueue::new(fixture.queue), fixture.driver);
    /// # for _ in 0..2 {
    /// #     driver.add(&DriverChain::new().writable(8))?;
    /// # }
    /// let first = queue.next_chain()?.ok_or("nothing is available")?;
    /// let second = queue.next_chain()?.ok_or("only one is available")?;
    /// queue.publish_together(|| {
    ///     second.return_written(0)?;
    ///     first.return_written(0)
    /// })?;
    /// # assert_eq!(driver.reap_all()?.len(), 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn publish_together<T>(&self, work: impl FnOnce() -> T) -> T {
        self.with(State::hold);
        let _let_go = LetGo(&self.inner);
        work()
    }

    /// Returns the chain of a token to the driver. The first `written` writable bytes of the chain must have been
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`Queue::complete`]. Also if the queue is being reset or is taken out.
    #[inline]
    pub fn complete(&self, token: Token, written: u32) -> Result<(), ReturnError> {
        // This call notifies the driver under the lock. So no notification is under way when another thread has the
        // lock or takes the queue out. A reset needs that (QRST-1). The notifier does not need `Sync`. If the notifier
        // is too slow for this, put it into a `BufferedNotify`, lend that to the queue, and flush it after this call.
        self.inner.returning(|state| state.complete(token, written))
    }

    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut State<R, N>) -> T) -> T {
        L::with(&self.inner.state, work)
    }

    /// Returns the destination of returned chains.
    #[inline]
    fn home(&self) -> Arc<dyn Home<R::Mem>> {
        Arc::<Inner<R, N, L>>::clone(&self.inner)
    }
}

/// Notifications from the driver and to the driver.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Asks the driver not to notify, as [`Queue::suppress_notifications`] does.
    pub fn suppress_notifications(&self) {
        let over = self.with(|state| {
            state.queue().map(Queue::suppress_notifications);
            state.is_over()
        });
        if over {
            self.inner.broken();
        }
    }

    /// Asks the driver to notify, and checks whether a chain is available, as [`Queue::enable_notifications`] does.
    ///
    /// While the queue [is full](Self::is_full), this returns [`Armed::Waiting`]. Then a returned chain wakes you, not
    /// the driver.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications(&self) -> Result<Armed, FatalError> {
        self.arm(|state| state.arm(Queue::enable_notifications))
    }

    /// Asks the driver to notify when it makes more chains available than those that were [put
    /// back](OwnedChain::unfetch), as [`Queue::enable_notifications_of_more`] does.
    ///
    /// The device has not seen a chain that the queue itself put back for lack of [budget](Self#the-budget). When there
    /// is room for such a chain again, this returns [`Armed::MoreAvailable`]. While the queue [is full](Self::is_full),
    /// this returns [`Armed::Waiting`], and a returned chain wakes you.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications_of_more(&self) -> Result<Armed, FatalError> {
        self.arm(State::arm_of_more)
    }

    /// Notifies the driver even if it asked for no notifications, as [`Queue::notify`] does.
    pub fn notify(&self) {
        self.with(|state| state.queue().map(|queue| queue.notify()));
    }

    fn arm(&self, arm: impl FnOnce(&mut State<R, N>) -> Result<Armed, FatalError>) -> Result<Armed, FatalError> {
        self.with(arm).inspect_err(|_| self.inner.broken())
    }
}

/// Saved positions, memory changes, and chains from an earlier run.
impl<R: SharedRing + Restorable, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Returns the positions of the queue, as [`Queue::save`] does. Returns `None` if the queue is being reset or is
    /// taken out.
    #[must_use]
    pub fn save(&self) -> Option<SavedQueue> {
        self.with(|state| {
            // A broken queue is saved as it is.
            let _ = state.publish();
            state.queue().map(|queue| queue.save())
        })
    }

    /// Moves the queue to other memory, as [`Queue::replace_mem`] does. Chains that are out keep their old memory.
    ///
    /// If the queue is being reset or is taken out, this does nothing.
    ///
    /// # Errors
    ///
    /// As for [`Queue::replace_mem`].
    pub fn replace_mem(&self, mem: R::Mem) -> Result<(), ConfigError> {
        self.with(|state| {
            // What was returned in the old memory is published there. A broken queue stays broken.
            let _ = state.publish();
            state.queue().map_or(Ok(()), |queue| queue.replace_mem(mem))
        })
    }

    /// Takes over a chain that an earlier run of the queue fetched, as [`Queue::adopt`] does.
    /// [`Restorable::walk_stored`] supplies its elements.
    ///
    /// Returns `None` if the [budget](Self#the-budget) has no room for the chain. Adopt the chain after others have
    /// returned, and fetch no chain before that. Returns `None` as well if the queue is being reset or is taken out.
    ///
    /// # Errors
    ///
    /// As for [`Queue::adopt`].
    pub fn adopt(&self, head: Head, stored: &[Descriptor]) -> Result<Option<OwnedChain<R::Mem>>, AdoptError> {
        self.with(|state| state.adopt(head, stored, || self.home()))
    }
}

/// Accessors.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Returns the number of descriptors.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.inner.size
    }

    /// Returns the current number of slots of the ring in flight: fetched, and not returned.
    ///
    /// In a split ring, a chain takes one slot. In a packed ring, a chain takes one slot for each of its descriptors in
    /// the ring. [`chains_out`](Self::chains_out) returns the number of chains.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.with(|state| state.in_flight())
    }

    /// Returns the current number of [`OwnedChain`]s of the queue. A chain counts until it has returned or is dropped.
    /// A chain whose return was refused counts as well.
    ///
    /// Tokens and the chains of a burst do not count. [`in_flight`](Self::in_flight) counts these as well, in slots.
    #[must_use]
    pub fn chains_out(&self) -> usize {
        self.with(|state| state.chains_out())
    }

    /// Returns the reason if the queue is broken.
    #[must_use]
    pub fn fault(&self) -> Option<FatalError> {
        self.with(|state| state.queue().and_then(|queue| queue.fault()))
    }

    /// Returns whether the queue is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.fault().is_some()
    }
}

/// Creates another handle on the same queue.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Clone for SharedQueue<R, N, L> {
    #[inline]
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> fmt::Debug for SharedQueue<R, N, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("size", &self.inner.size).finish_non_exhaustive()
    }
}
