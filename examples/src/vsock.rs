//! The virtio socket device.
//!
//! VIRTIO 1.4 §5.10 "Socket Device". It connects programs of the guest, which use sockets of the family `AF_VSOCK`, to
//! programs of the host, which use Unix sockets. A [`Listener`] has the path of such a socket:
//!
//! * A program of the host connects to `PATH`, and writes `CONNECT 1234` and the end of the line. When a program of the
//!   guest has accepted the connection to its port 1234, the device answers `OK`, a port number, and the end of the
//!   line. All other bytes are those of the two programs.
//! * A program of the guest connects to port 1234 of the host. The device connects to `PATH_1234`, where a program of
//!   the host listens.
//!
//! Read [`Connection`] first. It is a connection without bytes and sockets: its states, its credit ([`SendCredit`],
//! [`ReceiveCredit`]), and what each packet means. The rest is about moving bytes between sockets and chains.
//!
//! # Bounds
//!
//! The guest and the programs of the host can be hostile. Each side can have asked for [`MAX_CONNECTIONS`] connections.
//! The device keeps at most [`BUF_ALLOC`] bytes of each, and only if the program of the host does not read. Bytes of
//! the host stay in its sockets until the guest has a buffer and room for them. A connection has one packet in a turn.
//! At most [`MAX_GREETINGS`] programs have not said yet what they want. A connection that the guest has forgotten, but
//! whose program has not read all bytes of the guest, ends when another one needs its place.
//!
//! A packet that belongs to no connection is refused by a packet with RST. A connection in which the guest does
//! anything that it must not do is reset.

mod backlog;
mod connection;
mod counters;
mod credit;
mod event_queue;
mod greeting;
mod host;
#[expect(unsafe_code, reason = "system calls read and write driver memory")]
mod link;
mod listener;
mod packet;
mod receive;
#[expect(unsafe_code, reason = "system calls read and write driver memory")]
mod stream;
mod table;
mod transmit;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use virtio_queue_core::{DriverNotify, FatalError, QueueState, Ring};

pub use backlog::Backlog;
pub use connection::{Connection, Effect, Outgoing, Violation};
pub use counters::Counters;
pub use credit::{BUF_ALLOC, BeyondCredit, Credit, ReceiveCredit, SendCredit};
pub use event_queue::EventQueue;
pub use host::MAX_GREETINGS;
pub use listener::Listener;
pub use packet::{Address, Ends, Op, Packet, Rejected};
pub use table::MAX_CONNECTIONS;
pub use wire::{HEADER_LEN, HOST_CID, STREAM, VsockConfig, VsockHeader, feature, op, shutdown};

use counters::Count;
use host::{Change, Happened, Host, Id};
use link::{Link, Side};
use table::Table;
use virtio_vhost_user::{Serve, Turn, WaitsFor};

/// The place of the queue with buffers for the driver.
pub const RECEIVE: usize = 0;

/// The place of the queue with packets of the driver.
pub const TRANSMIT: usize = 1;

/// The receive queue and the transmit queue of a socket device, with all connections of its guest.
///
/// All connections end when it is dropped.
#[derive(Debug)]
pub struct VsockDevice {
    guest_cid: u64,
    host: Host,
    table: Table,
    /// Packets that say that something is refused, which come before all others.
    refusals: VecDeque<VsockHeader>,
    counters: Arc<Counters>,
    /// Room for what has happened, which is kept for the next time.
    happened: Vec<Happened>,
}

impl VsockDevice {
    /// Creates a device for the guest with the context id `guest_cid`.
    ///
    /// # Errors
    ///
    /// If the system has no file descriptor left.
    pub fn new(guest_cid: u64, listener: Arc<Listener>, counters: Arc<Counters>) -> io::Result<Self> {
        let (host, table) = (Host::new(listener)?, Table::default());
        Ok(Self { guest_cid, host, table, refusals: VecDeque::new(), counters, happened: Vec::new() })
    }

    /// Takes note of what has happened at the sockets of the host, and returns whether anything has.
    fn poll_host(&mut self) -> bool {
        let mut happened = core::mem::take(&mut self.happened);
        let busy = self.host.poll(&mut happened);
        for event in happened.drain(..) {
            match event {
                Happened::Changed(id, change) => self.changed(id, change),
                Happened::Connect(id, socket, port, change) => self.connect(id, socket, port, change),
            }
        }
        self.happened = happened;
        busy
    }

    fn changed(&mut self, id: Id, change: Change) {
        // It was removed since.
        let Some(link) = self.table.get_mut(id) else { return };
        let is_lost = link.changed(change).is_err() || change.gone && !link.connection.is_accepted();
        if is_lost {
            self.reset(id);
        }
        self.settle(id);
    }

    /// Asks the guest for a connection that a program of the host wants. One too many is closed.
    fn connect(&mut self, id: Id, socket: UnixStream, port: u32, change: Change) {
        if self.table.has_room(Side::Host) {
            let connection = Connection::requesting(self.table.new_address(port));
            self.table.add(id, Link::new(connection, Side::Host, socket, change));
            self.counters.add(Count::HostConnection);
        }
    }

    /// Does what has to be done after anything has happened to a connection.
    fn settle(&mut self, id: Id) {
        let Some(link) = self.table.get_mut(id) else { return };
        if link.lingers && !link.has_backlog() {
            self.table.remove(id);
        } else if link.connection.is_finished() && !link.lingers {
            // The guest waits for this before it uses its port again.
            self.refusals.push_back(link.connection.address().reset(self.guest_cid));
            self.table.remove(id);
        } else {
            if link.has_backlog() != link.watches_output {
                link.watches_output = link.has_backlog();
                self.host.watch_output(id, &link.stream, link.watches_output);
            }
            self.table.schedule(id);
        }
    }

    /// Ends a connection, and tells the guest so, if the guest knows of it.
    fn reset(&mut self, id: Id) {
        let Some(link) = self.table.remove(id) else { return };
        if link.connection.is_known() && !link.lingers {
            self.refuse(link.connection.address().reset(self.guest_cid));
        }
    }

    fn refuse(&mut self, refusal: VsockHeader) {
        self.counters.add(Count::Refused);
        self.refusals.push_back(refusal);
    }
}

/// Implements VIRTIO 1.4 §5.10.6 "Device Operation".
impl Serve for VsockDevice {
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        place: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let busy = self.poll_host();
        let turn = match place {
            RECEIVE => self.receive(ring, state, budget)?,
            TRANSMIT => self.transmit(ring, state, budget)?,
            _ => return Ok(Turn { chains: 0, waits_for: WaitsFor::Device }),
        };
        // What has happened can be work for the other queue, which had its turn before.
        Ok(if busy { Turn { waits_for: WaitsFor::Turn, ..turn } } else { turn })
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.host.as_fd())
    }
}
