//! What a network device does with packets for the driver.

use anyhow::{Result, ensure};
use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{FromConfig, Gathered, Queue};

use super::parts::{Signals, config};
use crate::support::device::{Device, MISSING};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::{Ring, counted};

/// How many chains are gathered before the first of them is used.
const BATCH: usize = 32;

/// A device that gathers a batch of chains, copies a packet into each, and completes them all.
pub(super) struct Packets<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: Table,
    signals: Signals,
    chains: usize,
    packet: [u8; 64],
}

impl<R: FromConfig<Mem = Table>> Packets<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let (mem, signals) = (ring.memory.table(), Signals::default());
        let queue = Queue::new(&config(ring), mem.clone(), signals.clone()).expect("the ring is valid");
        Self { queue, mem, signals, chains: ring.chains.len(), packet: [7; 64] }
    }
}

impl<R: FromConfig<Mem = Table>> Device for Packets<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let (mut sum, mut left) = (0_u64, self.chains);
        let mut chains = Gathered::<BATCH>::new();
        while left > 0 {
            let (ring, state) = self.queue.parts_mut();
            let gathered = state.gather(ring, BATCH.min(left), &mem, Access::Write, &mut chains)?;
            ensure!(gathered != 0, MISSING);
            state.complete_gathered(ring, &mut chains, |piece| {
                piece.memory.write_bytes(0, &self.packet).ok()?;
                if mem.reports(Access::Write) {
                    mem.written(piece.range.prefix(self.packet.len() as u64));
                }
                let len = u32::try_from(piece.memory.len()).unwrap_or_default();
                sum = counted(sum, piece.memory.as_ptr().addr().get() as u64, len);
                Some(len)
            })?;
            state.publish(ring)?;
            left -= gathered;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
