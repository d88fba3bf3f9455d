//! The data structures that driver and device exchange.

use static_assertions::const_assert_eq;
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Feature bits: VIRTIO 1.4 §5.1.3 "Feature bits". The device offers the first of them, and the second where it has
/// several pairs of queues. None of its features leaves work on a packet to the other side.
pub mod feature {
    /// A packet may take several receive buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// There are several pairs of queues. Front ends of vhost-user answer the control queue that belongs to it.
    pub const MQ: u64 = 1 << 22;
}

/// The header of a packet, in both directions: the specification's `struct virtio_net_hdr` with VERSION_1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NetHeader {
    /// The checksum flags: always 0 here.
    pub flags: u8,
    /// The segmentation type: always none here.
    pub gso_type: u8,
    /// A hint, without a meaning here, as are the next three.
    pub hdr_len: U16,
    /// See above.
    pub gso_size: U16,
    /// See above.
    pub csum_start: U16,
    /// See above.
    pub csum_offset: U16,
    /// How many buffers a received packet takes. A driver that sends one writes 0.
    pub num_buffers: U16,
}

const_assert_eq!(size_of::<NetHeader>(), HEADER_LEN);

/// The length of a [`NetHeader`].
pub const HEADER_LEN: usize = 12;

/// The largest length of a frame, in bytes: a jumbo frame.
pub const MAX_FRAME: usize = 9216;

/// The least: an Ethernet header.
pub const MIN_FRAME: usize = 14;

/// The largest length of a packet, in bytes: its header and a frame.
pub const MAX_PACKET: usize = HEADER_LEN + MAX_FRAME;

impl NetHeader {
    /// Returns the header of a received packet that takes so many buffers.
    #[must_use]
    pub const fn received(num_buffers: u16) -> Self {
        let none = U16::ZERO;
        let num_buffers = U16::new(num_buffers);
        Self { flags: 0, gso_type: 0, hdr_len: none, gso_size: none, csum_start: none, csum_offset: none, num_buffers }
    }

    /// Returns whether the header asks for no negotiated feature.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.flags == 0 && self.gso_type == 0
    }
}

/// The beginning of the configuration space: VIRTIO 1.4 §5.1.4 "Device configuration layout".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NetConfig {
    /// Without a meaning: the driver or its front end chooses an address.
    pub mac: [u8; 6],
    /// Without a meaning: the link is always up.
    pub status: U16,
    /// The number of queue pairs.
    pub max_virtqueue_pairs: U16,
}

const_assert_eq!(size_of::<NetConfig>(), 10);
