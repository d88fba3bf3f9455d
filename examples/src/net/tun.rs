//! TAP devices, as the kernel knows them.

use core::ffi::{c_int, c_short};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use static_assertions::const_assert_eq;

use super::offloads::Offloads;
use super::wire::{HEADER_LEN, feature};

/// The number of queues of a TAP device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapQueues {
    /// One.
    One,
    /// One for each open file.
    Many,
}

/// Attaches an open file to a TAP device: `TUNSETIFF`. The size in its number is that of an `int`, for historical
/// reasons.
const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);

/// Says what the kernel may leave to the reader: `TUNSETOFFLOAD`, with a number in place of a pointer.
const TUNSETOFFLOAD: Opcode = opcode::write::<c_int>(b'T', 208);

/// The bits of that: `TUN_F_CSUM` and so on.
const OFFLOADS: [(u64, usize); 4] =
    [(feature::GUEST_CSUM, 1), (feature::GUEST_TSO4, 2), (feature::GUEST_TSO6, 4), (feature::GUEST_ECN, 8)];

/// Sets the length of the header before each frame: `TUNSETVNETHDRSZ`.
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);

/// Attaches or detaches one queue of several: `TUNSETQUEUE`, with `IFF_ATTACH_QUEUE` or `IFF_DETACH_QUEUE`.
const TUNSETQUEUE: Opcode = opcode::write::<c_int>(b'T', 217);
const ATTACH_QUEUE: c_short = 0x0200;
const DETACH_QUEUE: c_short = 0x0400;

/// Makes the fields of the header little-endian, or those of the host: `TUNSETVNETLE`.
const TUNSETVNETLE: Opcode = opcode::write::<c_int>(b'T', 220);

/// Frames with an Ethernet header, no information about the protocol before it, but what a network device of virtio has
/// there, and more than one queue: `IFF_TAP`, `IFF_NO_PI`, `IFF_VNET_HDR`, `IFF_MULTI_QUEUE`.
const TAP: c_short = 0x0002;
const NO_PACKET_INFORMATION: c_short = 0x1000;
const VIRTIO_HEADER: c_short = 0x4000;
const MULTI_QUEUE: c_short = 0x0100;

/// Opens the TAP device `name`, or creates it. Each read and each write is a packet with the header that network
/// devices of virtio have. One queue of several is detached.
pub(super) fn open_tap(name: &str, queues: TapQueues) -> io::Result<File> {
    let mut request = InterfaceRequest::new(name, queues).ok_or(ErrorKind::InvalidInput)?;
    let file = File::from(open("/dev/net/tun", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    // SAFETY: what the kernel reads and writes for this opcode is an `ifreq`, whose layout `InterfaceRequest` has.
    let attach = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
    // SAFETY: the kernel writes a name into the request, for which any bytes will do, and nothing else.
    unsafe { ioctl(&file, attach) }?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "it is 12")]
    let header_len = HEADER_LEN as c_int;
    // SAFETY: what the kernel reads for this opcode is an `int`.
    let set_header_len = unsafe { Setter::<TUNSETVNETHDRSZ, c_int>::new(header_len) };
    // SAFETY: the kernel takes note of the number, and writes nothing.
    unsafe { ioctl(&file, set_header_len) }?;
    // SAFETY: what the kernel reads for this opcode is an `int`.
    let set_little_endian = unsafe { Setter::<TUNSETVNETLE, c_int>::new(1) };
    // SAFETY: the kernel takes note of the number, and writes nothing.
    unsafe { ioctl(&file, set_little_endian) }?;
    if queues == TapQueues::Many {
        detach_queue(&file)?;
    }
    Ok(file)
}

/// Lets the kernel leave to the reader what these offloads leave to a driver. This is for all queues of the device.
pub(super) fn set_offloads(file: impl AsFd, offloads: Offloads) -> io::Result<()> {
    let bits = OFFLOADS.iter().filter(|(feature, _)| offloads.include(*feature)).map(|(_, bit)| bit).sum();
    // SAFETY: what the kernel takes for this opcode is a number.
    let set = unsafe { IntegerSetter::<TUNSETOFFLOAD>::new_usize(bits) };
    // SAFETY: the kernel takes note of the number, and accesses no memory.
    Ok(unsafe { ioctl(file, set) }?)
}

/// Attaches one queue of several to its TAP device.
pub(super) fn attach_queue(file: impl AsFd) -> io::Result<()> {
    set_queue(file, ATTACH_QUEUE)
}

/// Detaches one queue of several from its TAP device.
pub(super) fn detach_queue(file: impl AsFd) -> io::Result<()> {
    set_queue(file, DETACH_QUEUE)
}

fn set_queue(file: impl AsFd, flags: c_short) -> io::Result<()> {
    let mut request = InterfaceRequest { name: [0; 16], flags, _rest: [0; 22] };
    // SAFETY: what the kernel reads for this opcode is an `ifreq`, whose layout `InterfaceRequest` has.
    let set = unsafe { Updater::<TUNSETQUEUE, InterfaceRequest>::new(&mut request) };
    // SAFETY: the kernel writes nothing into the request, for which any bytes would do.
    Ok(unsafe { ioctl(file, set) }?)
}

/// What the kernel's `struct ifreq` is with flags in it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: c_short,
    /// The rest of a union.
    _rest: [u8; 22],
}

const_assert_eq!(size_of::<InterfaceRequest>(), 40);

impl InterfaceRequest {
    /// Returns what asks for the TAP device `name`, or `None` if that is too long, or asks the kernel to make up a
    /// name.
    fn new(name: &str, queues: TapQueues) -> Option<Self> {
        let flags = TAP | NO_PACKET_INFORMATION | VIRTIO_HEADER;
        let mut request = Self { name: [0; 16], flags, _rest: [0; 22] };
        // The last byte is the end.
        let (room, _) = request.name.split_at_mut(15);
        if name.is_empty() || name.contains(['%', '\0']) {
            return None;
        }
        room.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        if queues == TapQueues::Many {
            request.flags |= MULTI_QUEUE;
        }
        Some(request)
    }
}
