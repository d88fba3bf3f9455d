//! Packets of the guest.

use virtio_chain::{ReadableChain, Reader};
use virtio_queue_core::{Burst, Chain, ChainElements, DriverNotify, FatalError, QueueState, Ring};
use virtio_vhost_user::{Turn, WaitsFor};

use super::VsockDevice;
use super::connection::{Connection, Effect};
use super::counters::Count;
use super::host::{Change, Id};
use super::link::{Link, Lost, Side};
use super::packet::{Address, Op, Packet, Rejected};
use super::wire::VsockHeader;

/// The most refusals that wait for buffers of the guest. After that, no packets of the guest are taken.
const MAX_REFUSALS: usize = 256;

impl VsockDevice {
    /// Takes packets of the guest, but no more than `budget`. It does so even if there is no buffer for an answer, as
    /// long as there is room for refusals.
    pub(super) fn transmit<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let mut burst = Burst::new(ring, state);
        let (mut chains, mut waits_for) = (0, WaitsFor::Turn);
        while chains < budget {
            if self.refusals.len() >= MAX_REFUSALS {
                waits_for = WaitsFor::Device;
                break;
            }
            let Some(chain) = burst.next_chain()? else {
                // The sockets of the host can need care although the receive queue waits for the driver.
                waits_for = WaitsFor::Either;
                break;
            };
            chains += 1;
            self.take(chain);
        }
        burst.finish()?;
        Ok(Turn { chains, waits_for })
    }

    /// Takes the packet in a chain. The header is read once.
    fn take(&mut self, chain: impl Chain) {
        let mut chain = ReadableChain::new(chain);
        let header: Result<VsockHeader, _> = chain.read_obj();
        match header.map_err(|_| Rejected::Dropped).and_then(|header| Packet::new(&header, self.guest_cid)) {
            Ok(packet) => self.take_packet(&packet, &mut chain),
            Err(Rejected::Refused(refusal)) => self.refuse(refusal),
            Err(Rejected::Dropped) => self.counters.add(Count::Malformed),
        }
    }

    fn take_packet(&mut self, packet: &Packet, payload: &mut Reader<impl ChainElements>) {
        match (self.table.find(packet.address), packet.op) {
            (Some(id), _) => {
                if self.give(id, packet, payload).is_err() {
                    self.reset(id);
                }
                self.settle(id);
            }
            (None, Op::Request) => self.accept(packet),
            (None, Op::Reset) => {}
            (None, _) => self.refuse_address(packet.address),
        }
    }

    /// Gives a packet to its connection.
    fn give(&mut self, id: Id, packet: &Packet, payload: &mut Reader<impl ChainElements>) -> Result<(), Lost> {
        let link = self.table.get_mut(id).ok_or(Lost)?;
        match link.connection.receive(packet).map_err(|_| Lost)? {
            Effect::None => {}
            Effect::Accepted => link.answer()?,
            Effect::Data(len) => {
                link.take(payload, len)?;
                self.counters.add(Count::GuestBytes(len));
            }
            Effect::Ended => link.end(),
            // What the guest has sent before it ended is not lost.
            Effect::Reset if link.connection.guest_ends().send && link.has_backlog() => self.table.linger(id),
            Effect::Reset => drop(self.table.remove(id)),
        }
        Ok(())
    }

    /// Connects the guest to the program of the host that listens for it.
    fn accept(&mut self, packet: &Packet) {
        let socket =
            if self.table.has_room(Side::Guest) { self.host.connect(packet.address.host_port).ok() } else { None };
        let Some((id, socket)) = socket else { return self.refuse_address(packet.address) };
        let connection = Connection::accepting(packet.address, packet.credit);
        self.table.add(id, Link::new(connection, Side::Guest, socket, Change::default()));
        self.counters.add(Count::GuestConnection);
    }

    fn refuse_address(&mut self, address: Address) {
        self.refuse(address.reset(self.guest_cid));
    }
}
