//! The buffers of a packet that fills several: VIRTIO_NET_F_MRG_RXBUF.

use virtio_chain::WritableChain;
use virtio_queue_core::{ChainError, DescChain, DriverNotify, QueueState, Refused, Ring, Token, Walk};
use zerocopy::FromBytes;

use super::wire::{NetHeader, feature};
use crate::unpublished::Unpublished;

/// The largest number of buffers for a packet. If these are too small, the device drops the packet.
const MAX_BUFFERS: usize = 64;

/// The receive buffers for the next packet, until there are enough of them.
///
/// They are returned in the order in which they were fetched, and before any that was fetched later: so nothing is
/// written over their descriptors in a packed ring before.
#[derive(Debug)]
pub(super) struct MergedBuffers {
    tokens: Vec<Token>,
    room: u64,
    max_buffers: usize,
}

/// The result of one more buffer for a packet.
pub(super) enum Placed {
    /// The packet was received.
    Whole,
    /// The packet needs more buffers.
    Waits,
    /// The packet was dropped. Its buffers were returned with nothing written.
    Nowhere,
}

impl MergedBuffers {
    /// Begins with none. A packet may take several where that was negotiated.
    pub(super) fn new(features: u64) -> Self {
        let max_buffers = if features & feature::MRG_RXBUF == 0 { 1 } else { MAX_BUFFERS };
        Self { tokens: Vec::with_capacity(max_buffers), room: 0, max_buffers }
    }

    /// Returns whether no buffer is kept.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
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
    pub(super) fn gather<R: Ring, N: DriverNotify>(
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
        set_num_buffers(packet, u16::try_from(self.tokens.len()).unwrap_or_default());
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
        set_num_buffers(packet, 1);
        placed
    }
}

/// Writes how many buffers a packet takes into its header, which every packet has.
fn set_num_buffers(packet: &mut [u8], num_buffers: u16) {
    if let Ok((header, _)) = NetHeader::mut_from_prefix(packet) {
        header.num_buffers = num_buffers.into();
    }
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
