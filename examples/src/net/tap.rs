//! A port to the network of the host.

use core::ffi::{c_int, c_short};
use core::iter;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use static_assertions::const_assert_eq;
use zerocopy::IntoBytes;

use super::port::{Lost, Port};
use super::wire::{HEADER_LEN, MAX_FRAME, NetHeader};

/// A TAP device of the host, or one of its queues.
///
/// With several queues, a paused queue takes no frames, so that all flows go to the other queues: VIRTIO 1.4
/// §5.1.6.5.6.1.
///
/// Packets that it cannot take immediately are lost, as on every network. A clone is another user of the same queue.
///
/// The host can delete the device meanwhile. Then the driver gets no more packets, and its own packets are lost.
#[derive(Clone, Debug)]
pub struct Tap {
    /// What reads and writes frames, while there is such a device.
    file: Option<Arc<File>>,
    /// Whether it is one queue of several.
    queues: TapQueues,
    /// One queue of several is attached until the last clone rests.
    attached: Option<Arc<Attached>>,
    transmitted: Box<[u8]>,
    /// A packet for the driver, if `len` is not 0.
    received: Box<[u8]>,
    len: usize,
}

impl Tap {
    /// Opens the TAP device `name`, or creates it. With `queues`, call this once for each queue.
    ///
    /// # Errors
    ///
    /// If the process lacks the permission, or the name is invalid.
    pub fn open(name: &str, queues: TapQueues) -> io::Result<Self> {
        let mut request = InterfaceRequest::new(name, queues).ok_or(ErrorKind::InvalidInput)?;
        let file = open("/dev/net/tun", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        // SAFETY: what the kernel reads and writes for this opcode is an `ifreq`, whose layout `InterfaceRequest` has.
        let attach = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
        // SAFETY: the kernel writes a name into the request, for which any bytes will do, and nothing else.
        unsafe { ioctl(&file, attach) }?;
        if queues == TapQueues::Many {
            set_queue(&file, DETACH_QUEUE)?;
        }
        Ok(Self::on(file.into(), queues))
    }

    fn on(file: File, queues: TapQueues) -> Self {
        let header = NetHeader::received(1);
        let room = |len| header.as_bytes().iter().copied().chain(iter::repeat_n(0, len)).collect();
        let (file, attached) = (Some(Arc::new(file)), None);
        // The room is one byte longer than the longest frame, because the kernel cuts longer frames to the room.
        Self { file, queues, attached, transmitted: room(MAX_FRAME), received: room(MAX_FRAME + 1), len: 0 }
    }

    /// Returns the length of the next frame, which is put behind the header, if there is one. One that is too long is
    /// lost.
    fn receive(&mut self) -> Option<usize> {
        let (_, room) = self.received.split_at_mut(HEADER_LEN);
        match self.file.as_deref()?.read(room) {
            Ok(len) => Some(len).filter(|len| *len <= MAX_FRAME),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => {
                // Every further read would return this error. `eprintln` panics if standard error is closed.
                let _ = writeln!(io::stderr(), "the TAP device is gone: {error}");
                self.file = None;
                None
            }
        }
    }
}

impl Port for Tap {
    fn start(&mut self) {
        if let (TapQueues::Many, None, Some(file)) = (self.queues, &self.attached, &self.file) {
            match Attached::new(Arc::clone(file)) {
                Ok(attached) => self.attached = Some(Arc::new(attached)),
                Err(error) => drop(writeln!(io::stderr(), "a queue of the TAP device cannot be attached: {error}")),
            }
        }
    }

    fn rest(&mut self) {
        self.attached = None;
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.transmitted
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let frame = self.transmitted.get(HEADER_LEN..len).ok_or(Lost)?;
        self.file.as_deref().ok_or(Lost)?.write_all(frame).map_err(|_| Lost)
    }

    fn packets(&mut self) -> usize {
        if self.len == 0 {
            self.len = self.receive().map_or(0, |len| HEADER_LEN + len);
        }
        usize::from(self.len > 0)
    }

    fn packet(&mut self) -> &mut [u8] {
        self.received.get_mut(..self.len).unwrap_or_default()
    }

    fn done(&mut self) {
        self.len = 0;
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }
}

/// A queue of several, while it takes frames.
#[derive(Debug)]
struct Attached(Arc<File>);

impl Attached {
    fn new(file: Arc<File>) -> io::Result<Self> {
        set_queue(&file, ATTACH_QUEUE)?;
        Ok(Self(file))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // It fails if the device is gone, and the queue with it.
        let _ = set_queue(&self.0, DETACH_QUEUE);
    }
}

/// Attaches one queue of several to its TAP device, or detaches it.
fn set_queue(file: impl AsFd, flags: c_short) -> io::Result<()> {
    let mut request = InterfaceRequest { name: [0; 16], flags, _rest: [0; 22] };
    // SAFETY: what the kernel reads for this opcode is an `ifreq`, whose layout `InterfaceRequest` has.
    let set = unsafe { Updater::<TUNSETQUEUE, InterfaceRequest>::new(&mut request) };
    // SAFETY: the kernel writes nothing into the request, for which any bytes would do.
    Ok(unsafe { ioctl(file, set) }?)
}

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

/// Attaches or detaches one queue of several: `TUNSETQUEUE`, with `IFF_ATTACH_QUEUE` or `IFF_DETACH_QUEUE`.
const TUNSETQUEUE: Opcode = opcode::write::<c_int>(b'T', 217);
const ATTACH_QUEUE: c_short = 0x0200;
const DETACH_QUEUE: c_short = 0x0400;

/// Frames with an Ethernet header, nothing before it, and more than one queue: `IFF_TAP`, `IFF_NO_PI`,
/// `IFF_MULTI_QUEUE`.
const TAP: c_short = 0x0002;
const NO_PACKET_INFORMATION: c_short = 0x1000;
const MULTI_QUEUE: c_short = 0x0100;

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
        let mut request = Self { name: [0; 16], flags: TAP | NO_PACKET_INFORMATION, _rest: [0; 22] };
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn a_frame_that_is_too_long_is_lost() {
        let (port, host) = UnixDatagram::pair().unwrap();
        port.set_nonblocking(true).unwrap();
        let mut tap = Tap::on(File::from(OwnedFd::from(port)), TapQueues::One);
        for (len, packets) in [(MAX_FRAME, 1), (MAX_FRAME + 1, 0), (2 * MAX_FRAME, 0), (60, 1)] {
            host.send(&vec![1; len]).unwrap();
            assert_eq!(tap.packets(), packets, "{len} bytes");
            assert_eq!(tap.packet().len(), packets * (HEADER_LEN + len), "{len} bytes");
            tap.done();
        }
        assert_eq!(tap.packets(), 0);
    }

    #[test]
    fn a_device_that_is_gone_is_waited_for_no_longer() {
        // A socket has nothing to read yet. A file that cannot be read never has.
        let (socket, _peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let unreadable = File::options().write(true).open("/dev/null").unwrap();
        for (file, there) in [(File::from(OwnedFd::from(socket)), true), (unreadable, false)] {
            let mut tap = Tap::on(file, TapQueues::One);
            assert!(tap.wake().is_some());
            assert_eq!(tap.packets(), 0);
            assert_eq!((tap.wake().is_some(), tap.transmit(HEADER_LEN + 60).is_ok()), (there, there));
        }
    }
}
