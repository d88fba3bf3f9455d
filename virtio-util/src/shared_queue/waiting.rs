//! Waiting for chains, and for their return.

use core::task::Poll;

use event_listener::EventListener;
#[cfg(feature = "std")]
use event_listener::Listener;
#[cfg(feature = "std")]
use virtio_queue_core::FatalError;
use virtio_queue_core::{DriverNotify, Queue};

use super::SharedQueue;
use super::ring::SharedRing;
use super::state::{Seen, State, Wakes};
use crate::lock::Lock;
#[cfg(feature = "std")]
use crate::owned_chain::OwnedChain;

/// Waiting for chains.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Wakes one thread or task that waits for a chain. Call it when the driver kicks.
    ///
    /// A thread or task that finds a chain after a wait wakes the next one.
    #[doc(alias = "kick")]
    #[inline]
    pub fn wake(&self) {
        self.inner.chains.notify(1);
    }

    /// Waits for the next chain, and returns it. Returns `None` at the [end of the queue](Self#the-end-of-a-queue).
    ///
    /// When the queue breaks, one of the waiting threads gets the error. All others get `None`, as at a reset.
    /// [`fault`](Self::fault) tells the two cases apart.
    ///
    /// While a thread waits, the queue asks the driver to notify. Call [`wake`](Self::wake) on each notification. Any
    /// number of threads can wait.
    ///
    /// # Errors
    ///
    /// As for [`next_chain`](Self::next_chain).
    #[cfg(feature = "std")]
    pub fn wait_chain(&self) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        if let Poll::Ready(found) = self.look() {
            return found;
        }
        loop {
            // The order matters, as in `DescChainStream`.
            let listener = self.listen();
            if let Poll::Ready(found) = self.arm_and_look() {
                drop(listener);
                self.wake();
                return found;
            }
            listener.wait();
        }
    }

    /// Returns a listener for [`wake`](Self::wake) and every other event that needs another look.
    pub(crate) fn listen(&self) -> EventListener {
        self.inner.chains.listen()
    }

    /// Fetches a chain if one is available.
    #[inline]
    pub(crate) fn look(&self) -> Seen<R::Mem> {
        let seen = self.with(|state| state.look(|| self.home()));
        if let Poll::Ready(Err(_)) = seen {
            self.inner.broken();
        }
        seen
    }

    /// Asks the driver to notify, and then fetches a chain if one is available.
    pub(crate) fn arm_and_look(&self) -> Seen<R::Mem> {
        let seen = self.with(|state| state.arm_and_look(|| self.home()));
        if let Poll::Ready(Err(_)) = seen {
            self.inner.broken();
        }
        seen
    }
}

/// Pauses, resets and the end.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Stops fetching until [`resume`](Self::resume). Chains that are out can still be returned.
    pub fn pause(&self) {
        self.with(|state| state.set_paused(true));
    }

    /// Resumes fetching after [`pause`](Self::pause) or [`drain`](Self::drain). All that wait for chains look again.
    pub fn resume(&self) {
        self.with(|state| state.set_paused(false));
        self.inner.chains.notify(usize::MAX);
    }

    /// Pauses the queue, and waits until no chain and no token is in flight.
    ///
    /// Afterwards, call [`resume`](Self::resume) to continue, or [`try_into_queue`](Self::try_into_queue) to suspend
    /// the queue. After a [`reset`](Self::reset), this waits for the chains that are still out.
    ///
    /// A chain whose return was refused stays out until it is dropped. When this call returns, no chain has a memory
    /// handle. A thread that holds a chain itself must not call this: it would wait forever.
    #[cfg(feature = "std")]
    pub fn drain(&self) {
        self.pause();
        loop {
            let listener = self.inner.idle.listen();
            if self.with(State::await_idle) {
                return;
            }
            listener.wait();
        }
    }

    /// Does the same as [`drain`](Self::drain), and waits asynchronously. If the future is dropped early, the queue
    /// stays paused.
    pub async fn drained(&self) {
        self.pause();
        loop {
            let listener = self.inner.idle.listen();
            if self.with(State::await_idle) {
                return;
            }
            listener.await;
        }
    }

    /// Takes the queue out, for example to suspend it. The queue must not be in a reset, and no chain must be in
    /// flight. Other handles then have no queue, and all that wait for chains get `None`.
    ///
    /// # Errors
    ///
    /// If chains are in flight, the queue is being reset, or another handle took it out. The error contains the handle.
    pub fn try_into_queue(self) -> Result<Queue<R, N>, Self> {
        let queue = self.with(State::take_queue).ok_or_else(|| self.clone())?;
        self.inner.wake(Wakes::EVERYBODY);
        Ok(queue)
    }

    /// Begins a reset, as [`Queue::reset`] does. Afterwards, the queue accesses no memory and sends no notifications.
    /// All that wait for chains get `None`.
    ///
    /// The queue refuses the return of chains that are out. Their holders can still access the memory. So a device must
    /// call [`drain`](Self::drain) or [`drained`](Self::drained) before it tells the driver that the reset is complete
    /// (VIRTIO 1.4 §2.6.1.1 "Virtqueue Reset", QRST-1, QRST-5, QRST-6).
    pub fn reset(&self) {
        self.with(State::reset);
        self.inner.wake(Wakes::EVERYBODY);
    }

    /// Ends a reset, and returns the ring with its memory handle, and the notifier.
    ///
    /// # Errors
    ///
    /// If chains are out, no reset has begun, or another handle has ended it. The error contains the handle.
    pub fn finish_reset(self) -> Result<(R, N), Self> {
        self.with(State::finish_reset).ok_or_else(|| self.clone())
    }
}
