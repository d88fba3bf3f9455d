//! A queue for several threads or tasks.

mod burst;
mod inner;
mod state;
mod waiting;

use alloc::sync::Arc;
use core::convert::Infallible;
use core::fmt;

use virtio_queue_core::{
    AdoptError, AnyRing, Armed, ConfigError, DriverNotify, FatalError, Head, Queue, Restorable, ReturnError, Ring,
    SavedQueue, Token,
};
use virtio_ring::packed::Descriptor;

pub use self::burst::SharedBurst;
use self::inner::Inner;
use self::state::State;
use crate::owned_chain::Home;
use crate::{Lock, OwnedChain};

/// How many elements the chains of a [`SharedQueue`] that are out can have together, if it is not said otherwise. A
/// queue of 256 has room for 256 elements in each of its chains.
pub const DEFAULT_BUDGET: usize = 1 << 16;

/// A ring whose queue can be shared: every ring that can be sent to another thread, together with its memory.
///
/// For the rings of virtio-queue-core that is so if the memory handle is `StableMem + Send + 'static`. An `Arc` of a
/// memory is the usual one.
#[diagnostic::on_unimplemented(
    message = "a queue on a `{Self}` cannot be shared between threads",
    label = "must be a ring that can be sent to another thread",
    note = "a shared queue is named by its ring: `SharedAnyQueue<M, N>` is that of an `AnyQueue<M, N>`, `SharedQueue<SplitRing<M>, N>` that of a `SplitQueue<M, N>`",
    note = "the memory handle must be `Send + 'static`: an `Arc<M>` is, a `&M` and an `Rc<M>` are not",
    note = "in tests, `AnyFixture::new` and `build` have an `Rc` for one thread: `AnyFixtureOptions::build_plain` has an `Arc`"
)]
pub trait SharedRing: Ring<Mem: Clone, Positions: Send> + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<R: Ring<Mem: Clone, Positions: Send> + Send + 'static> SharedRing for R {}

/// A virtqueue that is used on several threads or by several tasks. This is a handle on it: a clone is another one.
///
/// The chains that it hands out are [owned](OwnedChain): they can be kept, sent elsewhere, and returned in any order,
/// on a ring of either format. The queue is locked while a chain is fetched and copied, and while one is returned; it
/// is not locked while a chain is read or written. While it is locked, the driver is notified, and the memory is
/// translated and its handles are cloned and dropped: neither the notifier nor the memory must call the queue. If one
/// of them panics, the queue goes on.
///
/// Whoever learns that the driver has kicked calls [`wake`](Self::wake). Threads wait for chains in
/// [`wait_chain`](Self::wait_chain), tasks in a [`DescChainStream`](crate::DescChainStream).
///
/// # The budget
///
/// A driver can let all of its chains share one large indirect table. So a budget bounds how many elements the chains
/// that are out can have together, [`DEFAULT_BUDGET`] if it is not said otherwise. A chain that would exceed it is put
/// back, and is fetched again when others have returned: nothing is lost. Meanwhile [`next_chain`](Self::next_chain)
/// returns `None` and [`is_full`](Self::is_full) returns `true`; when a chain returns, those who wait are woken. A
/// chain that is alone is always fetched: the limits of the queue bound its length.
///
/// # The end of a queue
///
/// A queue ends in one of three ways. All handles see it. Those who wait for chains are told that there will be none.
///
/// * It is broken, because of the driver: [`fault`](Self::fault) says why. One call reports it as an error.
/// * It is being reset, from [`reset`](Self::reset) on.
/// * It is taken out, by [`finish_reset`](Self::finish_reset) or [`try_into_queue`](Self::try_into_queue). Then the
///   handles that are left have no queue in them.
///
/// A chain that is out then cannot be returned any more. It can be read and written until it is dropped, and
/// [`drain`](Self::drain) waits for that.
///
/// # When not to use it
///
/// Where one thread fetches chains and is done with each before it fetches the next one, a [`Queue`] does without a
/// lock.
///
/// # Examples
///
/// A pool of four threads. Each fetches for itself, and takes as long as it likes. A request that panics ends its
/// thread if nothing catches the panic. After four such requests the device would stand still, and nothing would be
/// broken:
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
///         // It ends when the queue breaks, is reset, or is taken out of here.
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
/// // When the driver resets the queue, or the device: wait until no chain is out any more.
/// queue.reset();
/// queue.drain();
/// for thread in pool {
///     thread.join().expect("panics are caught")?;
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "std")]
pub struct SharedQueue<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock = crate::DefaultLock> {
    pub(crate) inner: Arc<Inner<R, N, L>>,
}

/// A virtqueue that is used on several threads or by several tasks. With the feature `std`, the kind of lock need not
/// be named, and there is more to read here.
#[cfg(not(feature = "std"))]
pub struct SharedQueue<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> {
    pub(crate) inner: Arc<Inner<R, N, L>>,
}

/// A shared queue of the format that was negotiated: what an [`AnyQueue`](virtio_queue_core::AnyQueue) is once it is
/// shared.
///
/// The memory handle must be `M: StableMem + Send + 'static`, and need not be `Sync`: an `Arc` of a memory is the usual
/// one. The notifier must be `N: DriverNotify + Send + 'static`.
///
/// # Examples
///
/// A function that takes any of these:
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
pub type SharedAnyQueue<M, N, L = crate::DefaultLock> = SharedQueue<AnyRing<M>, N, L>;

/// A shared queue of the format that was negotiated. The memory handle must be `M: StableMem + Send + 'static`.
#[cfg(not(feature = "std"))]
pub type SharedAnyQueue<M, N, L> = SharedQueue<AnyRing<M>, N, L>;

/// With the default lock.
#[cfg(feature = "std")]
impl<R: SharedRing, N: DriverNotify + Send + 'static> SharedQueue<R, N> {
    /// Shares a queue.
    pub fn new(queue: Queue<R, N>) -> Self {
        Self::with_budget(queue, DEFAULT_BUDGET)
    }

    /// Shares a queue whose chains that are out can have `budget` elements together. An element takes 24
    /// bytes, and up to 48 in a chain of more than four.
    pub fn with_budget(queue: Queue<R, N>, budget: usize) -> Self {
        Self::with_lock(queue, budget)
    }
}

/// With any lock.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Shares a queue under a lock of the kind `L`. The chains that are out can have `budget` elements together.
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
    /// Returns the next available chain, if there is one and there is room for it in the [budget](Self#the-budget).
    ///
    /// It does not wait: see [`wait_chain`](Self::wait_chain) for that.
    ///
    /// # Errors
    ///
    /// As for [`Queue::next_chain`]. Of several threads that ask, one is told.
    #[inline]
    pub fn next_chain(&self) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        let fetched = self.with(|state| state.fetch(|| self.home()));
        if fetched.is_err() {
            self.inner.broken();
        }
        fetched
    }

    /// Returns whether a chain was put back because there was no room for it, and none has returned since then.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.with(|state| state.is_full())
    }

    /// Locks the queue once for as many chains as `work` fetches and returns, and notifies the driver once at the end.
    ///
    /// It is for work so short that others can wait for it: nothing is copied. `work` uses the burst and nothing else
    /// of the queue: every other call, and the drop of an [`OwnedChain`], waits for the lock that this thread holds,
    /// for ever. `work` may turn chains into tokens, which are [completed](Self::complete) later; the budget does not
    /// count these.
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

    /// Returns to the driver the chain that a token stands for, of which the first `written` writable bytes have been
    /// written.
    ///
    /// # Errors
    ///
    /// As for [`Queue::complete`], and if the queue is being reset or is taken out.
    #[inline]
    pub fn complete(&self, token: Token, written: u32) -> Result<(), ReturnError> {
        // This notifies the driver, under the lock. So whoever has the lock, or the queue for itself, knows that no
        // notification is under way, as a reset demands (QRST-1), and the notifier need not be `Sync`. A notifier that
        // is too slow for that is put into a `BufferedNotify`, lent to the queue and flushed after this call.
        self.inner.returning(|state| state.complete(token, written))
    }

    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut State<R, N>) -> T) -> T {
        L::with(&self.inner.state, work)
    }

    /// Returns where chains return to.
    #[inline]
    fn home(&self) -> Arc<dyn Home<R::Mem>> {
        Arc::<Inner<R, N, L>>::clone(&self.inner)
    }
}

/// Notifications by the driver, and of the driver.
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

    /// Asks the driver to notify, and looks whether something is available, as [`Queue::enable_notifications`] does.
    ///
    /// While the queue [is full](Self::is_full), this returns [`Armed::Waiting`]. A chain that returns wakes you; the
    /// driver does not.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications(&self) -> Result<Armed, FatalError> {
        self.arm(|state| state.arm(Queue::enable_notifications))
    }

    /// Asks the driver to notify when it makes something available beyond the chains that were
    /// [put back](OwnedChain::unfetch), as [`Queue::enable_notifications_of_more`] does.
    ///
    /// A chain that the queue itself put back, because there was no room for it in the [budget](Self#the-budget), is
    /// one that the device has not seen: this returns [`Armed::MoreAvailable`] if there is room again. While the queue
    /// [is full](Self::is_full), it returns [`Armed::Waiting`], and a chain that returns wakes you.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    pub fn enable_notifications_of_more(&self) -> Result<Armed, FatalError> {
        self.arm(State::arm_of_more)
    }

    /// Notifies the driver, whether or not it wants that, as [`Queue::notify`] does.
    pub fn notify(&self) {
        self.with(|state| state.queue().map(|queue| queue.notify()));
    }

    fn arm(&self, arm: impl FnOnce(&mut State<R, N>) -> Result<Armed, FatalError>) -> Result<Armed, FatalError> {
        self.with(arm).inspect_err(|_| self.inner.broken())
    }
}

/// Positions, memory, and chains of an earlier life.
impl<R: SharedRing + Restorable, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Returns the positions of the queue, as [`Queue::save`] does, unless it is being reset or is taken out.
    #[must_use]
    pub fn save(&self) -> Option<SavedQueue> {
        self.with(|state| state.queue().map(|queue| queue.save()))
    }

    /// Goes on in other memory, as [`Queue::replace_mem`] does. Chains that are out keep the memory that they were
    /// fetched from.
    ///
    /// If the queue is being reset or is taken out, this does nothing.
    ///
    /// # Errors
    ///
    /// As for [`Queue::replace_mem`].
    pub fn replace_mem(&self, mem: R::Mem) -> Result<(), ConfigError> {
        self.with(|state| state.queue().map_or(Ok(()), |queue| queue.replace_mem(mem)))
    }

    /// Takes over a chain that an earlier life of the queue has fetched, as [`Queue::adopt`] does, with the elements
    /// that [`Restorable::walk_stored`] finds for it.
    ///
    /// Returns `None` if there is no room for it in the [budget](Self#the-budget): adopt it when others have returned,
    /// and fetch nothing before. Returns `None` as well if the queue is being reset or is taken out.
    ///
    /// # Errors
    ///
    /// As for [`Queue::adopt`].
    pub fn adopt(&self, head: Head, stored: &[Descriptor]) -> Result<Option<OwnedChain<R::Mem>>, AdoptError> {
        self.with(|state| state.adopt(head, stored, || self.home()))
    }
}

/// What it is and how it is.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Returns the number of descriptors.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.inner.size
    }

    /// Returns how many slots of the ring are in flight, at this moment: fetched, and not returned.
    ///
    /// A chain takes one slot in a split ring, and as many as it has descriptors in the ring in a packed one. So this
    /// is not the number of chains: see [`chains_out`](Self::chains_out).
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.with(|state| state.in_flight())
    }

    /// Returns how many [`OwnedChain`]s of the queue exist, at this moment. A chain is counted until it has returned,
    /// or is dropped: also one whose return was refused.
    ///
    /// Tokens and the chains of a burst are not counted. [`in_flight`](Self::in_flight) has these as well, in slots.
    #[must_use]
    pub fn chains_out(&self) -> usize {
        self.with(|state| state.chains_out())
    }

    /// Returns why the queue is broken, if it is.
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

/// Another handle on the same queue.
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
