//! A shared queue whose chains are kept, dropped, put back and streamed.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use virtio_chain::{ReadableChain, WritableChain};
use virtio_queue_core::{AnyQueue, AnyRing};
use virtio_util::{DescChainStream, OwnedChain, SharedAnyQueue, SharedQueue};

use crate::input::Input;
use crate::memory::Memory;
use crate::ring::{Interrupts, Ring, config};

type Shared = SharedAnyQueue<Arc<Memory>, Arc<Interrupts>>;
type Stream = DescChainStream<AnyRing<Arc<Memory>>, Arc<Interrupts>>;

/// What a device does with its queue, in any order.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mem = Memory::new(&mut input);
    let packed = input.flag();
    let config = config(&mut input, packed);
    let Ok(queue) = AnyQueue::new(&config, Arc::clone(&mem), Arc::default()) else { return };
    let budget = usize::from(input.u8());
    let queue: Shared = SharedQueue::with_budget(queue, budget);
    let mut run = Run {
        stream: DescChainStream::new(queue.clone()),
        ring: Ring::new(&mem, &config),
        limit: config.limits.chain_len.unwrap_or(config.size.into()) as usize,
        kept: Vec::new(),
        input,
        mem,
        queue,
        budget,
    };
    for _ in 0..100 {
        if run.input.is_empty() {
            break;
        }
        run.step();
    }
    run.end();
}

struct Run<'i> {
    input: Input<'i>,
    mem: Arc<Memory>,
    ring: Ring,
    limit: usize,
    queue: Shared,
    stream: Stream,
    kept: Vec<OwnedChain<Arc<Memory>>>,
    budget: usize,
}

impl Run<'_> {
    fn step(&mut self) {
        let (before, action) = (self.mem.work(), self.input.u8() % 20);
        match action {
            0..3 => self.ring.offer(&mut self.input),
            3..5 => self.ring.write_descriptor(&mut self.input),
            5 => self.ring.write_table(&mut self.input),
            6 => self.ring.write_anywhere(&mut self.input),
            7 => self.mem.script(&mut self.input),
            8..11 => {
                let fetched = self.queue.next_chain().ok().flatten();
                self.kept.extend(fetched);
            }
            11 | 12 => self.poll(),
            13 => self.queue.pause(),
            14 => self.queue.resume(),
            15 => _ = self.queue.enable_notifications(),
            16 => _ = self.queue.enable_notifications_of_more(),
            _ => self.give_back(),
        }
        if action > 7 {
            let (work, bound) = (self.mem.work() - before, 10 * (self.limit as u64 + 50));
            assert!(work <= bound, "{work} accesses and translations for one call: at most {bound}");
        }
        self.balances();
    }

    fn poll(&mut self) {
        let mut next = pin!(self.stream.next_chain());
        if let Poll::Ready(Ok(Some(chain))) = next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.kept.push(chain);
        }
    }

    fn give_back(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let place = self.input.below(self.kept.len());
        let chain = self.kept.swap_remove(place);
        match self.input.u8() % 4 {
            0 => drop(chain),
            1 => _ = chain.return_written(self.input.u8().into()),
            2 => self.kept.extend(chain.try_unfetch().err().map(|refused| refused.chain)),
            _ => {
                let mut request = ReadableChain::new(chain);
                let _ = request.read(&mut [0; 64]);
                let mut answer = WritableChain::from_incomplete_readable(request);
                let _ = answer.fill(self.input.u8().into(), 7);
            }
        }
    }

    /// All chains that are out are counted, and one budget bounds their elements.
    fn balances(&self) {
        assert_eq!(self.queue.chains_out(), self.kept.len());
        let elements: usize = self.kept.iter().map(|chain| chain.walk().filter(Result::is_ok).count()).sum();
        let longest = self.kept.iter().map(|chain| chain.walk().filter(Result::is_ok).count()).max().unwrap_or(0);
        assert!(elements <= self.budget || elements == longest, "{elements} elements in a budget of {}", self.budget);
        assert!(self.kept.iter().all(|chain| chain.walk().count() <= self.limit + 1));
    }

    /// After a reset nothing is accessed, and when all chains are gone nothing is in flight.
    fn end(mut self) {
        self.queue.reset();
        let work = self.mem.work();
        for chain in self.kept.drain(..) {
            let _ = chain.return_written(0);
        }
        assert_eq!((self.queue.chains_out(), self.queue.in_flight()), (0, 0));
        assert_eq!(work, self.mem.work(), "a queue that was reset accesses nothing");
        drop(self.stream);
        assert!(self.queue.finish_reset().is_ok());
        self.mem.check();
    }
}
