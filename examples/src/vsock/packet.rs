//! A packet of the guest, as the device has checked it.

use zerocopy::little_endian::{U16, U32, U64};

use super::credit::Credit;
use super::wire::{HOST_CID, STREAM, VsockHeader, op, shutdown};

/// The two ends of a stream. The context ids are always those of the guest and of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The port on the side of the guest.
    pub guest_port: u32,
    /// The port on the side of the host.
    pub host_port: u32,
}

/// A packet of the guest for a stream, from a header that was read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The stream.
    pub address: Address,
    /// What the packet is for.
    pub op: Op,
    /// What the guest can take. It can be anything.
    pub credit: Credit,
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Asks for a connection.
    Request,
    /// Accepts a connection.
    Response,
    /// Refuses or ends a connection.
    Reset,
    /// Ends directions.
    Shutdown(Ends),
    /// Has so many bytes, or says so: the chain can have fewer.
    Data(u32),
    /// Says how much its sender can take.
    CreditUpdate,
    /// Asks how much the other side can take.
    CreditRequest,
    /// Is for something that the specification does not have.
    Unknown(u16),
}

/// The directions that one side has ended. An end is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The side does not receive any more.
    pub receive: bool,
    /// The side does not send any more.
    pub send: bool,
}

/// Why a packet is for no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Nobody is to be told.
    Dropped,
    /// The guest is to be told, by a packet with this header.
    Refused(VsockHeader),
}

impl Packet {
    /// Checks a header of a packet of the guest.
    ///
    /// # Errors
    ///
    /// If the packet does not come from `guest_cid`, does not go to the host, or belongs to no stream. A packet that
    /// refuses another one is never refused.
    pub fn new(header: &VsockHeader, guest_cid: u64) -> Result<Self, Rejected> {
        let op = header.op.get();
        if header.src_cid.get() != guest_cid {
            return Err(Rejected::Dropped);
        }
        if header.dst_cid.get() != HOST_CID || header.type_.get() != STREAM {
            return Err(if op == op::RST { Rejected::Dropped } else { Rejected::Refused(header.refusal()) });
        }
        let address = Address { guest_port: header.src_port.get(), host_port: header.dst_port.get() };
        let credit = Credit { buf_alloc: header.buf_alloc.get(), fwd_cnt: header.fwd_cnt.get() };
        Ok(Self { address, op: Op::new(op, header), credit })
    }
}

impl Op {
    const fn new(op: u16, header: &VsockHeader) -> Self {
        match op {
            op::REQUEST => Self::Request,
            op::RESPONSE => Self::Response,
            op::RST => Self::Reset,
            op::SHUTDOWN => Self::Shutdown(Ends::from_flags(header.flags.get())),
            op::RW => Self::Data(header.len.get()),
            op::CREDIT_UPDATE => Self::CreditUpdate,
            op::CREDIT_REQUEST => Self::CreditRequest,
            op => Self::Unknown(op),
        }
    }
}

impl Address {
    /// Returns the header of a packet for the guest.
    #[must_use]
    pub const fn header(&self, guest_cid: u64, op: u16, credit: Credit) -> VsockHeader {
        VsockHeader {
            src_cid: U64::new(HOST_CID),
            dst_cid: U64::new(guest_cid),
            src_port: U32::new(self.host_port),
            dst_port: U32::new(self.guest_port),
            len: U32::ZERO,
            type_: U16::new(STREAM),
            op: U16::new(op),
            flags: U32::ZERO,
            buf_alloc: U32::new(credit.buf_alloc),
            fwd_cnt: U32::new(credit.fwd_cnt),
        }
    }

    /// Returns the header of a packet that tells the guest that there is no connection, or none any more.
    #[must_use]
    pub fn reset(&self, guest_cid: u64) -> VsockHeader {
        self.header(guest_cid, op::RST, Credit::default())
    }
}

impl Ends {
    /// Both directions.
    pub const BOTH: Self = Self { receive: true, send: true };

    /// Only that the side does not receive any more.
    pub const RECEIVE: Self = Self { receive: true, send: false };

    /// Only that the side does not send any more.
    pub const SEND: Self = Self { receive: false, send: true };

    const fn from_flags(flags: u32) -> Self {
        Self { receive: flags & shutdown::RECEIVE != 0, send: flags & shutdown::SEND != 0 }
    }

    /// Returns the flags of a packet that says so.
    #[must_use]
    pub const fn flags(self) -> u32 {
        let receive = if self.receive { shutdown::RECEIVE } else { 0 };
        receive | if self.send { shutdown::SEND } else { 0 }
    }

    /// Returns the directions that end here or there.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { receive: self.receive || other.receive, send: self.send || other.send }
    }
}
