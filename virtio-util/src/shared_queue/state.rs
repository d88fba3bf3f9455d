//! What is under the lock of a shared queue.

use alloc::sync::Arc;
use core::task::Poll;

use virtio_queue_core::{
    AdoptError, Armed, DriverNotify, FatalError, Head, Queue, Refused, Resetting, Restorable, ReturnError, Token,
};
use virtio_ring::packed::Descriptor;

use super::{SharedBurst, SharedRing};
use crate::OwnedChain;
use crate::elements::Elements;
use crate::owned_chain::Home;

/// A queue, and what is out of it.
pub(super) struct State<R: SharedRing, N> {
    pub(super) phase: Phase<R, N>,
    /// Whether nothing is to be fetched.
    paused: bool,
    /// How many elements may be kept.
    budget: usize,
    /// How many elements the chains have that are out, and how many chains there are.
    elements: usize,
    chains: usize,
    /// Whether a chain was put back because there was no room for it, and none was returned since then.
    full: bool,
    /// Whether somebody waits until nothing is in flight.
    idle_awaited: bool,
}

/// What has become of the queue.
pub(super) enum Phase<R: SharedRing, N> {
    /// It runs, or is broken.
    Running(Queue<R, N>),
    /// It is being reset.
    Resetting(Resetting<R, N>),
    /// Somebody has taken it.
    Gone,
}

impl<R: SharedRing, N: DriverNotify> Phase<R, N> {
    /// Takes a chain back that the driver will not hear of any more.
    #[cold]
    pub(super) fn discard(&mut self, token: Token) -> Result<(), ReturnError> {
        let id = token.id();
        if let Self::Resetting(resetting) = self {
            resetting.discard(token)?;
        }
        Err(ReturnError::Stale { id })
    }
}

/// What a look has seen: a chain, or that there will never be one, or nothing yet.
pub(crate) type Seen<M> = Poll<Result<Option<OwnedChain<M>>, FatalError>>;

/// Whom to wake when the lock is free again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wakes {
    /// How many of those who wait for a chain.
    pub(super) fetchers: usize,
    /// Whether those who wait until nothing is in flight.
    pub(super) idle: bool,
}

impl Wakes {
    pub(super) const NOBODY: Self = Self { fetchers: 0, idle: false };
    pub(super) const EVERYBODY: Self = Self { fetchers: usize::MAX, idle: true };
}

impl<R: SharedRing, N: DriverNotify> State<R, N> {
    pub(super) const fn new(queue: Queue<R, N>, budget: usize) -> Self {
        let phase = Phase::Running(queue);
        Self { phase, paused: false, budget, elements: 0, chains: 0, full: false, idle_awaited: false }
    }

    /// Fetches the next chain, if there is one and there is room for it. It will return to `home`.
    #[inline]
    pub(super) fn fetch(
        &mut self,
        home: impl FnOnce() -> Arc<dyn Home>,
    ) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        let room = self.room();
        let Phase::Running(queue) = &mut self.phase else { return Ok(None) };
        if self.paused || self.full {
            return Ok(None);
        }
        let Some(chain) = queue.next_chain()? else { return Ok(None) };
        let mut elements = Elements::NONE;
        let Some(len) = elements.read(chain.walk(), room) else {
            self.full = true;
            // It is the one that was fetched last. If the queue breaks over it, the next look says so.
            let _ = chain.unfetch();
            return Ok(None);
        };
        let mem = chain.mem().clone();
        let token = chain.into_token();
        self.keep(len);
        Ok(Some(OwnedChain::new(mem, home(), token, elements, len)))
    }

    /// Fetches the next chain, or says whether there will ever be one.
    #[inline]
    pub(super) fn look(&mut self, home: impl FnOnce() -> Arc<dyn Home>) -> Seen<R::Mem> {
        match self.fetch(home) {
            Ok(None) if !self.is_over() => Poll::Pending,
            fetched => Poll::Ready(fetched),
        }
    }

    /// Asks the driver to notify, and looks once more.
    pub(super) fn arm_and_look(&mut self, home: impl FnOnce() -> Arc<dyn Home>) -> Seen<R::Mem> {
        match self.arm(Queue::enable_notifications) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Armed::Waiting) if !self.is_over() => Poll::Pending,
            Ok(_) => self.look(home),
        }
    }

    /// Takes over a chain of an earlier life of the queue, if there is room for it.
    pub(super) fn adopt(
        &mut self,
        head: Head,
        stored: &[Descriptor],
        home: impl FnOnce() -> Arc<dyn Home>,
    ) -> Result<Option<OwnedChain<R::Mem>>, AdoptError>
    where
        R: Restorable,
    {
        let room = self.room();
        let Phase::Running(queue) = &mut self.phase else { return Ok(None) };
        let (ring, _) = queue.parts_mut();
        let mut elements = Elements::NONE;
        let Some(len) = elements.read_stored(ring.walk_stored(head, stored), room) else {
            self.full = true;
            return Ok(None);
        };
        let token = queue.adopt(head)?;
        let mem = queue.mem().clone();
        self.keep(len);
        Ok(Some(OwnedChain::new(mem, home(), token, elements, len)))
    }

    /// Returns how many elements the next chain may have. One that is alone is as long as the limits of the queue
    /// allow.
    fn room(&self) -> usize {
        if self.chains == 0 { usize::MAX } else { self.budget.saturating_sub(self.elements) }
    }

    /// Counts a chain as out.
    fn keep(&mut self, elements: usize) {
        self.chains += 1;
        self.elements += elements;
    }

    /// Counts a chain as back.
    pub(super) fn release(&mut self, elements: usize) {
        self.chains -= 1;
        self.elements -= elements;
    }

    /// Returns a chain to the driver, and says whom to wake.
    #[inline]
    pub(super) fn complete(&mut self, token: Token, written: u32) -> (Result<(), ReturnError>, Wakes) {
        let returned = match &mut self.phase {
            Phase::Running(queue) => queue.complete(token, written),
            other => other.discard(token),
        };
        let wakes = if let Err(ReturnError::Broken(_)) = returned { self.broken() } else { self.returned() };
        (returned, wakes)
    }

    /// Returns whom to wake after a burst.
    pub(super) fn after_burst(&mut self) -> Wakes {
        if self.is_over() { self.broken() } else { self.returned() }
    }

    /// Returns whom to wake when the queue is broken: those who wait for chains have to learn that they wait in vain.
    #[cold]
    fn broken(&mut self) -> Wakes {
        Wakes { fetchers: usize::MAX, ..self.returned() }
    }

    /// Puts a chain back, and says whom to wake.
    pub(super) fn unfetch(
        &mut self,
        token: Token,
        elements: usize,
    ) -> (Result<(), Refused<Token, ReturnError>>, Wakes) {
        let result = match self.queue() {
            Some(queue) => queue.unfetch(token),
            None => Err(Refused { error: ReturnError::Stale { id: token.id() }, chain: token }),
        };
        if result.is_err() {
            return (result, Wakes::NOBODY);
        }
        self.release(elements);
        (result, self.returned())
    }

    /// Returns whom to wake after something has returned.
    #[inline]
    pub(super) fn returned(&mut self) -> Wakes {
        if !self.full && !self.idle_awaited { Wakes::NOBODY } else { self.returned_to_waiting() }
    }

    #[cold]
    fn returned_to_waiting(&mut self) -> Wakes {
        let idle = self.idle_awaited && self.in_flight() == 0;
        self.idle_awaited &= !idle;
        let fetchers = usize::from(core::mem::take(&mut self.full));
        Wakes { fetchers, idle }
    }

    /// Lends the queue for a burst.
    pub(super) fn burst(&mut self) -> SharedBurst<'_, R, N> {
        SharedBurst::new(&mut self.phase, self.paused)
    }

    /// Asks the driver to notify, unless that is of no use now.
    pub(super) fn arm(
        &mut self,
        enable: impl FnOnce(&mut Queue<R, N>) -> Result<Armed, FatalError>,
    ) -> Result<Armed, FatalError> {
        match &mut self.phase {
            Phase::Running(queue) if !self.paused && !self.full => enable(queue),
            _ => Ok(Armed::Waiting),
        }
    }

    /// Returns whether no chain will ever be fetched any more.
    pub(super) fn is_over(&self) -> bool {
        !matches!(&self.phase, Phase::Running(queue) if !queue.is_broken())
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    pub(super) const fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Returns whether nothing is in flight. If something is, the return of the last one wakes whoever waits for that.
    pub(super) fn await_idle(&mut self) -> bool {
        let idle = self.in_flight() == 0;
        self.idle_awaited |= !idle;
        idle
    }

    /// Returns how many slots are in flight.
    pub(super) fn in_flight(&self) -> u16 {
        match &self.phase {
            Phase::Running(queue) => queue.in_flight(),
            Phase::Resetting(resetting) => resetting.in_flight(),
            Phase::Gone => 0,
        }
    }

    /// Returns the queue, if it runs or is broken.
    pub(super) const fn queue(&mut self) -> Option<&mut Queue<R, N>> {
        match &mut self.phase {
            Phase::Running(queue) => Some(queue),
            Phase::Resetting(_) | Phase::Gone => None,
        }
    }

    /// Begins a reset, unless one has begun or the queue is gone.
    pub(super) fn reset(&mut self) {
        self.phase = match core::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Running(queue) => Phase::Resetting(queue.reset()),
            other => other,
        };
    }

    /// Takes the queue, if it runs and nothing is in flight.
    pub(super) fn take_queue(&mut self) -> Option<Queue<R, N>> {
        match core::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Running(queue) if queue.in_flight() == 0 => Some(queue),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Ends a reset, if one has begun and nothing is in flight.
    pub(super) fn finish_reset(&mut self) -> Option<(R, N)> {
        match core::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Resetting(resetting) => match resetting.finish() {
                Ok(parts) => return Some(parts),
                Err(resetting) => self.phase = Phase::Resetting(resetting),
            },
            other => self.phase = other,
        }
        None
    }
}
