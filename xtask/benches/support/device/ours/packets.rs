//! What a network device does with packets for the driver.

use anyhow::{Result, anyhow, bail};
use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{ChainError, FromConfig, Piece, Queue, Token, Walk};

use super::{Signals, config};
use crate::support::device::{Device, MISSING, counted};
use crate::support::memory::{LookUp, Table};
use crate::support::ring::Ring;

/// The most chains that are fetched before the first of them is used.
const BATCH: usize = 32;

/// A device that fetches a batch of chains, copies a packet into each, and returns them all.
pub(super) struct Packets<R: FromConfig> {
    queue: Queue<R, Signals>,
    mem: R::Mem,
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

/// That a chain is malformed, or has more than one piece.
struct Otherwise;

impl From<ChainError> for Otherwise {
    fn from(_: ChainError) -> Self {
        Self
    }
}

/// Returns the only piece of a chain, if there is only one and it is writable.
#[inline(always)]
fn only_piece<'m>(chain: impl Walk, mem: &'m impl DriverMem) -> Option<Piece<'m>> {
    let only = |found: Option<_>, piece| if found.is_none() { Ok(Some(piece)) } else { Err(Otherwise) };
    chain.try_fold_pieces(mem, None, only).ok()?.filter(|piece: &Piece<'_>| piece.access == Access::Write)
}

impl<R: FromConfig<Mem = Table>> Device for Packets<R> {
    fn serve(&mut self) -> Result<u64> {
        let mem = self.mem.look_up();
        let mut sum = 0_u64;
        for _ in 0..self.chains / BATCH {
            let mut burst = self.queue.burst();
            let mut batch: [Option<(Token, Piece<'_>)>; BATCH] = [const { None }; BATCH];
            for fetched in &mut batch {
                let Some(chain) = burst.next_chain()? else { bail!(MISSING) };
                let piece = only_piece(chain.walk(), &mem).ok_or_else(|| anyhow!("no chain for a packet"))?;
                *fetched = Some((chain.into_token(), piece));
            }
            for (token, piece) in batch.into_iter().flatten() {
                piece.memory.write_bytes(0, &self.packet)?;
                mem.written(piece.range.prefix(self.packet.len() as u64));
                let len = u32::try_from(piece.memory.len())?;
                sum = counted(sum, piece.memory.as_ptr().addr().get() as u64, len);
                burst.complete(token, len)?;
            }
            burst.finish()?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
