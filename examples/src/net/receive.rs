//! Packets for the driver.

use virtio_chain::WritableChain;
use virtio_queue_core::{
    ChainError, DescChain, DriverNotify, FatalError, QueueState, ReturnError, ReturnTo, Ring, Token, Walk,
};
use zerocopy::IntoBytes;

use super::{Count, HEADER_LEN, NetDevice, NetHeader, Port, feature};
use crate::{Turn, WaitsFor};

/// The most buffers that a packet may take. It is given up if they are so small that these do not suffice.
const MAX_BUFFERS: usize = 64;

/// The receive buffers for the next packet, until there are enough of them.
///
/// They are returned in the order in which they were fetched, and before any that was fetched later: so nothing is written
/// over their descriptors in a packed ring before.
#[derive(Debug)]
pub(super) struct Gathered {
    tokens: Vec<Token>,
    room: u64,
    max_buffers: usize,
}

/// What came of a packet with one more buffer.
enum Placed {
    /// It was received.
    Whole,
    /// It needs more buffers.
    Waits,
    /// It had to be given up. Its buffers were returned with nothing in them.
    Nowhere,
}

/// A queue as the place where chains return to, to be published later.
struct Unpublished<'q, R: Ring, N>(&'q mut QueueState<R, N>);

impl<R: Ring, N: DriverNotify> ReturnTo<R> for Unpublished<'_, R, N> {
    #[inline]
    fn return_to(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        self.0.put(ring, token, written)
    }
}

impl<P: Port> NetDevice<P> {
    /// Puts packets into the buffers of the receive queue for as long as the port has any: VIRTIO 1.4 §5.1.6.4 "Processing of
    /// Incoming Packets".
    pub(super) fn receive<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: u32,
    ) -> Result<Turn, FatalError> {
        let (mut chains, mut count) = (0, Count::default());
        let waits_for = loop {
            if chains == budget {
                break WaitsFor::Turn;
            }
            let Some(packet) = self.port.packet() else { break WaitsFor::Device };
            let Some(token) = state.fetch(ring)? else { break WaitsFor::Driver };
            chains += 1;
            match self.gathered.place(packet, ring, state, token) {
                Placed::Whole => count.packet(packet.len() - HEADER_LEN),
                Placed::Nowhere => count.errors += 1,
                Placed::Waits => continue,
            }
            self.port.done();
        };
        // Before the driver can know.
        self.counters.received.add(count);
        state.publish(ring)?;
        Ok(Turn { chains, waits_for })
    }
}

impl Gathered {
    /// Begins with none. A packet may take several where that was negotiated.
    pub(super) fn new(features: u64) -> Self {
        let max_buffers = if features & feature::MRG_RXBUF == 0 { 1 } else { MAX_BUFFERS };
        Self { tokens: Vec::with_capacity(max_buffers), room: 0, max_buffers }
    }

    /// Returns all of them with nothing in them, in a queue that may be broken.
    pub(super) fn give_back<R: Ring, N: DriverNotify>(&mut self, ring: &R, state: &mut QueueState<R, N>) {
        self.room = 0;
        self.tokens.drain(..).for_each(|token| drop(DescChain::new(ring, token, Unpublished(state))));
    }

    /// Puts `packet` into the buffers, if there is room enough for it with this one.
    fn place<R: Ring, N: DriverNotify>(
        &mut self,
        packet: &mut [u8],
        ring: &R,
        state: &mut QueueState<R, N>,
        token: Token,
    ) -> Placed {
        let chain = DescChain::new(ring, token, Unpublished(state));
        let room = room(chain.elements());
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
        let num_buffers = u16::try_from(self.tokens.len()).unwrap_or_default();
        // There is room for a header in every packet.
        let _ = NetHeader::received(num_buffers).write_to_prefix(packet);
        let mut rest = &*packet;
        for token in self.tokens.drain(..) {
            let mut chain = WritableChain::new(DescChain::new(ring, token, Unpublished(state)));
            // There is less room than there was if the driver has changed it meanwhile, or if it is not in memory.
            let _ = match chain.write(rest) {
                Ok(len) => {
                    rest = rest.get(len..).unwrap_or_default();
                    chain.return_used()
                }
                Err(_) => chain.return_written(0),
            };
        }
        self.room = 0;
        if rest.is_empty() { Placed::Whole } else { Placed::Nowhere }
    }
}

/// Returns how many bytes are writable in a chain. What is readable in it is passed over.
fn room<'m>(elements: impl Walk<'m>) -> Result<u64, ChainError> {
    let mut room = 0;
    for element in elements {
        let element = element?;
        if element.access.writes() {
            room += element.range.len();
        }
    }
    Ok(room)
}
