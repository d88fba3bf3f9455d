//! The state under the lock of a shared queue.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::convert::Infallible;
use core::task::Poll;

use virtio_queue_core::{
    AdoptError, Armed, DriverNotify, FatalError, Head, Queue, Refused, Restorable, ReturnError, Token,
};
use virtio_ring::packed::Descriptor;

use super::burst::SharedBurst;
use super::phase::Phase;
use super::ring::SharedRing;
use crate::elements::Elements;
use crate::owned_chain::{Home, Kept, OwnedChain};

/// A queue, and the count of its chains that are out.
pub(super) struct State<R: SharedRing, N> {
    pub(super) phase: Phase<R, N>,
    /// Whether fetching is paused.
    paused: bool,
    /// The largest number of elements that can be out.
    budget: usize,
    out: Out,
    /// Whether the queue put back a chain for lack of room, and no chain has returned since.
    full: bool,
    /// Whether the queue put back the last fetched chain for lack of room, so that the device has not seen it.
    unseen: bool,
    /// Whether a thread or task waits until no chain is in flight.
    idle_awaited: bool,
    /// The number of those that hold returned chains back.
    holders: usize,
    /// Whether returned chains are held back, so that the driver does not see them yet.
    unpublished: bool,
}

/// The owned chains that are out.
struct Out {
    chains: usize,
    /// The total number of their elements.
    elements: usize,
}

impl Out {
    /// Counts a chain as out.
    fn keep(&mut self, elements: usize) {
        self.chains += 1;
        self.elements += elements;
    }

    /// Counts a chain as back.
    fn release(&mut self, elements: usize) {
        self.chains -= 1;
        self.elements -= elements;
    }
}

/// The result of a look: a chain, the end of the queue, or nothing yet.
pub(crate) type Seen<M> = Poll<Result<Option<OwnedChain<M>>, FatalError>>;

/// The threads and tasks to wake after the unlock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wakes {
    /// The number of threads and tasks to wake that wait for a chain.
    pub(super) fetchers: usize,
    /// Whether to wake those that wait until no chain is in flight.
    pub(super) idle: bool,
}

impl Wakes {
    pub(super) const NOBODY: Self = Self { fetchers: 0, idle: false };
    pub(super) const EVERYBODY: Self = Self { fetchers: usize::MAX, idle: true };
}

impl<R: SharedRing, N: DriverNotify> State<R, N> {
    pub(super) const fn new(queue: Queue<R, N>, budget: usize) -> Self {
        let phase = Phase::Running(queue);
        let out = Out { chains: 0, elements: 0 };
        Self {
            phase,
            paused: false,
            budget,
            out,
            full: false,
            unseen: false,
            idle_awaited: false,
            holders: 0,
            unpublished: false,
        }
    }

    /// Fetches the next chain, if one is available and has room in the budget. The chain will return to `home`.
    #[inline]
    pub(super) fn fetch(
        &mut self,
        home: impl FnOnce() -> Arc<dyn Home<R::Mem>>,
    ) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        let room = self.room();
        let Phase::Running(queue) = &mut self.phase else { return Ok(None) };
        if (self.paused || self.full) && !queue.is_broken() {
            return Ok(None);
        }
        self.unseen = false;
        let Some(chain) = queue.next_chain()? else { return Ok(None) };
        let mut elements = Elements::NONE;
        let Some(len) = elements.read(chain.walk(), room) else {
            // No chain was fetched after this one, so the queue can put it back.
            let put_back = chain.unfetch();
            return self.put_back(put_back);
        };
        let mem = chain.mem().clone();
        let token = chain.into_token();
        self.out.keep(len);
        Ok(Some(OwnedChain::new(mem, home(), token, elements)))
    }

    /// Records that there was no room for a chain. Reports the fault if the queue broke when it put the chain back.
    #[cold]
    #[inline(never)]
    fn put_back<T>(&mut self, put_back: Result<(), ReturnError>) -> Result<Option<T>, FatalError> {
        match self.queue() {
            Some(queue) if put_back.is_err() => queue.next_chain().map(|_| None),
            _ => {
                (self.full, self.unseen) = (true, true);
                Ok(None)
            }
        }
    }

    /// Fetches the next chain, or reports the end of the queue.
    #[inline]
    pub(super) fn look(&mut self, home: impl FnOnce() -> Arc<dyn Home<R::Mem>>) -> Seen<R::Mem> {
        match self.fetch(home) {
            Ok(None) if !self.is_over() => Poll::Pending,
            fetched => Poll::Ready(fetched),
        }
    }

    /// Asks the driver to notify, and looks for a chain once more.
    pub(super) fn arm_and_look(&mut self, home: impl FnOnce() -> Arc<dyn Home<R::Mem>>) -> Seen<R::Mem> {
        match self.arm(Queue::enable_notifications) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Armed::Waiting) if !self.is_over() => Poll::Pending,
            Ok(_) => self.look(home),
        }
    }

    /// Takes over a chain of an earlier run of the queue, if there is room for it.
    pub(super) fn adopt(
        &mut self,
        head: Head,
        stored: &[Descriptor],
        home: impl FnOnce() -> Arc<dyn Home<R::Mem>>,
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
        self.out.keep(len);
        Ok(Some(OwnedChain::new(mem, home(), token, elements)))
    }

    /// Returns the largest number of elements for the next chain. If no chain is out, only the limits of the queue
    /// apply.
    fn room(&self) -> usize {
        if self.out.chains == 0 { usize::MAX } else { self.budget.saturating_sub(self.out.elements) }
    }

    /// Returns the chain of a token to the driver.
    #[inline]
    pub(super) fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        match &mut self.phase {
            Phase::Running(queue) if self.holders > 0 => {
                self.unpublished = true;
                let (ring, state) = queue.parts_mut();
                state.complete(ring, token, written)
            }
            Phase::Running(queue) => queue.complete(token, written),
            other => other.discard(token),
        }
    }

    /// Holds returned chains back, until [`let_go`](Self::let_go) is called as often as this.
    pub(super) const fn hold(&mut self) {
        self.holders += 1;
    }

    /// Publishes what was held back, unless somebody else still holds it back.
    pub(super) fn let_go(&mut self) -> Result<(), FatalError> {
        self.holders -= 1;
        if self.holders == 0 { self.publish() } else { Ok(()) }
    }

    /// Publishes what is held back, if there is anything. Notifies the driver if the driver wants it.
    pub(super) fn publish(&mut self) -> Result<(), FatalError> {
        // A notifier can panic.
        let unpublished = core::mem::take(&mut self.unpublished);
        let Some(queue) = self.queue().filter(|_| unpublished) else { return Ok(()) };
        let (ring, state) = queue.parts_mut();
        state.publish(ring)
    }

    /// Returns an owned chain to the driver, and drops its memory handle. A refused chain stays out, because its holder
    /// can still access the memory.
    #[inline]
    pub(super) fn complete_owned(
        &mut self,
        token: Token,
        written: u32,
        elements: usize,
        mem: R::Mem,
    ) -> Result<(), Kept<R::Mem>> {
        if let Err(error) = self.check_running(&token) {
            return refused(mem, Some(token), error);
        }
        // The chain counts as back before the call to the notifier, because that can panic.
        self.out.release(elements);
        if let Err(error) = self.complete(token, written) {
            self.out.keep(elements);
            return refused(mem, None, error);
        }
        Ok(())
    }

    /// Puts back an owned chain, and drops its memory handle.
    pub(super) fn unfetch_owned(&mut self, token: Token, elements: usize, mem: R::Mem) -> Result<(), Kept<R::Mem>> {
        let Some(queue) = self.queue() else {
            let error = ReturnError::Stale { id: token.id() };
            return refused(mem, Some(token), error);
        };
        if let Err(Refused { chain: token, error }) = queue.unfetch(token) {
            return refused(mem, Some(token), error);
        }
        self.out.release(elements);
        Ok(())
    }

    /// Takes back a dropped owned chain.
    pub(super) fn take_back(&mut self, token: Token, elements: usize) -> Result<(), Infallible> {
        self.out.release(elements);
        let _ = self.complete(token, 0);
        Ok(())
    }

    /// Takes back a dropped owned chain whose return broke the queue.
    pub(super) fn take_back_without_token(&mut self, elements: usize) -> Result<(), Infallible> {
        self.out.release(elements);
        Ok(())
    }

    /// Checks that the chain of a token can be returned.
    #[inline]
    fn check_running(&self, token: &Token) -> Result<(), ReturnError> {
        let Phase::Running(queue) = &self.phase else { return Err(ReturnError::Stale { id: token.id() }) };
        queue.fault().map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// Returns whom to wake after a return, which succeeded if `returned`.
    #[inline]
    pub(super) fn wakes(&mut self, returned: bool) -> Wakes {
        match self.is_over() {
            true => self.broken(),
            false if returned => self.returned(),
            false => Wakes::NOBODY,
        }
    }

    /// Returns whom to wake when the queue is broken: all that wait for chains, because no more will come.
    #[cold]
    fn broken(&mut self) -> Wakes {
        Wakes { fetchers: usize::MAX, ..self.returned() }
    }

    /// Returns whom to wake after a chain has returned.
    #[inline]
    fn returned(&mut self) -> Wakes {
        if !self.full && !self.idle_awaited { Wakes::NOBODY } else { self.returned_to_waiting() }
    }

    #[cold]
    fn returned_to_waiting(&mut self) -> Wakes {
        let idle = self.idle_awaited && self.is_idle();
        self.idle_awaited &= !idle;
        let fetchers = usize::from(core::mem::take(&mut self.full));
        Wakes { fetchers, idle }
    }

    /// Lends the queue for a burst.
    pub(super) fn burst(&mut self) -> SharedBurst<'_, R, N> {
        SharedBurst::new(&mut self.phase, self.paused, &mut self.unseen)
    }

    /// Asks the driver to notify, unless a notification would be of no use now.
    pub(super) fn arm(
        &mut self,
        enable: impl FnOnce(&mut Queue<R, N>) -> Result<Armed, FatalError>,
    ) -> Result<Armed, FatalError> {
        match &mut self.phase {
            Phase::Running(queue) if (!self.paused && !self.full) || queue.is_broken() => enable(queue),
            _ => Ok(Armed::Waiting),
        }
    }

    /// Asks the driver to notify of chains beyond those that were put back. Does not if the device has not seen one of
    /// these.
    pub(super) fn arm_of_more(&mut self) -> Result<Armed, FatalError> {
        if self.unseen && !self.paused && !self.full && !self.is_over() {
            return Ok(Armed::MoreAvailable);
        }
        self.arm(Queue::enable_notifications_of_more)
    }

    /// Returns whether no chain can ever be fetched again.
    pub(super) fn is_over(&self) -> bool {
        !matches!(&self.phase, Phase::Running(queue) if !queue.is_broken())
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    pub(super) const fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Returns whether no chain is out. If one is, the return of the last chain wakes the threads and tasks that wait
    /// for it.
    pub(super) fn await_idle(&mut self) -> bool {
        let idle = self.is_idle();
        self.idle_awaited |= !idle;
        idle
    }

    /// Returns whether no chain is in flight or held back, and no refused chain is out.
    fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.out.chains == 0 && !self.unpublished
    }

    /// Returns the number of owned chains that are out.
    pub(super) const fn chains_out(&self) -> usize {
        self.out.chains
    }

    /// Returns the number of slots in flight.
    pub(super) fn in_flight(&self) -> u16 {
        match &self.phase {
            Phase::Running(queue) => queue.in_flight(),
            Phase::Resetting(resetting) => resetting.in_flight(),
            Phase::TakenOut => 0,
        }
    }

    /// Returns the queue if it runs or is broken.
    pub(super) const fn queue(&mut self) -> Option<&mut Queue<R, N>> {
        match &mut self.phase {
            Phase::Running(queue) => Some(queue),
            Phase::Resetting(_) | Phase::TakenOut => None,
        }
    }

    /// Begins a reset, unless one has begun or the queue is taken out.
    pub(super) fn reset(&mut self) {
        self.phase = match core::mem::replace(&mut self.phase, Phase::TakenOut) {
            Phase::Running(queue) => Phase::Resetting(queue.reset()),
            other => other,
        };
        // The driver will see none of them.
        self.unpublished = false;
    }

    /// Takes the queue out if it runs and no chain is in flight.
    pub(super) fn take_queue(&mut self) -> Option<Queue<R, N>> {
        let idle = self.is_idle();
        match core::mem::replace(&mut self.phase, Phase::TakenOut) {
            Phase::Running(queue) if idle => Some(queue),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Ends a reset if one has begun and no chain is out.
    pub(super) fn finish_reset(&mut self) -> Option<(R, N)> {
        if !self.is_idle() {
            return None;
        }
        match core::mem::replace(&mut self.phase, Phase::TakenOut) {
            Phase::Resetting(resetting) => match resetting.finish() {
                Ok(parts) => return Some(parts),
                Err(resetting) => self.phase = Phase::Resetting(resetting),
            },
            other => self.phase = other,
        }
        None
    }
}

/// Builds the refusal of a chain.
#[cold]
#[inline(never)]
pub(super) fn refused<M>(mem: M, token: Option<Token>, error: ReturnError) -> Result<(), Kept<M>> {
    Err(Box::new(Refused { chain: (mem, token), error }))
}
