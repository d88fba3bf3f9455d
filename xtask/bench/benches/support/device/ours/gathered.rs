//! Chains of one element, gathered and put back many at a time.

use anyhow::{Result, bail};
use virtio_mem_traits::Access;
use virtio_queue_core::{DescChain, FromConfig, Gathered, Queue, Walk};

use super::parts::{Signals, add, config};
use crate::support::device::{Device, MISSING};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::{Ring, counted};

/// A device that gathers bursts of chains. All of them can be written.
pub(super) struct Bulk<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: Table,
    signals: Signals,
    chains: usize,
    burst: usize,
}

impl<R: FromConfig<Mem = Table>> Bulk<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let (mem, signals) = (ring.memory.table(), Signals::default());
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), burst: ring.shape.burst.into() }
    }
}

/// The longest burst.
const BATCH: usize = 32;

impl<R: FromConfig<Mem = Table>> Device for Bulk<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let (mut sum, mut left) = (0_u64, self.chains);
        let mut chains = Gathered::<BATCH>::new();
        while left > 0 {
            let mut done = 0;
            let (ring, state) = self.queue.parts_mut();
            while done < self.burst {
                let gathered = state.gather(ring, self.burst - done, &mem, Access::Write, &mut chains)?;
                state.complete_gathered(ring, &mut chains, |piece| {
                    let len = u32::try_from(piece.memory.len()).unwrap_or_default();
                    sum = counted(sum, piece.memory.as_ptr().addr().get() as u64, len);
                    Some(len)
                })?;
                done += gathered;
                if done < self.burst {
                    // The memory has not been looked up yet.
                    let Some(token) = state.fetch(ring)? else { bail!(MISSING) };
                    let chain = DescChain::new(ring, token, &mut *state);
                    let (added, written) = chain.walk().try_fold_pieces(&mem, (0, 0), add)?;
                    sum = sum.wrapping_add(added);
                    let token = chain.into_token();
                    state.complete(ring, token, written)?;
                    done += 1;
                }
            }
            state.publish(ring)?;
            left -= done;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
