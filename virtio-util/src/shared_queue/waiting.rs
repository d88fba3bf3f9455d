//! Waiting for chains, and for their return.

use core::task::Poll;

use event_listener::EventListener;
#[cfg(feature = "std")]
use event_listener::Listener;
#[cfg(feature = "std")]
use virtio_queue_core::FatalError;
use virtio_queue_core::{DriverNotify, Queue};

use super::state::{Seen, State, Wakes};
use super::{SharedQueue, SharedRing};
use crate::Lock;
#[cfg(feature = "std")]
use crate::OwnedChain;

/// Waiting for chains.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Wakes one of those who wait for a chain: because the driver has kicked.
    ///
    /// Whoever finds a chain after it has waited wakes the next one.
    #[doc(alias = "kick")]
    #[inline]
    pub fn wake(&self) {
        self.inner.chains.notify(1);
    }

    /// Waits until there is a chain, and returns it. Returns `None` at the [end of the queue](Self#the-end-of-a-queue).
    ///
    /// A queue that breaks is an error to one of those who wait. All others get `None`, as they do at a reset:
    /// [`fault`](Self::fault) tells the two apart.
    ///
    /// While a thread waits, the driver is asked to notify; whoever learns of that calls [`wake`](Self::wake). Any
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
            // The order matters, as for a stream.
            let listener = self.listen();
            if let Poll::Ready(found) = self.arm_and_look() {
                drop(listener);
                self.wake();
                return found;
            }
            listener.wait();
        }
    }

    /// Returns a listener for [`wake`](Self::wake) and all else that is worth another look.
    pub(crate) fn listen(&self) -> EventListener {
        self.inner.chains.listen()
    }

    /// Fetches a chain if there is one.
    #[inline]
    pub(crate) fn look(&self) -> Seen<R::Mem> {
        let seen = self.with(|state| state.look(|| self.home()));
        if let Poll::Ready(Err(_)) = seen {
            self.inner.broken();
        }
        seen
    }

    /// Asks the driver to notify, and then fetches a chain if there is one.
    pub(crate) fn arm_and_look(&self) -> Seen<R::Mem> {
        let seen = self.with(|state| state.arm_and_look(|| self.home()));
        if let Poll::Ready(Err(_)) = seen {
            self.inner.broken();
        }
        seen
    }
}

/// Ends and pauses.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> SharedQueue<R, N, L> {
    /// Lets nothing be fetched until [`resume`](Self::resume). Chains that are out are returned as ever.
    pub fn pause(&self) {
        self.with(|state| state.set_paused(true));
    }

    /// Goes on after [`pause`](Self::pause) or [`drain`](Self::drain): those who wait for chains look again.
    pub fn resume(&self) {
        self.with(|state| state.set_paused(false));
        self.inner.chains.notify(usize::MAX);
    }

    /// Pauses the queue, and waits until nothing is in flight: no chain and no token.
    ///
    /// After that, [`resume`](Self::resume), or take the queue out with [`try_into_queue`](Self::try_into_queue) to
    /// suspend it. After a [`reset`](Self::reset), this waits for the chains that are still out.
    ///
    /// A chain whose return was refused is waited for until it is dropped. When this returns, no chain has a handle on
    /// the memory any more. A thread that holds a chain itself waits for ever.
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

    /// Does what [`drain`](Self::drain) does, and waits asynchronously. If the future is dropped before its end, the
    /// queue is paused all the same.
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

    /// Takes the queue out, for example to suspend it, if it is not being reset and nothing is in flight. Other handles
    /// find nothing in it any more, and those who wait for chains are told that there will be none.
    ///
    /// # Errors
    ///
    /// If chains are in flight, the queue is being reset, or somebody else has taken it: the handle is in the error.
    pub fn try_into_queue(self) -> Result<Queue<R, N>, Self> {
        let queue = self.with(State::take_queue).ok_or_else(|| self.clone())?;
        self.inner.wake(Wakes::EVERYBODY);
        Ok(queue)
    }

    /// Begins a reset, as [`Queue::reset`] does: the queue accesses no memory any more and notifies nobody. Those who
    /// wait for chains are told that there will be none.
    ///
    /// Returns of chains that are out are refused. Their holders can still access the memory. So a device tells the
    /// driver that the reset is complete only after [`drain`](Self::drain) or [`drained`](Self::drained) has waited for
    /// them (VIRTIO 1.4 §2.6.1.1 "Virtqueue Reset", QRST-1, QRST-5, QRST-6).
    pub fn reset(&self) {
        self.with(State::reset);
        self.inner.wake(Wakes::EVERYBODY);
    }

    /// Ends a reset, and returns what is left: the ring with its handle on the memory, and the notifier.
    ///
    /// # Errors
    ///
    /// If chains are in flight, or no reset has begun, or somebody else has ended it: the handle is in the error.
    pub fn finish_reset(self) -> Result<(R, N), Self> {
        self.with(State::finish_reset).ok_or_else(|| self.clone())
    }
}
