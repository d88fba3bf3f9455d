//! Raw bytes as the memory of a queue, and a device that does anything in any order.

use std::iter;
use std::sync::Arc;

use virtio_chain::{ReadableChain, WritableChain};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    Access, AnyRing, Chain, ChainError, FatalError, FromConfig, Gathered, InOrderRing, OrderSlot, OrderedRing, Piece,
    Queue, QueueConfig, Restorable, ReturnError, Ring as QueueRing, SavedQueue, Token,
};

use crate::input::Input;
use crate::memory::Memory;
use crate::ring::{Interrupts, Ring, config};

type Mem = Arc<Memory>;

/// Runs one of eight kinds of ring.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    match input.u8() % 8 {
        0 => run_on::<SplitRing<Mem>>(input, false),
        1 => run_on::<PackedRing<Mem>>(input, true),
        2 => run_on::<InOrderRing<SplitRing<Mem>, Vec<OrderSlot>>>(input, false),
        3 => run_on::<InOrderRing<PackedRing<Mem>, [OrderSlot; 40]>>(input, true),
        4 => run_on::<OrderedRing<SplitRing<Mem>, [OrderSlot; 64]>>(input, false),
        5 => run_on::<OrderedRing<PackedRing<Mem>, Vec<OrderSlot>>>(input, true),
        6 => run_on::<AnyRing<Mem>>(input, false),
        _ => run_on::<AnyRing<Mem>>(input, true),
    }
}

/// A device and its driver.
struct Run<'i, R: QueueRing<Mem = Mem>> {
    input: Input<'i>,
    mem: Mem,
    config: QueueConfig,
    ring: Ring,
    interrupts: Arc<Interrupts>,
    queue: Queue<R, Arc<Interrupts>>,
    /// The chains in flight.
    tokens: Vec<Token>,
    /// Chains from before a reset.
    stale: Vec<Token>,
    /// Whether a fault was reported, and whether a token was made up.
    reported: bool,
    forged: bool,
}

fn run_on<R: FromConfig + Restorable + QueueRing<Mem = Mem>>(mut input: Input<'_>, packed: bool) {
    let mem = Memory::new(&mut input);
    let config = config(&mut input, packed);
    let interrupts = Arc::new(Interrupts::default());
    let Ok(queue) = Queue::<R, _>::new(&config, Arc::clone(&mem), Arc::clone(&interrupts)) else { return };
    if input.flag() {
        mem.deny(&mut input);
    }
    if input.u8().is_multiple_of(8) {
        mem.lie(input.u8());
    }
    let ring = Ring::new(&mem, &config);
    let (tokens, stale) = (Vec::new(), Vec::new());
    let mut run = Run { input, mem, config, ring, interrupts, queue, tokens, stale, reported: false, forged: false };
    for _ in 0..100 {
        if run.input.is_empty() || !run.step() {
            break;
        }
    }
    run.mem.check();
}

impl<R: FromConfig + Restorable + QueueRing<Mem = Mem>> Run<'_, R> {
    /// Does one thing, and returns whether there is a queue left.
    fn step(&mut self) -> bool {
        let (before, broken) = (self.mem.work(), self.queue.is_broken());
        let action = self.input.u8() % 32;
        let goes_on = match action {
            0..11 => {
                self.driver_acts(action);
                return true;
            }
            29 => self.suspend(),
            30 => self.reset(),
            _ => {
                self.device_acts(action);
                true
            }
        };
        let work = self.mem.work() - before;
        assert!(work <= self.bound(), "{work} accesses and translations for one call: at most {}", self.bound());
        assert!(!broken || work == 0 || action >= 29, "a broken queue made {work} accesses");
        goes_on && self.balances()
    }

    /// Returns how much work a call may make: in a burst, each slot is fetched, walked three times and returned.
    fn bound(&self) -> u64 {
        let (size, limit) = (u64::from(self.config.size), self.limit() as u64);
        3 * (size + 3) * (3 * (limit + 6) + 12) + 200
    }

    fn limit(&self) -> usize {
        self.config.limits.chain_len.map_or(self.config.size.into(), |limit| limit as usize)
    }

    /// Checks that the chains in the device's hands are those that the queue counts.
    fn balances(&self) -> bool {
        let in_flight = self.queue.in_flight();
        assert!(in_flight <= self.config.size);
        if !self.forged && !self.queue.is_broken() {
            assert_eq!(in_flight == 0, self.tokens.is_empty());
            assert!(self.ring.is_packed() || usize::from(in_flight) == self.tokens.len());
        }
        true
    }

    fn driver_acts(&mut self, action: u8) {
        let (ring, input) = (&mut self.ring, &mut self.input);
        match action {
            0..3 => ring.offer(input),
            3..6 => ring.write_descriptor(input),
            6 | 7 => ring.write_table(input),
            8 => ring.write_anywhere(input),
            9 => ring.write_event(input),
            _ if input.u8() == 3 => ring.jump(input),
            _ => self.mem.script(input),
        }
    }

    fn device_acts(&mut self, action: u8) {
        match action {
            11..16 => self.next_chain(),
            16 | 17 => self.burst(),
            18 | 19 => self.serve(),
            20 => self.gather(),
            21..24 => self.complete(),
            24 => self.unfetch(),
            25 => self.queue.suppress_notifications(),
            26 => {
                let armed = self.queue.enable_notifications().map(|_| ());
                self.report(armed);
            }
            27 => self.complete_stale(),
            28 => self.complete_forged(),
            _ => {
                let armed = self.queue.enable_notifications_of_more().map(|_| ());
                self.report(armed);
            }
        }
    }

    /// A fault is reported once.
    fn report<T>(&mut self, result: Result<T, FatalError>) -> Option<T> {
        result
            .inspect_err(|error| {
                assert!(!self.reported, "reported twice: {error}");
                self.reported = true;
            })
            .ok()
    }

    fn next_chain(&mut self) {
        let (how, limit, quiet) = (self.input.u8(), self.limit(), self.mem.is_quiet());
        let input = &mut self.input;
        let mut kept = None;
        let fetched = self.queue.next_chain().map(|chain| {
            let Some(chain) = chain else { return };
            let writable = check_walk(&chain, limit, quiet);
            match how % 7 {
                0 => drop(chain),
                1 => kept = Some(chain.into_token()),
                2 => check_return(chain.return_written(input.u32()), writable),
                3 => read_and_write(chain, input),
                4 => answer_in_parts(chain),
                5 => kept = chain.try_unfetch().err().map(|refused| refused.chain.into_token()),
                _ => _ = chain.return_unchecked(u32::try_from(writable).unwrap_or(u32::MAX)).map_err(drop),
            }
        });
        self.tokens.extend(kept);
        self.report(fetched);
    }

    fn burst(&mut self) {
        let mut failed = Ok(());
        let mut burst = self.queue.burst();
        for _ in 0..self.input.u8() % 8 {
            match self.input.u8() % 4 {
                0 => _ = self.tokens.pop().map(|token| burst.complete(token, 0)),
                1 => _ = burst.flush(),
                keep => match burst.next_chain() {
                    Ok(Some(chain)) if keep == 2 => self.tokens.push(chain.into_token()),
                    Ok(chain) => drop(chain),
                    Err(error) => {
                        failed = Err(error);
                        break;
                    }
                },
            }
        }
        if self.input.flag() {
            let _ = burst.finish();
        } else {
            drop(burst);
        }
        self.report(failed);
    }

    fn serve(&mut self) {
        let (limit, fails) = (usize::from(self.input.u8() % 64), self.input.flag());
        let size = usize::from(self.config.size);
        let mem = Arc::clone(&self.mem);
        let mut calls = 0;
        let add = |sum: u32, piece: Piece<'_>| {
            if fails && sum > 100 { Err(Failed) } else { Ok(sum.wrapping_add(piece.memory.len() as u32)) }
        };
        let served = self.queue.serve(limit, &mem, 0, add, |sum| {
            calls += 1;
            sum.unwrap_or_default()
        });
        assert!(calls <= limit.min(size), "{calls} chains in a turn of a queue of {size}");
        if let Some(served) = self.report(served) {
            assert_eq!(served, calls);
        }
    }

    /// Gathers packets, and keeps some of them.
    fn gather(&mut self) {
        let (limit, access) = (usize::from(self.input.u8() % 16), self.input.one_of(&[Access::Read, Access::Write]));
        let mem = Arc::clone(&self.mem);
        let mut chains = Gathered::<8>::new();
        let count = self.queue.gather(limit, &*mem, access, &mut chains);
        if let Some(count) = self.report(count) {
            assert_eq!(count, chains.len());
        }
        assert!(chains.pieces().all(|piece| piece.memory.access() == access && piece.access == access));
        let mut left = self.input.below(chains.len() + 1);
        let done = self.queue.complete_gathered(&mut chains, |_| {
            left = left.checked_sub(1)?;
            Some(0)
        });
        assert!(done.is_ok() || self.queue.is_broken(), "{done:?}");
        self.tokens.extend(iter::from_fn(|| chains.pop()));
    }

    fn any_token(&mut self) -> Option<Token> {
        let count = self.tokens.len();
        (count != 0).then(|| self.tokens.swap_remove(self.input.below(count)))
    }

    fn complete(&mut self) {
        let Some(token) = self.any_token() else { return };
        let returned = self.queue.complete(token, self.input.u32());
        assert!(returned.is_ok() || self.forged || self.queue.is_broken(), "{returned:?}");
    }

    fn unfetch(&mut self) {
        let Some(token) = self.any_token() else { return };
        if let Err(refused) = self.queue.unfetch(token) {
            self.tokens.push(refused.chain);
        }
    }

    /// A token from before a reset is refused, and changes nothing.
    fn complete_stale(&mut self) {
        let Some(token) = self.stale.pop() else { return };
        let (in_flight, interrupts) = (self.queue.in_flight(), self.interrupts.count());
        assert!(self.queue.complete(token, 4).is_err());
        assert_eq!((in_flight, interrupts), (self.queue.in_flight(), self.interrupts.count()));
    }

    /// So is one that is made up, unless it happens to be one that is in flight.
    fn complete_forged(&mut self) {
        let generation = self.tokens.pop().map_or(0, |token| {
            let number = token.into_u64();
            self.tokens.push(Token::from_u64(number));
            number >> 48 << 48
        });
        self.forged = true;
        let before = self.queue.in_flight();
        if self.queue.complete(Token::from_u64(generation | self.input.u64() >> 16), 1).is_ok() {
            assert!(self.queue.in_flight() < before);
        }
    }

    /// Takes the queue's place with another one.
    fn renew(&mut self, queue: Option<Queue<R, Arc<Interrupts>>>) -> bool {
        (self.reported, self.forged) = (false, false);
        self.tokens.clear();
        match queue.or_else(|| Queue::new(&self.config, Arc::clone(&self.mem), Arc::clone(&self.interrupts)).ok()) {
            Some(queue) => self.queue = queue,
            None => return false,
        }
        true
    }

    /// Takes the queue out, so that it can be used up.
    fn take(&mut self) -> Option<Queue<R, Arc<Interrupts>>> {
        let fresh = Queue::new(&self.config, Arc::clone(&self.mem), Arc::clone(&self.interrupts)).ok()?;
        Some(std::mem::replace(&mut self.queue, fresh))
    }

    fn suspend(&mut self) -> bool {
        let Some(queue) = self.take() else { return false };
        let mut draining = queue.drain();
        for token in self.tokens.drain(..) {
            let _ = draining.complete(token, 0);
        }
        let suspended = match draining.suspend() {
            Ok(suspended) => suspended,
            Err(draining) => {
                self.queue = draining.cancel();
                return true;
            }
        };
        let work = self.mem.work();
        let saved = suspended.save();
        assert_eq!(work, self.mem.work(), "a suspended queue accesses nothing");
        if self.input.flag() {
            return self.renew(suspended.resume().ok().map(|(queue, _)| queue));
        }
        let saved = if self.input.flag() { saved } else { self.any_saved() };
        let Ok((ring, _)) = suspended.reset().finish() else { panic!("nothing is in flight") };
        let restored = Queue::restore(ring, Arc::clone(&self.interrupts), &saved);
        self.renew(restored.ok().map(|(queue, _)| queue))
    }

    fn any_saved(&mut self) -> SavedQueue {
        let features = self.config.features;
        let at = SavedQueue::at(self.input.u16(), self.input.u16(), features);
        if self.input.flag() { at } else { SavedQueue::from_vring_base(self.input.u32(), features).unwrap_or(at) }
    }

    /// A reset touches nothing and tells nobody.
    fn reset(&mut self) -> bool {
        let Some(queue) = self.take() else { return false };
        let (work, interrupts, broken) = (self.mem.work(), self.interrupts.count(), queue.is_broken());
        let mut resetting = queue.reset();
        for token in self.tokens.drain(..) {
            let number = token.into_u64();
            let discarded = resetting.discard(Token::from_u64(number));
            assert!(discarded.is_ok() || self.forged || broken, "{discarded:?}");
            if self.stale.len() < 3 {
                self.stale.push(Token::from_u64(number));
            }
        }
        let _ = resetting.finish();
        assert_eq!((work, interrupts), (self.mem.work(), self.interrupts.count()));
        self.ring.reset();
        self.renew(None)
    }
}

/// Checks the elements of a chain, and returns how many bytes are writable.
fn check_walk(chain: &impl Chain, limit: usize, quiet: bool) -> u64 {
    let (mut elements, mut bytes, mut writable) = (0, 0, 0);
    let mut place = chain.start();
    let mut ended = None;
    while let Some(element) = chain.next_element(&mut place) {
        assert!(ended.is_none(), "something comes after an error");
        match element {
            Ok(element) => {
                let len = element.range.len();
                (elements, bytes) = (elements + 1, bytes + len);
                assert!(len != 0 && (writable == 0 || element.access.writes()));
                writable += if element.access.writes() { len } else { 0 };
            }
            Err(error) => {
                assert_eq!(error.id, chain.id());
                ended = Some(error);
            }
        }
    }
    assert!(elements <= limit && bytes <= 1 << 32, "{elements} elements of {bytes} bytes");
    if quiet {
        let folded = virtio_queue_core::ChainWalk::new(chain).try_fold(0, |count, element| element.map(|_| count + 1));
        assert_eq!(folded, ended.map_or(Ok(elements), Err), "two walks of the same chain");
    }
    writable
}

/// More than is writable is refused.
fn check_return(returned: Result<(), ReturnError>, writable: u64) {
    if let Err(ReturnError::TooLong { written, .. }) = returned {
        assert!(u64::from(written) > writable);
    }
}

fn read_and_write(chain: impl Chain, input: &mut Input<'_>) {
    let mut request = ReadableChain::new(chain);
    let mut bytes = [0; 40];
    let _ = request.read(&mut bytes);
    let mut answer = WritableChain::from_incomplete_readable(request);
    let _ = answer.write(&bytes);
    let _ = answer.skip(u64::from(input.u8() % 4));
    let _ = answer.fill(input.u8().into(), 1);
}

fn answer_in_parts(chain: impl Chain) {
    let mut answer = WritableChain::from_incomplete_readable(ReadableChain::new(chain));
    if let Ok(status) = answer.split_last(1) {
        let _ = answer.fill(10, 2);
        let _ = answer.join(status);
        let _ = answer.write(&[1]);
    }
    let _ = answer.return_complete();
}

/// A chain that a device does not go on with.
struct Failed;

impl From<ChainError> for Failed {
    fn from(_: ChainError) -> Self {
        Self
    }
}
