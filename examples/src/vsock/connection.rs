//! A stream between a port of the guest and a port of the host, without the bytes and the sockets.
//!
//! ```text
//!                the guest asks                            the host asks
//!                      |                                        |
//!                  Accepting                                Requesting
//!                      |  RESPONSE is sent                      |  REQUEST is sent
//!                      |                                    Requested
//!                      |                                        |  RESPONSE comes
//!                      +---------------> Open <-----------------+
//! ```
//!
//! Each side ends its directions one after the other, or both at once. A guest that has ended both gets RST when the
//! host has taken all bytes: it can use its port again then. RST by the guest, or anything that the guest must not
//! send, ends a connection in any state.

use core::fmt;

use super::credit::{BUF_ALLOC, BeyondCredit, Credit, ReceiveCredit, SendCredit};
use super::packet::{Address, Ends, Op, Packet};
use super::wire::{VsockHeader, op};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    address: Address,
    phase: Phase,
    send: SendCredit,
    receive: ReceiveCredit,
    /// What the guest has ended.
    guest: Ends,
    /// What the host has ended, and what the guest knows of that.
    host: Ends,
    told: Ends,
    /// Whether the guest is to be told how much room there is.
    update_due: bool,
    /// Whether the guest was asked for more room since there was any.
    asked: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The guest is to be asked.
    Requesting,
    /// The guest was asked.
    Requested,
    /// The guest is to be told that the host has accepted.
    Accepting,
    /// Both sides have accepted.
    Open,
}

/// What a packet of the guest means for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The guest has accepted.
    Accepted,
    /// These bytes come.
    Data(u32),
    /// The guest has [ended](Connection::guest_ends) a direction.
    Ended,
    /// The guest has refused or ended the connection.
    Reset,
}

/// A packet for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// One without bytes, for one of [`op`].
    Control(u16),
    /// One with bytes of the host: at most so many.
    Data(u32),
}

impl Connection {
    /// Begins a connection that a program on the host has asked for.
    #[must_use]
    pub fn requesting(address: Address) -> Self {
        Self::new(address, Phase::Requesting)
    }

    /// Begins a connection that the guest has asked for, and the host has accepted.
    #[must_use]
    pub fn accepting(address: Address, credit: Credit) -> Self {
        let mut connection = Self::new(address, Phase::Accepting);
        connection.send.update(credit);
        connection
    }

    fn new(address: Address, phase: Phase) -> Self {
        Self {
            address,
            phase,
            send: SendCredit::default(),
            receive: ReceiveCredit::default(),
            guest: Ends::default(),
            host: Ends::default(),
            told: Ends::default(),
            update_due: false,
            asked: false,
        }
    }

    /// Returns its two ends.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Returns what the guest has ended.
    #[must_use]
    pub const fn guest_ends(&self) -> Ends {
        self.guest
    }

    /// Returns what the host has ended.
    #[must_use]
    pub const fn host_ends(&self) -> Ends {
        self.host
    }

    /// Returns whether the guest knows of the connection.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self.phase, Phase::Requesting)
    }

    /// Returns whether the side that was asked has accepted.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self.phase, Phase::Accepting | Phase::Open)
    }

    /// Returns how many bytes of the guest the host has not taken yet.
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.receive.kept()
    }

    /// Returns whether the guest has ended everything, and the host has taken all bytes. The guest is to get RST then.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.guest == Ends::BOTH && self.kept() == 0
    }
}

/// What comes from the guest.
impl Connection {
    /// Takes a packet that belongs to this connection.
    ///
    /// # Errors
    ///
    /// If the guest must not send it now. The connection is to be reset.
    pub fn receive(&mut self, packet: &Packet) -> Result<Effect, Violation> {
        let effect = self.effect(packet.op)?;
        self.send.update(packet.credit);
        if self.send.available() > 0 {
            self.asked = false;
        }
        Ok(effect)
    }

    fn effect(&mut self, op: Op) -> Result<Effect, Violation> {
        match (op, self.phase) {
            (Op::Reset, _) => Ok(Effect::Reset),
            (Op::Response, Phase::Requested) => {
                self.phase = Phase::Open;
                Ok(Effect::Accepted)
            }
            (Op::Shutdown(ends), Phase::Accepting | Phase::Open) => {
                self.guest = self.guest.and(ends);
                Ok(Effect::Ended)
            }
            (Op::Data(_), Phase::Open) if self.guest.send => Err(Violation::AfterEnd),
            (Op::Data(len), Phase::Open) => {
                self.receive.receive(len)?;
                Ok(Effect::Data(len))
            }
            (Op::CreditUpdate, Phase::Open) => Ok(Effect::None),
            (Op::CreditRequest, Phase::Open) => {
                self.update_due = true;
                Ok(Effect::None)
            }
            (op, _) => Err(Violation::Unexpected(op)),
        }
    }
}

/// What comes from the host.
impl Connection {
    /// Takes note of that the host has taken `len` bytes. The guest is told when there is much more room than it knows.
    pub const fn forwarded(&mut self, len: u32) {
        self.receive.forward(len);
        self.update_due |= self.receive.untold() >= BUF_ALLOC / 2;
    }

    /// Takes note of that the host has taken all bytes, after some had to be kept. The guest is told in any case: it
    /// can wait until there is room for a packet of any length.
    pub const fn caught_up(&mut self) {
        self.update_due |= self.receive.untold() > 0;
    }

    /// Takes note of that the host has ended something.
    pub const fn host_has_ended(&mut self, ends: Ends) {
        self.host = self.host.and(ends);
    }

    /// Returns what the host is still read for: nothing if one side has ended that direction.
    #[must_use]
    pub const fn reads_host(&self) -> bool {
        matches!(self.phase, Phase::Open) && !self.host.send && !self.guest.receive
    }
}

/// What goes to the guest.
impl Connection {
    /// Returns the next packet for the guest, if there is one. `readable` is whether the host seems to have bytes.
    #[must_use]
    pub fn next_packet(&self, readable: bool) -> Option<Outgoing> {
        match self.phase {
            Phase::Requesting => return Some(Outgoing::Control(op::REQUEST)),
            Phase::Accepting => return Some(Outgoing::Control(op::RESPONSE)),
            Phase::Requested => return None,
            Phase::Open => {}
        }
        let readable = readable && self.reads_host();
        match self.send.available() {
            _ if self.update_due => Some(Outgoing::Control(op::CREDIT_UPDATE)),
            // The host has ended sending only if all of its bytes were read.
            _ if self.host != self.told => Some(Outgoing::Control(op::SHUTDOWN)),
            available @ 1.. if readable => Some(Outgoing::Data(available)),
            0 if readable && !self.asked => Some(Outgoing::Control(op::CREDIT_REQUEST)),
            _ => None,
        }
    }

    /// Returns the header of that packet, which has `len` bytes behind it.
    #[must_use]
    pub fn header(&self, outgoing: Outgoing, len: u32, guest_cid: u64) -> VsockHeader {
        let (op, flags) = match outgoing {
            Outgoing::Control(op::SHUTDOWN) => (op::SHUTDOWN, self.host.flags()),
            Outgoing::Control(op) => (op, 0),
            Outgoing::Data(_) => (op::RW, 0),
        };
        let header = self.address.header(guest_cid, op, self.receive.credit());
        VsockHeader { len: len.into(), flags: flags.into(), ..header }
    }

    /// Takes note of that the packet was sent, with `len` bytes.
    pub const fn sent(&mut self, outgoing: Outgoing, len: u32) {
        self.receive.told();
        self.update_due = false;
        match outgoing {
            Outgoing::Data(_) => self.send.sent(len),
            Outgoing::Control(op::REQUEST) => self.phase = Phase::Requested,
            Outgoing::Control(op::RESPONSE) => self.phase = Phase::Open,
            Outgoing::Control(op::CREDIT_REQUEST) => self.asked = true,
            Outgoing::Control(op::SHUTDOWN) => self.told = self.host,
            Outgoing::Control(_) => {}
        }
    }
}

/// What a guest must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The packet has no place in the state of the connection.
    Unexpected(Op),
    /// Bytes come after the guest has said that it sends no more.
    AfterEnd,
    /// More bytes come than there is room for.
    BeyondCredit(BeyondCredit),
}

impl From<BeyondCredit> for Violation {
    fn from(error: BeyondCredit) -> Self {
        Self::BeyondCredit(error)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(op) => write!(f, "a packet ({op:?}) has no place in the state of its connection"),
            Self::AfterEnd => f.write_str("bytes come after the guest has ended its direction"),
            Self::BeyondCredit(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Violation {}
