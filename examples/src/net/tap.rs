//! A port to the network of the host.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use zerocopy::IntoBytes;

use super::lost::Lost;
use super::offloads::Offloads;
use super::port::Port;
use super::tun::{TapQueues, attach_queue, detach_queue, open_tap, set_offloads};
use super::wire::{MAX_PACKET, NetHeader};

/// A TAP device of the host, or one of its queues.
///
/// Packets keep their headers on the way: what the driver leaves to the device is left to the kernel, and what the
/// driver accepted to do, the kernel leaves to the driver.
///
/// With several queues, a queue that is paused or not used takes no frames, so that all flows go to the other queues:
/// VIRTIO 1.4 §5.1.6.5.6.1.
///
/// Packets that it cannot take immediately are lost, as on every network. A clone is another user of the same queue.
///
/// The host can delete the device meanwhile. Then the driver gets no more packets, and its own packets are lost.
#[derive(Clone, Debug)]
pub struct Tap {
    /// What reads and writes packets, while there is such a device.
    queue: Option<Arc<TapQueue>>,
    /// The queue is served until the last clone rests.
    served: Option<Arc<Served>>,
    offloads: Offloads,
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
        Ok(Self::on(open_tap(name, queues)?, queues))
    }

    fn on(file: File, queues: TapQueues) -> Self {
        let room = |len| {
            let mut room = vec![0; len];
            // It is longer than a header.
            let _ = NetHeader::received(1).write_to_prefix(&mut room);
            room.into()
        };
        let queue = TapQueue { file, queues, state: Mutex::new(QueueState { served: false, used: true }) };
        Self {
            queue: Some(Arc::new(queue)),
            served: None,
            offloads: Offloads::default(),
            transmitted: room(MAX_PACKET),
            // One byte longer than the longest packet, because the kernel cuts longer packets to the room.
            received: room(MAX_PACKET + 1),
            len: 0,
        }
    }

    /// Returns the length of the next packet, if there is one. One that is not for this driver is lost.
    fn receive(&mut self) -> Option<usize> {
        match (&self.queue.as_deref()?.file).read(&mut self.received) {
            Ok(len) => {
                let packet = self.received.get_mut(..len)?;
                self.offloads.receive(packet).is_ok().then_some(len)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => {
                // Every further read would return this error. `eprintln` panics if standard error is closed.
                let _ = writeln!(io::stderr(), "the TAP device is gone: {error}");
                self.queue = None;
                None
            }
        }
    }
}

impl Port for Tap {
    fn accept(&mut self, offloads: Offloads) {
        (self.offloads, self.len) = (offloads, 0);
        let Some(queue) = &self.queue else { return };
        if let Err(error) = set_offloads(&queue.file, offloads) {
            let _ = writeln!(io::stderr(), "the TAP device leaves to the driver what it left before: {error}");
        }
    }

    fn start(&mut self) {
        if let (None, Some(queue)) = (&self.served, &self.queue) {
            self.served = Some(Arc::new(Served::new(Arc::clone(queue))));
        }
    }

    fn rest(&mut self) {
        self.served = None;
    }

    fn set_used(&self, used: bool) {
        if let Some(queue) = &self.queue {
            queue.change(|state| state.used = used);
        }
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.transmitted
    }

    fn transmit(&mut self, len: usize) -> Result<(), Lost> {
        let (queue, packet) = (self.queue.as_deref().ok_or(Lost)?, self.transmitted.get(..len).ok_or(Lost)?);
        (&queue.file).write_all(packet).map_err(|_| Lost)
    }

    fn packets(&mut self) -> usize {
        if self.len == 0 {
            self.len = self.receive().unwrap_or(0);
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
        self.queue.as_ref().map(|queue| queue.file.as_fd())
    }
}

/// A TAP device, or one of its queues.
#[derive(Debug)]
struct TapQueue {
    file: File,
    /// Whether it is one queue of several.
    queues: TapQueues,
    state: Mutex<QueueState>,
}

/// What decides whether one queue of several is attached: it must be both.
#[derive(Clone, Copy, Debug)]
struct QueueState {
    /// The device serves the queues of the driver.
    served: bool,
    /// The driver uses them.
    used: bool,
}

impl TapQueue {
    /// Changes the state, and attaches or detaches the queue if that is another one now.
    fn change(&self, change: impl FnOnce(&mut QueueState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        change(&mut state);
        let result = match (self.queues, before.takes_frames(), state.takes_frames()) {
            (TapQueues::Many, false, true) => attach_queue(&self.file),
            (TapQueues::Many, true, false) => detach_queue(&self.file),
            _ => Ok(()),
        };
        if let Err(error) = result {
            // The device can be gone, and the queue with it.
            let _ = writeln!(io::stderr(), "a queue of the TAP device is attached or detached as before: {error}");
        }
    }
}

impl QueueState {
    const fn takes_frames(self) -> bool {
        self.served && self.used
    }
}

/// A queue, while the device serves those of the driver.
#[derive(Debug)]
struct Served(Arc<TapQueue>);

impl Served {
    fn new(queue: Arc<TapQueue>) -> Self {
        queue.change(|state| state.served = true);
        Self(queue)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.change(|state| state.served = false);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::super::wire::{HEADER_LEN, MAX_FRAME, MAX_GSO_FRAME, feature, gso, header_flag};
    use super::*;

    /// Returns a TAP device of which a test is the host.
    fn tap(features: u64) -> (Tap, UnixDatagram) {
        let (port, host) = UnixDatagram::pair().unwrap();
        port.set_nonblocking(true).unwrap();
        let mut tap = Tap::on(File::from(OwnedFd::from(port)), TapQueues::One);
        // Nobody else knows the ioctl of a TAP device.
        tap.accept(Offloads::new(features));
        (tap, host)
    }

    /// Returns a packet as the kernel has it, which does not write the number of buffers.
    fn packet(flags: u8, gso_type: u8, len: usize) -> Vec<u8> {
        let (csum_start, csum_offset) = (14.into(), 16.into());
        let header = NetHeader { flags, gso_type, csum_start, csum_offset, ..NetHeader::default() };
        [header.as_bytes(), &vec![1; len]].concat()
    }

    #[test]
    fn a_packet_that_is_too_long_or_too_short_is_lost() {
        let (mut tap, host) = tap(feature::GUEST_CSUM | feature::GUEST_TSO4);
        let (plain, large) = (packet(0, 0, 0), packet(1, gso::TCPV4, 0));
        let table = [
            (&plain, MAX_FRAME, 1),
            (&plain, MAX_FRAME + 1, 0),
            (&large, MAX_GSO_FRAME, 1),
            (&large, MAX_GSO_FRAME + 1, 0),
            (&large, MAX_GSO_FRAME + 2000, 0),
            (&plain, 13, 0),
            (&plain, 60, 1),
        ];
        for (header, len, packets) in table {
            host.send(&[&header[..], &vec![1; len]].concat()).unwrap();
            assert_eq!(tap.packets(), packets, "{len} bytes");
            assert_eq!(tap.packet().len(), packets * (HEADER_LEN + len), "{len} bytes");
            tap.done();
        }
        host.send(&[0; HEADER_LEN - 1]).unwrap();
        assert_eq!(tap.packets(), 0);
    }

    /// The kernel can have had packets since an earlier driver, which left it other work.
    #[test]
    fn a_packet_leaves_to_the_driver_what_the_driver_accepted() {
        let tso = feature::GUEST_CSUM | feature::GUEST_TSO4;
        // Features, flags and segments, and the flags that the driver sees if it sees the packet.
        let table = [
            (0, 0, gso::NONE, Some(0)),
            (0, header_flag::DATA_VALID, gso::NONE, Some(0)),
            (0, header_flag::NEEDS_CSUM, gso::NONE, Some(0)),
            (0, header_flag::NEEDS_CSUM, gso::TCPV4, None),
            (feature::GUEST_CSUM, header_flag::NEEDS_CSUM, gso::NONE, Some(header_flag::NEEDS_CSUM)),
            (feature::GUEST_CSUM, header_flag::DATA_VALID, gso::NONE, Some(header_flag::DATA_VALID)),
            (feature::GUEST_CSUM, header_flag::NEEDS_CSUM, gso::TCPV4, None),
            (tso, header_flag::NEEDS_CSUM, gso::TCPV4, Some(header_flag::NEEDS_CSUM)),
            (tso, header_flag::NEEDS_CSUM, gso::TCPV6, None),
            (tso, header_flag::NEEDS_CSUM, gso::TCPV4 | gso::ECN, None),
            (feature::GUEST_TSO4, header_flag::NEEDS_CSUM, gso::TCPV4, None),
        ];
        for (features, flags, gso_type, expected) in table {
            let (mut tap, host) = tap(features);
            host.send(&packet(flags, gso_type, 1000)).unwrap();
            let seen = expected.map(|flags| (flags, gso_type, [1, 0]));
            let there = tap.packets() == 1;
            let packet = tap.packet();
            assert_eq!(there.then(|| (packet[0], packet[1], [packet[10], packet[11]])), seen, "{features:#x} {flags}");
            // Whoever does not write checksums gets them.
            let written = there && flags == header_flag::NEEDS_CSUM && features == 0;
            assert_eq!(there && packet[HEADER_LEN + 30..][..2] != [1, 1], written, "{features:#x} {flags}");
        }
    }

    #[test]
    fn a_packet_of_the_driver_is_written_with_its_header() {
        let (mut tap, host) = tap(feature::CSUM);
        let sent = packet(header_flag::NEEDS_CSUM, gso::NONE, 100);
        tap.room()[..sent.len()].copy_from_slice(&sent);
        tap.transmit(sent.len()).unwrap();
        let mut written = [0; 200];
        let len = host.recv(&mut written).unwrap();
        assert_eq!(written[..len], sent);
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
