//! Chains that are used as soon as they were looked at, by a queue that is told how.

use anyhow::{Result, ensure};
use virtio_queue_core::{FromConfig, Queue};

use super::{Signals, config, walk};
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

impl<R: FromConfig<Mem: LookUp + Clone>> Device for Served<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let (mut sum, mut failed) = (0_u64, None);
        if self.burst == 1 {
            for _ in 0..self.chains {
                let served = self.queue.serve_one(|chain| match walk(chain, &mem) {
                    Ok((added, written)) => {
                        sum = sum.wrapping_add(added);
                        written
                    }
                    Err(error) => {
                        failed = Some(error);
                        0
                    }
                })?;
                ensure!(served, MISSING);
            }
            return failed.map_or(Ok(sum), Err);
        }
        for _ in 0..self.chains / self.burst {
            let served = self.queue.serve(self.burst, |chain| match walk(chain, &mem) {
                Ok((added, written)) => {
                    sum = sum.wrapping_add(added);
                    written
                }
                Err(error) => {
                    failed = Some(error);
                    0
                }
            })?;
            ensure!(served == self.burst, MISSING);
        }
        failed.map_or(Ok(sum), Err)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
