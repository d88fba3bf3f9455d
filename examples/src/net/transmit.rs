//! Packets of the driver.

use virtio_chain::ReadableChain;
use virtio_queue_core::{Burst, Chain, DriverNotify, FatalError, QueueState, Ring};
use zerocopy::FromBytes;

use super::{Count, HEADER_LEN, Lost, MIN_FRAME, NetDevice, NetHeader, Port};
use crate::{Turn, WaitsFor};

impl<P: Port> NetDevice<P> {
    /// Takes packets from the transmit queue for as long as the port has room: VIRTIO 1.4 §5.1.6.2 "Packet Transmission".
    pub(super) fn transmit<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: u32,
    ) -> Result<Turn, FatalError> {
        let mut burst = Burst::new(ring, state);
        let (mut chains, mut count) = (0, Count::default());
        let waits_for = loop {
            if chains == budget {
                break WaitsFor::Turn;
            }
            let Some(room) = self.port.room() else { break WaitsFor::Device };
            let Some(chain) = burst.next_chain()? else { break WaitsFor::Driver };
            chains += 1;
            match read_packet(chain, room).and_then(|len| self.port.transmit(len).map(|()| len)) {
                Ok(len) => count.packet(len - HEADER_LEN),
                Err(Lost) => count.errors += 1,
            }
        };
        // Before the driver can know.
        self.counters.transmitted.add(count);
        burst.finish()?;
        Ok(Turn { chains, waits_for })
    }
}

/// Copies a packet into `room`, however the driver has cut it, and returns its chain. What is writable in there is passed
/// over.
fn read_packet<'m>(chain: impl Chain<'m>, room: &mut [u8]) -> Result<usize, Lost> {
    let mut chain = ReadableChain::new(chain);
    let len = chain.read(room).map_err(|_| Lost)?;
    let longer = len == room.len() && chain.next_with_limit(1).map_err(|_| Lost)?.is_some();
    let (header, _) = NetHeader::ref_from_prefix(room).map_err(|_| Lost)?;
    let sound = len >= HEADER_LEN + MIN_FRAME && !longer && header.is_plain();
    sound.then_some(len).ok_or(Lost)
}
