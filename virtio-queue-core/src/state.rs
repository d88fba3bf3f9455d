//! The part of a queue that changes while the queue runs.

use core::fmt;

use virtio_mem_traits::{Access, DriverMem};

use crate::error::{AdoptError, ChainError, FatalError, Refused, ReturnError};
use crate::gathered::Gathered;
use crate::gathered::{Single, heads};
use crate::head::Head;
use crate::notify::{Armed, DriverNotify};
use crate::ring::Pieces;
use crate::ring::Ring;
use crate::saved::Restorable;
use crate::token::Generation;
use crate::token::Token;
use crate::walk::Piece;

/// The part of a queue that changes: positions, chains in flight, and the latch. The other part is the [ring](Ring).
///
/// With the two parts, a device can hold several chains at a time. [`Queue::parts_mut`](crate::Queue::parts_mut)
/// borrows them.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// # driver.add(&DriverChain::new().writable(4)).unwrap();
/// # driver.add(&DriverChain::new().writable(4)).unwrap();
/// let (ring, state) = queue.parts_mut();
/// let first = state.fetch(ring)?.ok_or("nothing is available")?;
/// let second = state.fetch(ring)?.ok_or("one was available")?;
/// state.complete(ring, second, 0)?;
/// state.complete(ring, first, 0)?;
/// state.publish(ring)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct QueueState<R: Ring, N> {
    positions: R::Positions,
    notify: N,
    generation: Generation,
    /// Slots fetched and not returned. INVARIANT: at most the ring's size (INV-5).
    in_flight: u16,
    /// Slots put back since the last fetch.
    unfetched: u16,
    fault: Option<FatalError>,
    fault_reported: bool,
}

impl<R: Ring, N: DriverNotify> QueueState<R, N> {
    /// Takes `ring` into service, and returns the state of a new queue.
    pub(crate) fn activate(ring: &R, notify: N) -> Result<Self, FatalError> {
        Ok(Self::begin(ring.activate()?, notify))
    }

    /// Makes a state without chains in flight.
    pub(crate) fn begin(positions: R::Positions, notify: N) -> Self {
        let generation = Generation::begin();
        Self { positions, notify, generation, in_flight: 0, unfetched: 0, fault: None, fault_reported: false }
    }

    /// Fetches the next chain, if there is one.
    ///
    /// # Errors
    ///
    /// If the queue broke. The error is reported once. After that, the result is `None`.
    #[inline(always)]
    pub fn fetch(&mut self, ring: &R) -> Result<Option<Token>, FatalError> {
        if self.fault.is_some() {
            return self.report();
        }
        match ring.fetch(&mut self.positions, self.in_flight) {
            Ok(Some(head)) => {
                self.in_flight += head.slots();
                self.unfetched = 0;
                Ok(Some(Token::new(head, self.generation)))
            }
            Ok(None) => Ok(None),
            Err(error) => self.break_down(error),
        }
    }

    /// Puts a chain back as if it had not been fetched.
    ///
    /// The next fetch returns the chain again. Put chains back in the reverse order of their fetching (BACK-1).
    ///
    /// # Errors
    ///
    /// If a chain that was fetched later was not put back. If the token is stale, or if the queue is broken. The error
    /// contains the token.
    pub fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        let refused = |token, error| Err(Refused { chain: token, error });
        let (None, Some((head, left))) = (self.fault, self.find(&token)) else {
            let error = self.fault.map_or(ReturnError::Stale { id: token.id() }, ReturnError::Broken);
            return refused(token, error);
        };
        match ring.unfetch(&mut self.positions, head) {
            Ok(true) => {
                self.in_flight = left;
                self.unfetched += head.slots();
                Ok(())
            }
            Ok(false) => refused(token, ReturnError::NotLast { id: head.id() }),
            Err(error) => {
                let error = self.latch(error).into();
                refused(token, error)
            }
        }
    }

    /// Completes a chain without publishing it.
    ///
    /// Afterwards the chain is no longer in flight, even on an error, unless the token was stale. So each chain is
    /// completed once (INV-4).
    ///
    /// # Errors
    ///
    /// If the token is stale, or the queue is broken.
    #[inline(always)]
    pub fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        let (None, Some((head, left))) = (self.fault, self.find(&token)) else {
            return self.refuse(&token);
        };
        match ring.complete(&mut self.positions, head, written) {
            Ok(true) => {
                self.in_flight = left;
                Ok(())
            }
            Ok(false) => Err(ReturnError::Stale { id: head.id() }),
            Err(error) => {
                self.in_flight = left;
                Err(self.latch(error).into())
            }
        }
    }

    /// Returns the error for a token that is stale, or for any token of a broken queue.
    #[cold]
    fn refuse(&mut self, token: &Token) -> Result<(), ReturnError> {
        let stale = self.discard(token.again());
        self.fault.map_or(stale, |error| Err(error.into()))
    }

    /// Removes a chain in flight without returning it to the driver.
    pub(crate) fn discard(&mut self, token: Token) -> Result<(), ReturnError> {
        let (_, left) = self.find(&token).ok_or(ReturnError::Stale { id: token.id() })?;
        self.in_flight = left;
        Ok(())
    }

    /// Checks that the queue is not broken, and that a token can be for a chain in flight in it.
    ///
    /// # Errors
    ///
    /// If the token is stale, or if the queue is broken.
    #[inline]
    pub fn check(&self, token: &Token) -> Result<(), ReturnError> {
        match (self.fault, self.find(token)) {
            (Some(error), _) => Err(error.into()),
            (None, None) => Err(ReturnError::Stale { id: token.id() }),
            (None, Some(_)) => Ok(()),
        }
    }

    /// Returns the head of a chain that can be in flight in this queue, and the number of slots in flight without it.
    #[inline]
    fn find(&self, token: &Token) -> Option<(Head, u16)> {
        let head = token.head_in(self.generation)?;
        // A token that was made up can have 0 slots. Then the subtraction wraps around, and the token is refused.
        (head.slots().wrapping_sub(1) < self.in_flight).then(|| (head, self.in_flight - head.slots()))
    }

    /// Serves and publishes available chains, as [`Queue::serve`](crate::Queue::serve) does.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    // PERF: one chain is published where its positions are at hand (`direct-1-burst-1`).
    #[inline(always)]
    pub fn serve<'m, M: DriverMem + ?Sized, B: Clone, E: From<ChainError>>(
        &mut self,
        ring: &R,
        limit: usize,
        mem: &'m M,
        init: B,
        mut work: impl FnMut(B, Piece<'m>) -> Result<B, E>,
        mut finish: impl FnMut(Result<B, E>) -> u32,
    ) -> Result<usize, FatalError> {
        let work = Pieces { mem, init, work: &mut work, finish: &mut finish };
        if limit == 1 {
            let wanted = self.run(|positions, in_flight| ring.serve_one(positions, in_flight, work))?;
            if wanted == Some(true) {
                self.notify.notify();
            }
            return Ok(wanted.is_some().into());
        }
        let served = self.run(|positions, in_flight| ring.serve(positions, in_flight, limit, work))?;
        if served != 0 {
            match ring.publish(&mut self.positions) {
                Ok(true) => self.notify.notify(),
                Ok(false) => {}
                Err(error) => return Err(self.break_now(error)),
            }
        }
        Ok(served)
    }

    /// Gathers available chains as [`Queue::gather`](crate::Queue::gather) does.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch).
    #[inline(always)]
    pub fn gather<'m, M: DriverMem + ?Sized, const C: usize>(
        &mut self,
        ring: &R,
        limit: usize,
        mem: &'m M,
        access: Access,
        chains: &mut Gathered<'m, C>,
    ) -> Result<usize, FatalError> {
        let mut places = chains.places(self.generation, access);
        let room = places.len();
        let take = |head, addr, memory| {
            if let Some(place) = places.next() {
                *place = Single::new(head, addr, memory);
            }
        };
        let limit = limit.min(room);
        let slots = self.run(|positions, in_flight| ring.gather(positions, in_flight, limit, mem, access, take))?;
        let count = room - places.len();
        chains.filled(count);
        self.in_flight += slots;
        Ok(count)
    }

    /// Completes chains as [`Queue::complete_gathered`](crate::Queue::complete_gathered) does, without publishing them.
    ///
    /// # Errors
    ///
    /// As for [`Queue::complete_gathered`](crate::Queue::complete_gathered).
    // PERF: the generation is checked and the chains are counted once for all of them (`direct-1-burst-32` of the bulk
    // queues).
    #[inline(always)]
    pub fn complete_gathered<'m, const C: usize>(
        &mut self,
        ring: &R,
        chains: &mut Gathered<'m, C>,
        work: impl FnMut(Piece<'m>) -> Option<u32>,
    ) -> Result<(), ReturnError> {
        if self.fault.is_some() || chains.generation() != self.generation || chains.len() > self.in_flight.into() {
            return self.refuse_gathered(chains);
        }
        let (mut left, access) = chains.singles();
        let (mut refused, mut stale) = (0, None);
        self.fault = Some(FatalError::Panicked);
        let completed = ring.complete_all(&mut self.positions, heads(&mut left, access, work), |head| {
            refused += 1;
            stale = stale.or(Some(head.id()));
        });
        self.fault = None;
        let done = chains.len() - left.len();
        chains.remove(done);
        self.in_flight -= slots(done.saturating_sub(refused));
        completed.map_err(|error| self.latch(error))?;
        stale.map_or(Ok(()), |id| Err(ReturnError::Stale { id }))
    }

    /// Returns the error for chains of another queue, or for any chains of a broken queue. The chains of a broken queue
    /// are removed.
    #[cold]
    #[inline(never)]
    fn refuse_gathered<const C: usize>(&mut self, chains: &mut Gathered<'_, C>) -> Result<(), ReturnError> {
        let Some(oldest) = chains.oldest() else { return self.fault.map_or(Ok(()), |error| Err(error.into())) };
        let Some(error) = self.fault.filter(|_| chains.generation() == self.generation) else {
            return Err(ReturnError::Stale { id: oldest.id() });
        };
        self.in_flight = self.in_flight.saturating_sub(slots(chains.len()));
        chains.remove(chains.len());
        Err(error.into())
    }

    /// Calls `work`, which handles many chains, and returns its result. In a broken queue, the result is the default.
    #[inline(always)]
    fn run<T: Default + PartialEq>(
        &mut self,
        work: impl FnOnce(&mut R::Positions, u16) -> Result<T, FatalError>,
    ) -> Result<T, FatalError> {
        if self.fault.is_some() {
            return self.report().map(Option::unwrap_or_default);
        }
        // If the work panics, the queue stays broken, because it is not known which chains were used.
        self.fault = Some(FatalError::Panicked);
        match work(&mut self.positions, self.in_flight) {
            Ok(done) => {
                self.fault = None;
                if done != T::default() {
                    self.unfetched = 0;
                }
                Ok(done)
            }
            Err(error) => Err(self.break_now(error)),
        }
    }

    /// Publishes the completed chains, and notifies the driver if the driver wants that.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn publish(&mut self, ring: &R) -> Result<(), FatalError> {
        if let Some(error) = self.fault {
            return Err(error);
        }
        if ring.publish(&mut self.positions).map_err(|error| self.latch(error))? {
            self.notify.notify();
        }
        Ok(())
    }

    /// Asks the driver not to notify.
    ///
    /// This is a hint. A broken queue does nothing.
    #[inline]
    pub fn suppress_notifications(&mut self, ring: &R) {
        if self.fault.is_none() {
            if let Err(error) = ring.suppress_notifications(&mut self.positions) {
                self.latch(error);
            }
        }
    }

    /// Asks the driver to notify of new chains, and returns whether a chain is available already.
    ///
    /// # Errors
    ///
    /// As for [`fetch`](Self::fetch). If the error was reported already, the result is [`Armed::Waiting`].
    #[inline]
    pub fn enable_notifications(&mut self, ring: &R) -> Result<Armed, FatalError> {
        if self.fault.is_none() {
            match ring.enable_notifications(&mut self.positions) {
                Ok(armed) => return Ok(armed),
                Err(error) => self.latch(error),
            };
        }
        self.report().map(|nothing| nothing.unwrap_or(Armed::Waiting))
    }

    /// Asks the driver to notify of chains beyond those that were [put back](Self::unfetch).
    ///
    /// # Errors
    ///
    /// As for [`enable_notifications`](Self::enable_notifications).
    pub fn enable_notifications_of_more(&mut self, ring: &R) -> Result<Armed, FatalError> {
        if self.fault.is_none() {
            match ring.enable_notifications_of_more(&mut self.positions, self.unfetched) {
                Ok(armed) => return Ok(armed),
                Err(error) => self.latch(error),
            };
        }
        self.report().map(|nothing| nothing.unwrap_or(Armed::Waiting))
    }

    /// Returns the number of slots in flight: fetched, and not returned.
    #[inline]
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Returns the error that broke the queue, or `None` if the queue is not broken.
    #[inline]
    #[must_use]
    pub const fn fault(&self) -> Option<FatalError> {
        self.fault
    }

    /// Adopts a chain that an earlier life of the queue fetched and did not return.
    ///
    /// # Errors
    ///
    /// If the restored positions have no room for the chain, or if the queue is broken.
    pub(crate) fn adopt(&mut self, ring: &R, head: Head) -> Result<Token, AdoptError>
    where
        R: Restorable,
    {
        if let Some(error) = self.fault {
            return Err(AdoptError::Broken(error));
        }
        let (size, in_flight) = (ring.size(), self.in_flight);
        let adopted = ring.adopt(&mut self.positions, head, in_flight);
        let head = adopted.ok_or(AdoptError::Head { id: head.id(), slots: head.slots(), in_flight, size })?;
        self.in_flight += head.slots();
        Ok(Token::new(head, self.generation))
    }

    pub(crate) const fn positions(&self) -> &R::Positions {
        &self.positions
    }

    pub(crate) const fn notifier(&self) -> &N {
        &self.notify
    }

    pub(crate) fn into_notify(self) -> N {
        self.notify
    }

    /// Breaks the queue, and reports the error.
    #[cold]
    fn break_down<T>(&mut self, error: FatalError) -> Result<Option<T>, FatalError> {
        self.latch(error);
        self.report()
    }

    /// Breaks the queue, and returns the error for the caller to report.
    #[cold]
    pub(crate) fn break_now(&mut self, error: FatalError) -> FatalError {
        self.fault_reported = true;
        self.latch(error)
    }

    /// Breaks the queue.
    #[cold]
    fn latch(&mut self, error: FatalError) -> FatalError {
        self.fault = Some(error);
        error
    }

    /// Reports the error that broke the queue, once. A refused chain does not count as a report (INV-3, HOST-28).
    #[cold]
    fn report<T>(&mut self) -> Result<Option<T>, FatalError> {
        match self.fault {
            Some(error) if !self.fault_reported => {
                self.fault_reported = true;
                Err(error)
            }
            _ => Ok(None),
        }
    }
}

/// Converts a number of chains of one element, which are all in flight, into the number of their slots.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a ring has at most 2^15 slots")]
const fn slots(chains: usize) -> u16 {
    chains as u16
}

impl<R: Ring<Positions: fmt::Debug>, N> fmt::Debug for QueueState<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueState")
            .field("positions", &self.positions)
            .field("in_flight", &self.in_flight)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
