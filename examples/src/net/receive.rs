//! Packets for the driver.

use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{DriverNotify, FatalError, Piece, QueueState, Ring, Token};
use virtio_vhost_user::{Turn, WaitsFor};
use zerocopy::FromBytes;

use super::NetDevice;
use super::batch::{Batch, Packets, serve};
use super::counters::Count;
use super::merged_buffers::{MergedBuffers, Placed};
use super::port::Port;
use super::wire::{HEADER_LEN, NetHeader, gso};
use crate::prefetch::prefetch_to_write;

/// The most packets that a driver does not want, in one turn. A port can have such packets without end.
const MAX_UNWANTED: usize = 64;

impl<P: Port> NetDevice<P> {
    /// Puts packets into the next buffers of the receive queue, as far as the port has any, but no more than `limit`
    /// buffers: VIRTIO 1.4 §5.1.6.4 "Processing of Incoming Packets".
    #[inline]
    pub(super) fn receive<'m, R: Ring, N: DriverNotify>(
        &mut self,
        limit: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        mem: &'m impl DriverMem,
        batch: &mut Batch<'m>,
        count: &mut Count,
    ) -> Result<Turn, FatalError> {
        let Some(packets) = self.packets() else { return Ok(Turn { chains: 0, waits_for: WaitsFor::Turn }) };
        let limit = limit.min(packets);
        let mut giving = Giving { port: &mut self.port, merged: &mut self.merged, count };
        serve(&mut giving, limit, ring, state, mem, batch)
    }

    /// Returns how many packets there are for the driver, or fewer. Those before them that the driver does not want are
    /// given up. Returns `None` if there were so many of these that others must have their turn first.
    #[inline]
    fn packets(&mut self) -> Option<usize> {
        let Some(settings) = &self.filtered else { return Some(self.port.packets()) };
        let filter = settings.filter();
        for _ in 0..MAX_UNWANTED {
            if self.port.packets() == 0 {
                return Some(0);
            }
            if self.port.packet().get(HEADER_LEN..).is_some_and(|frame| filter.passes(frame)) {
                return Some(1);
            }
            self.port.done();
        }
        None
    }
}

/// Returns the kind of the segments that a packet is to be cut into.
#[inline]
fn gso_type(packet: &[u8]) -> u8 {
    NetHeader::ref_from_prefix(packet).map_or(gso::NONE, |(header, _)| header.gso_type)
}

/// Where packets come from, and how many came.
struct Giving<'d, P> {
    port: &'d mut P,
    merged: &'d mut MergedBuffers,
    count: &'d mut Count,
}

impl<P: Port> Packets for Giving<'_, P> {
    const ACCESS: Access = Access::Write;

    #[inline]
    fn prefetch<'m>(&mut self, pieces: impl Iterator<Item = Piece<'m>>) {
        let len = self.port.packet().len();
        pieces.for_each(|piece| prefetch_to_write(piece.memory.prefix(len)));
    }

    /// Copies the next packet to the beginning of `piece`, if it belongs there alone.
    #[inline]
    fn in_piece(&mut self, piece: &Piece<'_>, mem: &impl DriverMem) -> Option<u32> {
        let packet = self.port.packet();
        if !self.merged.is_empty() || piece.memory.len() < packet.len() {
            return None;
        }
        let written = write(piece, packet, mem);
        self.count.packet(packet.len() - HEADER_LEN, gso_type(packet));
        self.port.done();
        Some(written)
    }

    /// Puts the next packet into this buffer and those before it, if there is room enough.
    fn in_chain<R: Ring, N: DriverNotify>(&mut self, token: Token, ring: &R, state: &mut QueueState<R, N>) {
        let packet = self.port.packet();
        match self.merged.gather(packet, token, ring, state) {
            Placed::Whole => self.count.packet(packet.len() - HEADER_LEN, gso_type(packet)),
            Placed::Nowhere => self.count.errors += 1,
            Placed::Waits => return,
        }
        self.port.done();
    }
}

/// Copies all of `packet` to the beginning of `piece`, which has room for it, and returns how much was written.
#[inline]
fn write(piece: &Piece<'_>, packet: &[u8], mem: &impl DriverMem) -> u32 {
    if piece.memory.write_bytes(0, packet).is_err() {
        return 0;
    }
    mem.written(piece.range.prefix(packet.len() as u64));
    u32::try_from(packet.len()).unwrap_or(u32::MAX)
}
