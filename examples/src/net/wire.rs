//! The data structures that driver and device exchange.

use static_assertions::const_assert_eq;
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Feature bits: VIRTIO 1.4 §5.1.3 "Feature bits".
pub mod feature {
    /// The driver may leave checksums to the device.
    pub const CSUM: u64 = 1 << 0;
    /// The device may leave checksums to the driver.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device has a hardware address.
    pub const MAC: u64 = 1 << 5;
    /// The device may leave the segmentation of TCP over IPv4 to the driver.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The device may leave the segmentation of TCP over IPv6 to the driver.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The device may do so if the segments have the bit of explicit congestion notification.
    pub const GUEST_ECN: u64 = 1 << 9;
    /// The driver may leave the segmentation of TCP over IPv4 to the device.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The driver may leave the segmentation of TCP over IPv6 to the device.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// The driver may do so if the segments have the bit of explicit congestion notification.
    pub const HOST_ECN: u64 = 1 << 13;
    /// A packet may take several receive buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The configuration space says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
    /// There is a control queue.
    pub const CTRL_VQ: u64 = 1 << 17;
    /// The control queue has the commands of [`rx`](super::rx) that say which frames are received.
    pub const CTRL_RX: u64 = 1 << 18;
    /// It has the rest of these commands.
    pub const CTRL_RX_EXTRA: u64 = 1 << 20;
    /// The driver can send packets that announce it when it is asked to.
    pub const GUEST_ANNOUNCE: u64 = 1 << 21;
    /// There are several pairs of queues.
    pub const MQ: u64 = 1 << 22;
    /// The control queue sets the hardware address.
    pub const CTRL_MAC_ADDR: u64 = 1 << 23;

    /// Those that leave work on a packet to the other side.
    pub const OFFLOADS: u64 =
        CSUM | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN | HOST_TSO4 | HOST_TSO6 | HOST_ECN;

    /// Those that the control queue is for, without [`MQ`].
    pub const CONTROL: u64 = CTRL_VQ | CTRL_RX | CTRL_RX_EXTRA | GUEST_ANNOUNCE | CTRL_MAC_ADDR;
}

/// The header of a packet, in both directions: the specification's `struct virtio_net_hdr` with VERSION_1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NetHeader {
    /// Checksum flags: see [`header_flag`].
    pub flags: u8,
    /// The kind of the segments that the packet is to be cut into: see [`gso`].
    pub gso_type: u8,
    /// A hint: the length of the headers that each segment has.
    pub hdr_len: U16,
    /// How many bytes of payload each segment has.
    pub gso_size: U16,
    /// Where in the frame the sum begins.
    pub csum_start: U16,
    /// Where the sum belongs, from there on.
    pub csum_offset: U16,
    /// How many buffers a received packet takes. A driver that sends one writes 0.
    pub num_buffers: U16,
}

const_assert_eq!(size_of::<NetHeader>(), HEADER_LEN);

/// The bits of [`NetHeader::flags`].
pub mod header_flag {
    /// The receiver must write the checksum, of which the sender has written the part for the pseudo header.
    pub const NEEDS_CSUM: u8 = 1;
    /// The checksum was verified. Only a device says that.
    pub const DATA_VALID: u8 = 2;
}

/// The values of [`NetHeader::gso_type`].
pub mod gso {
    /// The packet stays as it is.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// Added to one of the others: the first segment has the bit of explicit congestion notification.
    pub const ECN: u8 = 0x80;
}

/// The length of a [`NetHeader`].
pub const HEADER_LEN: usize = 12;

/// The largest length of a frame that stays as it is, in bytes: a jumbo frame.
pub const MAX_FRAME: usize = 9216;

/// The largest length of a frame that is cut into segments: an Ethernet header and an IP packet.
pub const MAX_GSO_FRAME: usize = 65550;

/// The least: an Ethernet header.
pub const MIN_FRAME: usize = 14;

/// The largest length of a packet, in bytes: its header and a frame that is cut into segments.
pub const MAX_PACKET: usize = HEADER_LEN + MAX_GSO_FRAME;

impl NetHeader {
    /// Returns the header of a received packet that takes so many buffers, and leaves nothing to the driver.
    #[must_use]
    pub const fn received(num_buffers: u16) -> Self {
        let none = U16::ZERO;
        let num_buffers = U16::new(num_buffers);
        Self { flags: 0, gso_type: 0, hdr_len: none, gso_size: none, csum_start: none, csum_offset: none, num_buffers }
    }
}

/// The beginning of the configuration space: VIRTIO 1.4 §5.1.4 "Device configuration layout".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NetConfig {
    /// The hardware address, with [`feature::MAC`].
    pub mac: [u8; 6],
    /// The status, with [`feature::STATUS`]: [`LINK_UP`](Self::LINK_UP).
    pub status: U16,
    /// The number of queue pairs, with [`feature::MQ`].
    pub max_virtqueue_pairs: U16,
}

const_assert_eq!(size_of::<NetConfig>(), 10);

impl NetConfig {
    /// The link is up, as it always is here.
    pub const LINK_UP: u16 = 1;
}

/// The beginning of a command: VIRTIO 1.4 §5.1.6.5 "Control Virtqueue".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ControlHeader {
    /// What the command is about: see [`class`].
    pub class: u8,
    /// Which of the commands about that it is: see [`rx`], [`mac`], [`announce`] and [`mq`].
    pub command: u8,
}

/// The values of [`ControlHeader::class`].
pub mod class {
    /// Which frames are received, by their kind.
    pub const RX: u8 = 0;
    /// Which frames are received, by their address.
    pub const MAC: u8 = 1;
    /// Packets that announce the driver.
    pub const ANNOUNCE: u8 = 3;
    /// Pairs of queues.
    pub const MQ: u8 = 4;
}

/// The commands about kinds of frames. Each has one byte, 0 or 1.
pub mod rx {
    /// Receive all frames.
    pub const PROMISC: u8 = 0;
    /// Receive all multicast frames.
    pub const ALLMULTI: u8 = 1;
    /// Receive all unicast frames.
    pub const ALLUNI: u8 = 2;
    /// Receive no multicast frames.
    pub const NOMULTI: u8 = 3;
    /// Receive no unicast frames.
    pub const NOUNI: u8 = 4;
    /// Receive no broadcast frames.
    pub const NOBCAST: u8 = 5;
}

/// The commands about addresses.
pub mod mac {
    /// Two tables: a number of four bytes and so many unicast addresses, and the same with multicast addresses.
    pub const TABLE_SET: u8 = 0;
    /// The address of the device.
    pub const ADDR_SET: u8 = 1;
}

/// The command about packets that announce the driver.
pub mod announce {
    /// They were sent.
    pub const ACK: u8 = 0;
}

/// The command about pairs of queues.
pub mod mq {
    /// The number of pairs that the driver uses, in two bytes.
    pub const VQ_PAIRS_SET: u8 = 0;
}

/// The answer to a command, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(u8)]
pub enum Ack {
    /// It was obeyed.
    Ok = 0,
    /// It was not.
    Err = 1,
}
