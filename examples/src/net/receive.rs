//! Packets for the driver.

use virtio_chain::WritableChain;
use virtio_mem_traits::{Access, DriverMem};
use virtio_queue_core::{
    ChainError, DescChain, DriverNotify, FatalError, Piece, QueueState, Refused, Ring, Token, Walk,
};
use zerocopy::IntoBytes;

use super::batch::{Batch, Packets, serve};
use super::{Count, HEADER_LEN, NetDevice, NetHeader, Port, feature};
use crate::Turn;
use crate::prefetch::prefetch_to_write;
use crate::unpublished::Unpublished;

/// The largest number of buffers for a packet. If these are too small, the device drops the packet.
const MAX_BUFFERS: usize = 64;

/// The receive buffers for the next packet, until there are enough of them.
///
/// They are returned in the order in which they were fetched, and before any that was fetched later: so nothing is
/// written over their descriptors in a packed ring before.
#[derive(Debug)]
pub(super) struct Gathered {
    tokens: Vec<Token>,
    room: u64,
    max_buffers: usize,
}

/// The result of one more buffer for a packet.
enum Placed {
    /// The packet was received.
    Whole,
    /// The packet needs more buffers.
    Waits,
    /// The packet was dropped. Its buffers were returned with nothing written.
    Nowhere,
}

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
        let limit = limit.min(self.port.packets());
        let mut giving = Giving { port: &mut self.port, gathered: &mut self.gathered, count };
        serve(&mut giving, limit, ring, state, mem, batch)
    }
}

/// Where packets come from, and how many came.
struct Giving<'d, P> {
    port: &'d mut P,
    gathered: &'d mut Gathered,
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
        if !self.gathered.tokens.is_empty() || piece.memory.len() < packet.len() {
            return None;
        }
        let written = write(piece, packet, mem);
        self.count.packet(packet.len() - HEADER_LEN);
        self.port.done();
        Some(written)
    }

    /// Puts the next packet into this buffer and those before it, if there is room enough.
    fn in_chain<R: Ring, N: DriverNotify>(&mut self, token: Token, ring: &R, state: &mut QueueState<R, N>) {
        let packet = self.port.packet();
        match self.gathered.gather(packet, token, ring, state) {
            Placed::Whole => self.count.packet(packet.len() - HEADER_LEN),
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

impl Gathered {
    /// Begins with none. A packet may take several where that was negotiated.
    pub(super) fn new(features: u64) -> Self {
        let max_buffers = if features & feature::MRG_RXBUF == 0 { 1 } else { MAX_BUFFERS };
        Self { tokens: Vec::with_capacity(max_buffers), room: 0, max_buffers }
    }

    /// Puts all buffers back, the last one first, as if they had not been fetched. A broken queue takes none.
    pub(super) fn put_back<R: Ring, N: DriverNotify>(&mut self, ring: &R, state: &mut QueueState<R, N>) {
        while let Some(token) = self.tokens.pop() {
            // If a buffer is no longer found in the ring, the driver has changed the ring.
            if let Err(Refused { chain, .. }) = state.unfetch(ring, token) {
                self.tokens.push(chain);
                break;
            }
        }
        self.give_back(ring, state);
    }

    /// Returns all buffers with nothing written. The queue can be broken.
    pub(super) fn give_back<R: Ring, N: DriverNotify>(&mut self, ring: &R, state: &mut QueueState<R, N>) {
        self.room = 0;
        self.tokens.drain(..).for_each(|token| drop(DescChain::new(ring, token, Unpublished(state))));
    }

    /// Puts `packet` into the buffers, if there is room enough for it with this one.
    fn gather<R: Ring, N: DriverNotify>(
        &mut self,
        packet: &mut [u8],
        token: Token,
        ring: &R,
        state: &mut QueueState<R, N>,
    ) -> Placed {
        let chain = DescChain::new(ring, token, Unpublished(state));
        let room = room(chain.walk());
        self.tokens.push(chain.into_token());
        self.room += room.unwrap_or_default();
        if self.room >= packet.len() as u64 {
            return self.fill(packet, ring, state);
        }
        if room.is_ok() && self.tokens.len() < self.max_buffers {
            return Placed::Waits;
        }
        self.give_back(ring, state);
        Placed::Nowhere
    }

    /// Copies `packet` into the buffers and returns them.
    fn fill<R: Ring, N: DriverNotify>(&mut self, packet: &mut [u8], ring: &R, state: &mut QueueState<R, N>) -> Placed {
        header(packet, u16::try_from(self.tokens.len()).unwrap_or_default());
        let mut rest = &*packet;
        for token in self.tokens.drain(..) {
            let mut chain = WritableChain::new(DescChain::new(ring, token, Unpublished(state)));
            // There is less room than there was if the driver has changed it meanwhile, or if it is not in memory.
            match chain.write(rest) {
                // The drop returns the buffer with the number of written bytes.
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(_) => drop(chain.into_chain()),
            }
        }
        self.room = 0;
        let placed = if rest.is_empty() { Placed::Whole } else { Placed::Nowhere };
        header(packet, 1);
        placed
    }
}

/// Writes the header of a packet that takes so many buffers. There is room for one in every packet.
fn header(packet: &mut [u8], num_buffers: u16) {
    let _ = NetHeader::received(num_buffers).write_to_prefix(packet);
}

/// Returns the number of writable bytes in a chain. Skips the readable bytes.
fn room(elements: impl Walk) -> Result<u64, ChainError> {
    let mut room = 0;
    for element in elements {
        let element = element?;
        if element.access.writes() {
            room += element.range.len();
        }
    }
    Ok(room)
}
