//! Chains that are used as soon as they were looked at.

use anyhow::{Result, bail};
use virtio_mem_traits::DriverMem;
use virtio_queue_core::{Chain, FromConfig, Queue};

use super::{Signals, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::LookUp;
use crate::support::ring::Ring;

/// A device that publishes chain by chain, or in bursts.
pub(super) struct Bursts<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: R::Mem,
    signals: Signals,
    chains: usize,
    burst: usize,
}

impl<R: FromConfig<Mem: LookUp + Clone>> Bursts<R> {
    pub(super) fn new(ring: &Ring, mem: R::Mem) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }

    /// Serves chains that are published one by one.
    fn one_by_one(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let mut sum = 0_u64;
        for _ in 0..self.chains {
            let Some(chain) = self.queue.next_chain()? else { bail!(MISSING) };
            let (added, written) = walk(chain.elements(), &mem)?;
            sum = sum.wrapping_add(added);
            chain.return_unchecked(written).map_err(|refused| refused.error)?;
        }
        Ok(sum)
    }

    /// Serves as many chains, which are published together.
    #[inline]
    fn burst(queue: &mut Queue<R, Signals>, mem: &impl DriverMem, chains: usize) -> Result<u64> {
        let mut sum = 0_u64;
        let mut burst = queue.burst();
        for _ in 0..chains {
            let Some(chain) = burst.next_chain()? else { bail!(MISSING) };
            let (added, written) = walk(chain.elements(), mem)?;
            sum = sum.wrapping_add(added);
            chain.return_unchecked(written).map_err(|refused| refused.error)?;
        }
        burst.finish()?;
        Ok(sum)
    }
}

impl<R: FromConfig<Mem: LookUp + Clone>> Device for Bursts<R> {
    fn serve(&mut self) -> Result<u64> {
        if self.burst == 1 {
            return self.one_by_one();
        }
        let mem = self.mem.look_up();
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.burst {
            sum = sum.wrapping_add(Self::burst(&mut self.queue, &mem, self.burst)?);
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
