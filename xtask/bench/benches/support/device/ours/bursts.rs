//! Chains that are used as soon as they were looked at, by a device that has them in its hands.

use anyhow::{Result, bail};
use virtio_queue_core::{Chain, FromConfig, Queue};

use super::parts::{Signals, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::Ring;

/// A device that publishes in bursts.
pub(super) struct Bursts<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: R::Mem,
    signals: Signals,
    chains: usize,
    burst: usize,
}

impl<R: FromConfig<Mem = Table>> Bursts<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let (mem, signals) = (ring.memory.table(), Signals::default());
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }
}

impl<R: FromConfig<Mem = Table>> Device for Bursts<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.burst {
            let mut burst = self.queue.burst();
            for _ in 0..self.burst {
                let Some(chain) = burst.next_chain()? else { bail!(MISSING) };
                let (added, written) = walk(chain.walk(), &mem)?;
                sum = sum.wrapping_add(added);
                chain.return_unchecked(written).map_err(|refused| refused.error)?;
            }
            burst.finish()?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
