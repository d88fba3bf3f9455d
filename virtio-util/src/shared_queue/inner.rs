//! The shared part of the handles of a queue, and the destination of its chains.

use alloc::sync::Arc;
use core::mem;

use event_listener::Event;
use virtio_queue_core::{DriverNotify, ReturnError, Token};

use super::ring::SharedRing;
use super::state::{State, Wakes, refused};
use crate::lock::Lock;
use crate::owned_chain::{Home, Kept};

/// The data that the handles and the chains of a queue share.
pub(crate) struct Inner<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> {
    pub(super) state: L::Of<State<R, N>>,
    pub(super) size: u16,
    /// Wakes the threads and tasks that wait for a chain.
    pub(super) chains: Event,
    /// Wakes the threads and tasks that wait until no chain is in flight.
    pub(super) idle: Event,
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Inner<R, N, L> {
    pub(super) const fn new(state: L::Of<State<R, N>>, size: u16) -> Self {
        Self { state, size, chains: Event::new(), idle: Event::new() }
    }

    /// Calls `work`, which can return chains, and then wakes the waiting threads and tasks. Wakes them even if `work`
    /// panics, for example in a notifier.
    #[inline]
    pub(super) fn returning<T, E>(&self, work: impl FnOnce(&mut State<R, N>) -> Result<T, E>) -> Result<T, E> {
        let if_it_panics = WakeAfter(self);
        let (done, wakes) = L::with(&self.state, |state| {
            let done = work(state);
            let wakes = state.wakes(done.is_ok());
            (done, wakes)
        });
        mem::forget(if_it_panics);
        self.wake(wakes);
        done
    }

    #[inline]
    pub(super) fn wake(&self, wakes: Wakes) {
        if wakes != Wakes::NOBODY {
            self.wake_waiting(wakes);
        }
    }

    #[cold]
    fn wake_waiting(&self, Wakes { fetchers, idle }: Wakes) {
        self.chains.notify(fetchers);
        if idle {
            self.idle.notify(usize::MAX);
        }
    }

    /// Wakes all that wait for chains, because no more will come.
    #[cold]
    pub(super) fn broken(&self) {
        self.chains.notify(usize::MAX);
    }
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Home<R::Mem> for Inner<R, N, L> {
    fn complete(&self, token: Token, written: u32, elements: usize, mem: R::Mem) -> Result<(), Kept<R::Mem>> {
        self.returning(|state| state.complete_owned(token, written, elements, mem))
    }

    fn unfetch(&self, token: Token, elements: usize, mem: R::Mem) -> Result<(), Kept<R::Mem>> {
        self.returning(|state| state.unfetch_owned(token, elements, mem))
    }

    fn take_back(&self, token: Token, elements: usize) {
        let Ok(()) = self.returning(|state| state.take_back(token, elements));
    }

    #[cold]
    fn without_token(self: Arc<Self>) -> Arc<dyn Home<R::Mem>> {
        Arc::new(WithoutToken(self))
    }
}

/// The destination of a chain whose return broke the queue. The chain counts as out until it is dropped, because its
/// holder can access the memory.
struct WithoutToken<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock>(Arc<Inner<R, N, L>>);

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Home<R::Mem> for WithoutToken<R, N, L> {
    fn complete(&self, token: Token, _: u32, _: usize, mem: R::Mem) -> Result<(), Kept<R::Mem>> {
        let error = ReturnError::Stale { id: token.id() };
        refused(mem, Some(token), error)
    }

    fn unfetch(&self, token: Token, elements: usize, mem: R::Mem) -> Result<(), Kept<R::Mem>> {
        self.complete(token, 0, elements, mem)
    }

    fn take_back(&self, _: Token, elements: usize) {
        let Ok(()) = self.0.returning(|state| state.take_back_without_token(elements));
    }

    fn without_token(self: Arc<Self>) -> Arc<dyn Home<R::Mem>> {
        self
    }
}

/// Publishes, on its drop, the chains that were held back.
pub(super) struct LetGo<'q, R: SharedRing, N: DriverNotify + Send + 'static, L: Lock>(pub(super) &'q Inner<R, N, L>);

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Drop for LetGo<'_, R, N, L> {
    #[inline]
    fn drop(&mut self) {
        // A broken queue has reported its fault, or will report it.
        let _ = self.0.returning(State::let_go);
    }
}

/// Wakes, on its drop, the threads and tasks that wait for returned chains.
struct WakeAfter<'q, R: SharedRing, N: DriverNotify + Send + 'static, L: Lock>(&'q Inner<R, N, L>);

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Drop for WakeAfter<'_, R, N, L> {
    #[cold]
    fn drop(&mut self) {
        self.0.wake(L::with(&self.0.state, |state| state.wakes(true)));
    }
}
