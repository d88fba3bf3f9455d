//! What a network device does with packets for the driver.

use anyhow::{Result, ensure};
use arrayvec::ArrayVec;
use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{FromConfig, Gathered, Queue};

use super::{Signals, config};
use crate::support::device::{Device, MISSING, counted};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::Ring;

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
        let mut batch = ArrayVec::<Gathered<'_>, BATCH>::new();
        while left > 0 {
            let (ring, state) = self.queue.parts_mut();
            let gathered = state.gather(ring, BATCH.min(left), &mem, Access::Write, |chain| batch.push(chain))?;
            ensure!(gathered != 0, MISSING);
            for chain in &batch {
                let piece = chain.piece();
                piece.memory.write_bytes(0, &self.packet)?;
                if mem.reports(Access::Write) {
                    mem.written(piece.range.prefix(self.packet.len() as u64));
                }
            }
            let chains = batch.drain(..).map(|chain| {
                let memory = chain.memory();
                let len = u32::try_from(memory.len()).unwrap_or_default();
                sum = counted(sum, memory.as_ptr().addr().get() as u64, len);
                (chain.into_token(), len)
            });
            state.complete_all(ring, chains)?;
            state.publish(ring)?;
            left -= gathered;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
