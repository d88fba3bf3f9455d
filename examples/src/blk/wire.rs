//! The data structures that driver and device exchange.

use core::fmt;
use core::mem::offset_of;

use static_assertions::const_assert_eq;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The unit in which drivers count, in bytes.
pub const SECTOR_SIZE: u64 = 512;

/// The largest number of segments in a request to discard or to write zeroes.
pub const MAX_SEGMENTS: u32 = 16;

/// The largest number of sectors in such a segment. Both limits together bound the work for a request: 64 MiB.
pub const MAX_SEGMENT_SECTORS: u32 = 8192;

/// Feature bits: VIRTIO 1.4 §5.2.3 "Feature bits". The device offers these and no others, but for [`MQ`](feature::MQ).
pub mod feature {
    /// `seg_max` is the largest number of payload pieces in a request.
    pub const SEG_MAX: u64 = 1 << 2;
    /// The device is read-only.
    pub const RO: u64 = 1 << 5;
    /// `blk_size` is the block size.
    pub const BLK_SIZE: u64 = 1 << 6;
    /// There is a [`Topology`](super::Topology).
    pub const TOPOLOGY: u64 = 1 << 10;
    /// The driver can choose the mode of the write cache.
    pub const CONFIG_WCE: u64 = 1 << 11;
    /// There are requests to flush.
    pub const FLUSH: u64 = 1 << 9;
    /// `num_queues` is the number of queues. It is for programs with several queues, each with its own device.
    pub const MQ: u64 = 1 << 12;
    /// There are requests to discard.
    pub const DISCARD: u64 = 1 << 13;
    /// There are requests to write zeroes.
    pub const WRITE_ZEROES: u64 = 1 << 14;
}

/// The header of a request: the fixed part of the specification's `struct virtio_blk_req`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RequestHeader {
    /// The request type: a [`RequestType`], if the device knows it.
    pub kind: U32,
    /// Without a meaning.
    pub reserved: U32,
    /// The first sector to read or write.
    pub sector: U64,
}

const_assert_eq!(size_of::<RequestHeader>(), 16);

/// The types of requests that the device knows: `VIRTIO_BLK_T_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RequestType {
    /// Read sectors.
    In = 0,
    /// Write sectors.
    Out = 1,
    /// Make written sectors stable.
    Flush = 4,
    /// Return the name of the device.
    GetId = 8,
    /// Give sectors back.
    Discard = 11,
    /// Set sectors to zero.
    WriteZeroes = 13,
}

impl RequestType {
    /// Returns the request type of a number, if the device knows it.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::In,
            1 => Self::Out,
            4 => Self::Flush,
            8 => Self::GetId,
            11 => Self::Discard,
            13 => Self::WriteZeroes,
            _ => return None,
        })
    }
}

/// The result of a request, in its last byte: `VIRTIO_BLK_S_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable)]
#[repr(u8)]
pub enum Status {
    /// The request succeeded.
    Ok = 0,
    /// The driver or the device caused an error.
    IoErr = 1,
    /// The device does not support the request.
    Unsupp = 2,
}

impl<E> From<Result<(), E>> for Status {
    fn from(result: Result<(), E>) -> Self {
        if result.is_ok() { Self::Ok } else { Self::IoErr }
    }
}

/// A range of sectors to discard or to set to zero: `struct virtio_blk_discard_write_zeroes`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Segment {
    /// The first sector.
    pub sector: U64,
    /// How many there are.
    pub num_sectors: U32,
    /// [`UNMAP`](Self::UNMAP), or nothing.
    pub flags: U32,
}

const_assert_eq!(size_of::<Segment>(), 16);

impl Segment {
    /// The flag that lets the device deallocate the sectors that it sets to zero.
    pub const UNMAP: u32 = 1;
}

/// How a driver should align its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Topology {
    /// The number of blocks in a physical block, as a power of two.
    pub physical_block_exp: u8,
    /// The first aligned block.
    pub alignment_offset: u8,
    /// The number of blocks in the smallest request that is not slow.
    pub min_io_size: U16,
    /// The number of blocks in the best request, or 0.
    pub opt_io_size: U32,
}

const_assert_eq!(size_of::<Topology>(), 8);

impl Topology {
    /// Returns that of a medium with `physical` bytes in a physical block.
    pub(super) fn new(block_size: u32, physical: u32) -> Self {
        let blocks = physical.checked_div(block_size).unwrap_or(1).max(1);
        let exponent = u8::try_from(blocks.ilog2()).unwrap_or(0);
        let min_io_size = u16::try_from(blocks).unwrap_or(u16::MAX).into();
        Self { physical_block_exp: exponent, alignment_offset: 0, min_io_size, opt_io_size: 0.into() }
    }
}

/// The device's configuration space, up to the last field that it has: `struct virtio_blk_config`.
///
/// VIRTIO 1.4 §5.2.4 "Device configuration layout".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BlockConfig {
    /// The number of sectors.
    pub capacity: U64,
    /// Not there: the largest piece of a payload.
    pub size_max: U32,
    /// The most pieces that a payload may be in.
    pub seg_max: U32,
    /// Not there: cylinders, heads and sectors.
    pub geometry: [u8; 4],
    /// The block size in bytes.
    pub blk_size: U32,
    /// How to align requests: there with [`feature::TOPOLOGY`].
    pub topology: Topology,
    /// The mode of the write cache: 0 to write through it, 1 if writes wait for a flush.
    pub writeback: u8,
    /// Zero.
    pub unused0: u8,
    /// Not there unless it is filled in: the number of queues.
    pub num_queues: U16,
    /// [`MAX_SEGMENT_SECTORS`].
    pub max_discard_sectors: U32,
    /// [`MAX_SEGMENTS`].
    pub max_discard_seg: U32,
    /// The alignment of discards, in sectors.
    pub discard_sector_alignment: U32,
    /// [`MAX_SEGMENT_SECTORS`].
    pub max_write_zeroes_sectors: U32,
    /// [`MAX_SEGMENTS`].
    pub max_write_zeroes_seg: U32,
    /// 1 if sectors that are set to zero can be released.
    pub write_zeroes_may_unmap: u8,
    /// Zero.
    pub unused1: [u8; 3],
}

const_assert_eq!(offset_of!(BlockConfig, seg_max), 12);
const_assert_eq!(offset_of!(BlockConfig, blk_size), 20);
const_assert_eq!(offset_of!(BlockConfig, writeback), 32);
const_assert_eq!(offset_of!(BlockConfig, num_queues), 34);
const_assert_eq!(offset_of!(BlockConfig, max_discard_sectors), 36);
const_assert_eq!(offset_of!(BlockConfig, max_write_zeroes_sectors), 48);
const_assert_eq!(offset_of!(BlockConfig, write_zeroes_may_unmap), 56);
const_assert_eq!(size_of::<BlockConfig>(), 60);

impl BlockConfig {
    pub(super) fn new(capacity: u64, block_size: u32, queue_size: u16) -> Self {
        Self {
            capacity: capacity.into(),
            // Header and status take a descriptor each.
            seg_max: u32::from(queue_size).saturating_sub(2).max(1).into(),
            blk_size: block_size.into(),
            max_discard_sectors: MAX_SEGMENT_SECTORS.into(),
            max_discard_seg: MAX_SEGMENTS.into(),
            discard_sector_alignment: (block_size / 512).into(),
            max_write_zeroes_sectors: MAX_SEGMENT_SECTORS.into(),
            max_write_zeroes_seg: MAX_SEGMENTS.into(),
            ..Self::new_zeroed()
        }
    }
}

/// The name of a device: up to 20 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceId([u8; 20]);

impl DeviceId {
    /// Returns the name `text`, or `None` if it is too long, not ASCII or has a NUL in it.
    ///
    /// ```
    /// use virtio_examples::blk::DeviceId;
    ///
    /// assert!(DeviceId::new("disk-0").is_some());
    /// assert!(DeviceId::new("a name of 21 letters.").is_none());
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (text.is_ascii() && !text.contains('\0')).then_some(Self(bytes))
    }

    /// Returns the name in the form for the driver: padded with NULs to 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0.escape_ascii())
    }
}
