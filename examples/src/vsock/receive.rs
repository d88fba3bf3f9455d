//! Packets for the guest.

use virtio_chain::Writer;
use virtio_queue_core::{Burst, ChainElements, DriverNotify, FatalError, QueueState, Ring};
use virtio_vhost_user::{Turn, WaitsFor};

use super::VsockDevice;
use super::connection::Outgoing;
use super::counters::Count;
use super::host::Id;
use super::wire::{HEADER_LEN, VsockHeader};

/// The most bytes in a packet for the guest, whatever room its buffers have: other connections wait for their turn.
const MAX_PAYLOAD: u32 = 64 << 10;

/// The next packet.
enum Next {
    /// Something is refused.
    Refusal(VsockHeader),
    /// A connection has its turn.
    Packet(Id, Outgoing),
}

/// What became of it.
enum Sent {
    /// It is in the buffer, with its header: so many bytes.
    Written(u32),
    /// There is no such packet after all.
    Nothing,
    /// The buffer is too small, or not in memory.
    NoRoom,
}

impl VsockDevice {
    /// Puts packets into the buffers of the guest, one into each, but no more than `budget`.
    pub(super) fn receive<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let mut burst = Burst::new(ring, state);
        let (mut chains, mut waits_for) = (0, WaitsFor::Turn);
        while chains < budget {
            let Some(next) = self.next_packet() else {
                waits_for = WaitsFor::Device;
                break;
            };
            let Some(chain) = burst.next_chain()? else {
                self.put_off(next);
                waits_for = WaitsFor::Driver;
                break;
            };
            // A queue that is broken reports that when the next chain is fetched, or at the end.
            let _ = match self.send(&next, &chain) {
                Sent::Nothing => chain.unfetch(),
                Sent::Written(len) => {
                    chains += 1;
                    chain.return_written(len)
                }
                Sent::NoRoom => {
                    chains += 1;
                    self.put_off(next);
                    chain.return_written(0)
                }
            };
        }
        burst.finish()?;
        Ok(Turn { chains, waits_for })
    }

    fn next_packet(&mut self) -> Option<Next> {
        if let Some(refusal) = self.refusals.pop_front() {
            return Some(Next::Refusal(refusal));
        }
        self.table.next_packet().map(|(id, packet)| Next::Packet(id, packet))
    }

    /// Lets a packet be the next one again.
    fn put_off(&mut self, next: Next) {
        match next {
            Next::Refusal(refusal) => self.refusals.push_front(refusal),
            Next::Packet(id, _) => self.table.put_off(id),
        }
    }

    /// Writes a packet into a buffer.
    fn send(&mut self, next: &Next, chain: &impl ChainElements) -> Sent {
        let mut writer = Writer::new(chain);
        match *next {
            Next::Refusal(refusal) => write_header(&mut writer, &refusal),
            Next::Packet(id, packet @ Outgoing::Control(_)) => self.send_control(id, packet, &mut writer),
            Next::Packet(id, packet @ Outgoing::Data(limit)) => self.send_data(id, packet, limit, writer),
        }
    }

    fn send_control(&mut self, id: Id, packet: Outgoing, writer: &mut Writer<impl ChainElements>) -> Sent {
        let Some(link) = self.table.get_mut(id) else { return Sent::Nothing };
        let sent = write_header(writer, &link.connection.header(packet, 0, self.guest_cid));
        if let Sent::Written(_) = sent {
            link.connection.sent(packet, 0);
            self.table.schedule(id);
        }
        sent
    }

    /// Moves bytes of the host behind a header, and writes the header when their number is known.
    fn send_data(&mut self, id: Id, packet: Outgoing, limit: u32, mut header: Writer<&impl ChainElements>) -> Sent {
        let Some(link) = self.table.get_mut(id) else { return Sent::Nothing };
        let Ok(mut payload) = header.split_at(HEADER_LEN as u64) else { return Sent::NoRoom };
        let len = match link.fill(&mut payload, limit.min(MAX_PAYLOAD)) {
            Ok(0) if link.next_packet() == Some(packet) => return Sent::NoRoom,
            Ok(0) => {
                self.table.schedule(id);
                return Sent::Nothing;
            }
            Ok(len) => len,
            Err(_) => {
                self.reset(id);
                return Sent::Nothing;
            }
        };
        let written = write_header(&mut header, &link.connection.header(packet, len, self.guest_cid));
        let Sent::Written(header_len) = written else {
            // These bytes have no other place.
            self.reset(id);
            return Sent::NoRoom;
        };
        link.connection.sent(packet, len);
        self.table.schedule(id);
        self.counters.add(Count::HostBytes(len));
        Sent::Written(header_len + len)
    }
}

fn write_header(writer: &mut Writer<impl ChainElements>, header: &VsockHeader) -> Sent {
    match writer.write_obj(header) {
        Ok(()) => Sent::Written(writer.prefix()),
        Err(_) => Sent::NoRoom,
    }
}
