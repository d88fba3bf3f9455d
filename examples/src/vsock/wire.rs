//! The data structures that driver and device exchange.

use static_assertions::const_assert_eq;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Feature bits: VIRTIO 1.4 §5.10.3 "Feature bits".
pub mod feature {
    /// There are streams. A driver that accepts no feature gets them as well.
    pub const STREAM: u64 = 1 << 0;
}

/// The context id of the host.
pub const HOST_CID: u64 = 2;

/// The type of a packet that belongs to a stream.
pub const STREAM: u16 = 1;

/// What a packet is for: VIRTIO 1.4 §5.10.6 "Device Operation".
pub mod op {
    /// Asks for a connection.
    pub const REQUEST: u16 = 1;
    /// Accepts a connection.
    pub const RESPONSE: u16 = 2;
    /// Refuses or ends a connection.
    pub const RST: u16 = 3;
    /// Ends one direction of a connection, or both.
    pub const SHUTDOWN: u16 = 4;
    /// Has bytes.
    pub const RW: u16 = 5;
    /// Says how much the sender can take.
    pub const CREDIT_UPDATE: u16 = 6;
    /// Asks how much the other side can take.
    pub const CREDIT_REQUEST: u16 = 7;
}

/// The flags of a packet that ends a direction.
pub mod shutdown {
    /// Its sender does not receive any more.
    pub const RECEIVE: u32 = 1 << 0;
    /// Its sender does not send any more.
    pub const SEND: u32 = 1 << 1;
}

/// The header of a packet, in both directions: the specification's `struct virtio_vsock_hdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VsockHeader {
    /// The context id of the sender.
    pub src_cid: U64,
    /// The context id of the receiver.
    pub dst_cid: U64,
    /// The port of the sender.
    pub src_port: U32,
    /// The port of the receiver.
    pub dst_port: U32,
    /// The number of bytes after the header.
    pub len: U32,
    /// [`STREAM`].
    pub type_: U16,
    /// One of [`op`].
    pub op: U16,
    /// Those of [`shutdown`], if the packet ends a direction.
    pub flags: U32,
    /// How many bytes the sender keeps, at most.
    pub buf_alloc: U32,
    /// How many bytes the sender has received and does not keep any more, modulo 2^32.
    pub fwd_cnt: U32,
}

/// The length of a [`VsockHeader`].
pub const HEADER_LEN: usize = 44;

const_assert_eq!(size_of::<VsockHeader>(), HEADER_LEN);

impl VsockHeader {
    /// Returns the packet that refuses this one: it has the same type, and goes back to where this one came from.
    #[must_use]
    pub const fn refusal(&self) -> Self {
        let Self { src_cid, dst_cid, src_port, dst_port, type_, .. } = *self;
        let (none, op) = (U32::ZERO, U16::new(op::RST));
        Self {
            src_cid: dst_cid,
            dst_cid: src_cid,
            src_port: dst_port,
            dst_port: src_port,
            len: none,
            type_,
            op,
            flags: none,
            buf_alloc: none,
            fwd_cnt: none,
        }
    }
}

/// The configuration space: VIRTIO 1.4 §5.10.4 "Device configuration layout".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VsockConfig {
    /// The context id of the guest.
    pub guest_cid: U64,
}

const_assert_eq!(size_of::<VsockConfig>(), 8);
