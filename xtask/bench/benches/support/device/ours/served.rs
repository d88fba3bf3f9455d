//! Chains that are used as soon as they were looked at, by a queue that is told how.

use anyhow::{Error, Result, ensure};
use virtio_queue_core::{FromConfig, Queue};

use super::parts::{Signals, add, config};
use crate::support::device::{Device, MISSING};
use crate::support::memory::LookUp;
use crate::support::ring::Ring;

/// A device that lets its queue serve chains, one by one or in bursts.
pub(super) struct Served<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: R::Mem,
    signals: Signals,
    chains: usize,
    burst: usize,
}

impl<R: FromConfig<Mem: LookUp + Clone>> Served<R> {
    pub(super) fn new(ring: &Ring, mem: R::Mem) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }
}

/// What comes of the chains.
#[derive(Default)]
struct Outcome {
    sum: u64,
    failed: Option<Error>,
}

impl Outcome {
    #[inline(always)]
    fn finish(&mut self, walked: Result<(u64, u32)>) -> u32 {
        match walked {
            Ok((added, written)) => {
                self.sum = self.sum.wrapping_add(added);
                written
            }
            Err(error) => {
                self.failed = Some(error);
                0
            }
        }
    }
}

/// The two ways are functions of their own, as in a device that has only one of them.
impl<R: FromConfig<Mem: LookUp + Clone>> Served<R> {
    #[inline(never)]
    fn one_by_one(&mut self, outcome: &mut Outcome) -> Result<()> {
        let mem = self.mem.look_up();
        for _ in 0..self.chains {
            let served = self.queue.serve(1, &mem, (0, 0), add, |walked| outcome.finish(walked))?;
            ensure!(served == 1, MISSING);
        }
        Ok(())
    }

    #[inline(never)]
    fn in_bursts(&mut self, outcome: &mut Outcome) -> Result<()> {
        let mem = self.mem.look_up();
        for _ in 0..self.chains / self.burst {
            let served = self.queue.serve(self.burst, &mem, (0, 0), add, |walked| outcome.finish(walked))?;
            ensure!(served == self.burst, MISSING);
        }
        Ok(())
    }
}

impl<R: FromConfig<Mem: LookUp + Clone>> Device for Served<R> {
    fn serve(&mut self) -> Result<u64> {
        let mut outcome = Outcome::default();
        if self.burst == 1 { self.one_by_one(&mut outcome) } else { self.in_bursts(&mut outcome) }?;
        outcome.failed.map_or(Ok(outcome.sum), Err)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
