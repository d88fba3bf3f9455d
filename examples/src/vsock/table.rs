//! All connections of a guest.

use std::collections::{HashMap, VecDeque};

use super::connection::Outgoing;
use super::host::Id;
use super::link::{Link, Side};
use super::packet::Address;

/// The most connections that each side can have asked for. So neither side can take all of them.
pub const MAX_CONNECTIONS: usize = 256;

/// The first port on the side of the host for connections that the host asks for. There are as many such ports.
const FIRST_PORT: u32 = 1 << 30;

/// All connections, by their sockets and by their addresses, and those that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Table {
    links: HashMap<Id, Link>,
    addresses: HashMap<Address, Id>,
    /// Those with a packet for the guest. Each has one packet in a turn.
    ready: VecDeque<Id>,
    /// How many ports were given out.
    ports: u32,
}

impl Table {
    /// Returns whether a side can have one more connection. One that the guest has forgotten keeps no other out.
    pub(super) fn has_room(&self, side: Side) -> bool {
        self.of(side).filter(|(_, link)| !link.lingers).count() < MAX_CONNECTIONS
    }

    /// Adds a connection, whose address is not used, and for which there is room. If others are in its way that the
    /// guest has forgotten, the oldest of them ends, with the bytes that its program did not read.
    pub(super) fn add(&mut self, id: Id, link: Link) {
        if self.of(link.opened_by).count() >= MAX_CONNECTIONS {
            let oldest = self.of(link.opened_by).filter(|(_, link)| link.lingers).map(|(id, _)| *id).min();
            oldest.map(|id| self.remove(id));
        }
        self.addresses.insert(link.connection.address(), id);
        self.links.insert(id, link);
        self.schedule(id);
    }

    fn of(&self, side: Side) -> impl Iterator<Item = (&Id, &Link)> {
        self.links.iter().filter(move |(_, link)| link.opened_by == side)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    pub(super) fn find(&self, address: Address) -> Option<Id> {
        self.addresses.get(&address).copied()
    }

    /// Returns an address for a connection to a port of the guest that the host asks for.
    pub(super) fn new_address(&mut self, guest_port: u32) -> Address {
        // There are fewer connections than ports.
        loop {
            let host_port = FIRST_PORT + self.ports % FIRST_PORT;
            self.ports = self.ports.wrapping_add(1);
            let address = Address { guest_port, host_port };
            if !self.addresses.contains_key(&address) {
                return address;
            }
        }
    }

    /// Forgets a connection.
    pub(super) fn remove(&mut self, id: Id) -> Option<Link> {
        self.forget_address(id);
        self.links.remove(&id)
    }

    /// Forgets the address of a connection, so that it can be used again, but not the socket.
    pub(super) fn linger(&mut self, id: Id) {
        self.forget_address(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.lingers = true;
        }
    }

    fn forget_address(&mut self, id: Id) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.lingers {
            self.addresses.remove(&link.connection.address());
        }
        if core::mem::take(&mut link.queued) {
            self.ready.retain(|ready| *ready != id);
        }
    }

    /// Lets a connection wait for its turn, if it has a packet for the guest.
    pub(super) fn schedule(&mut self, id: Id) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.queued && link.next_packet().is_some() {
            link.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Returns whose turn it is, and its packet.
    pub(super) fn next_packet(&mut self) -> Option<(Id, Outgoing)> {
        loop {
            let id = self.ready.pop_front()?;
            let Some(link) = self.links.get_mut(&id) else { continue };
            link.queued = false;
            if let Some(packet) = link.next_packet() {
                return Some((id, packet));
            }
        }
    }

    /// Lets a connection be the next one, because its packet could not be sent.
    pub(super) fn put_off(&mut self, id: Id) {
        if let Some(link) = self.links.get_mut(&id).filter(|link| !link.queued) {
            link.queued = true;
            self.ready.push_front(id);
        }
    }
}
