//! Chains of either format that are used as soon as they were looked at, piece by piece.

use anyhow::{Result, ensure};
use virtio_queue_core::{FromConfig, Queue};

use super::{Signals, add, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::Ring;

/// A device that lets its queue serve the pieces of chains, one chain by one or in bursts.
pub(super) struct Pieces<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: R::Mem,
    signals: Signals,
    chains: usize,
    burst: usize,
}

impl<R: FromConfig<Mem = Table>> Pieces<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let (mem, signals) = (ring.memory.table(), Signals::default());
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }
}

impl<R: FromConfig<Mem = Table>> Device for Pieces<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let (mut sum, mut failed) = (0_u64, None);
        let mut finish = |walked: Result<(u64, u32)>| match walked {
            Ok((added, written)) => {
                sum = sum.wrapping_add(added);
                written
            }
            Err(error) => {
                failed = Some(error);
                0
            }
        };
        for _ in 0..self.chains / self.burst {
            let served = match self.burst {
                1 => self.queue.serve_one(|chain| finish(walk(chain, &mem))).map(usize::from),
                burst => self.queue.serve_pieces(burst, &mem, (0, 0), add, &mut finish),
            };
            ensure!(served? == self.burst, MISSING);
        }
        failed.map_or(Ok(sum), Err)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
