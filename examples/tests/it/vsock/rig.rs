//! A socket device with its two queues, a guest that does what the test says, and programs of the host.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_examples::vsock::{
    Address, BUF_ALLOC, Counters, Credit, HEADER_LEN, HOST_CID, Listener, RECEIVE, STREAM, TRANSMIT, VsockDevice,
    VsockHeader, op,
};
use virtio_examples::{Serve, Turn, WaitsFor};
use virtio_fake_driver::{AnyFixture, AnyFixtureOptions, DriverChain, features};
use zerocopy::{FromBytes, IntoBytes};

/// What rings are tried with.
pub(crate) const FORMATS: [u64; 3] = [0, features::RING_PACKED, features::RING_PACKED | features::EVENT_IDX];

/// The context id of the guest.
pub(crate) const CID: u64 = 3;

/// What a guest says of itself if it has much room.
pub(crate) const PLENTY: Credit = Credit { buf_alloc: 1 << 20, fwd_cnt: 0 };

/// A device, and its guest.
pub(crate) struct Rig {
    device: VsockDevice,
    pub(crate) receive: AnyFixture,
    pub(crate) transmit: AnyFixture,
    path: PathBuf,
    counters: Arc<Counters>,
    /// The room in each buffer of the receive queue.
    room: u32,
    /// Programs that are there for as long as the device is.
    programs: Vec<UnixStream>,
}

/// A packet that the guest got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) header: VsockHeader,
    pub(crate) payload: Vec<u8>,
}

/// Returns a path at which there is nothing yet.
pub(crate) fn path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("virtio-vsock-{}-{number}", std::process::id()))
}

impl Rig {
    /// Makes a device whose guest has 32 buffers of 4096 bytes and a header.
    pub(crate) fn new(format: u64) -> Self {
        let mut rig = Self::without_buffers(format);
        rig.refill();
        rig
    }

    pub(crate) fn without_buffers(format: u64) -> Self {
        Self::with_queues(format, 256, 4 << 20)
    }

    fn with_queues(format: u64, size: u16, memory_len: usize) -> Self {
        let options = AnyFixtureOptions {
            features: features::INDIRECT_DESC | format,
            memory_len,
            size,
            ..AnyFixtureOptions::default()
        };
        let (path, counters) = (path(), Arc::<Counters>::default());
        let listener = Arc::new(Listener::bind(&path).unwrap());
        let device = VsockDevice::new(CID, listener, Arc::clone(&counters)).unwrap();
        let (receive, transmit) = (options.build().unwrap(), options.build().unwrap());
        Self { device, receive, transmit, path, counters, room: 4096, programs: Vec::new() }
    }

    pub(crate) fn with_room(mut self, room: u32) -> Self {
        self.room = room;
        self
    }

    /// Makes a buffer for a packet available.
    pub(crate) fn add_buffer(&mut self) {
        // As older and newer drivers do.
        let chain = DriverChain::new().writable(HEADER_LEN as u32).writable(self.room);
        self.receive.driver.add(&chain).unwrap();
    }

    fn refill(&mut self) {
        (0..32).for_each(|_| self.add_buffer());
    }

    /// Makes a program of the host that listens for connections of the guest.
    pub(crate) fn listen(&self, port: u32) -> HostListener {
        HostListener::at(&self.path, port)
    }

    /// Makes a program of the host that connects to the guest.
    pub(crate) fn dial(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn report(&self) -> String {
        self.counters.to_string()
    }

    /// Gives one queue its turn.
    pub(crate) fn turn(&mut self, place: usize, budget: usize) -> Turn {
        let fixture = if place == RECEIVE { &mut self.receive } else { &mut self.transmit };
        let (ring, state) = fixture.queue.parts_mut();
        self.device.serve_queue(place, ring, state, budget).unwrap()
    }

    /// Gives the queues their turns until there is nothing to do, as the thread of a worker does.
    pub(crate) fn serve(&mut self) {
        for _ in 0..10_000 {
            let turns = [RECEIVE, TRANSMIT].map(|place| self.turn(place, 64));
            if turns.iter().all(|turn| turn.chains == 0 && turn.waits_for != WaitsFor::Turn) {
                return;
            }
        }
        panic!("the device does not come to rest");
    }

    /// Lets the guest send a packet, whose payload can be cut in any way.
    pub(crate) fn send_cut(&mut self, header: &VsockHeader, payload: &[u8], cuts: &[usize]) {
        let bytes = [header.as_bytes(), payload].concat();
        self.transmit.driver.add(&DriverChain::new().readable_cut(bytes, cuts)).unwrap();
        self.serve();
        for used in self.transmit.driver.reap_all().unwrap() {
            assert_eq!(used.len, 0);
        }
    }

    pub(crate) fn send(&mut self, header: &VsockHeader, payload: &[u8]) {
        self.send_cut(header, payload, &[HEADER_LEN]);
    }

    /// Lets the guest send a packet without bytes.
    pub(crate) fn say(&mut self, address: Address, op: u16) {
        self.send(&header(address, op), &[]);
    }

    /// Lets the guest send bytes.
    pub(crate) fn data(&mut self, address: Address, payload: &[u8]) {
        self.send(&VsockHeader { len: (payload.len() as u32).into(), ..header(address, op::RW) }, payload);
    }

    /// Lets the guest end directions.
    pub(crate) fn shut(&mut self, address: Address, flags: u32) {
        self.send(&VsockHeader { flags: flags.into(), ..header(address, op::SHUTDOWN) }, &[]);
    }

    /// Returns the packets that the guest has got, and gives their buffers back.
    pub(crate) fn packets(&mut self) -> Vec<Received> {
        let mut packets = Vec::new();
        loop {
            self.serve();
            let used = self.receive.driver.reap_all().unwrap();
            if used.is_empty() {
                return packets;
            }
            for used in used {
                self.add_buffer();
                packets.push(Received::new(used.written()));
            }
        }
    }

    /// Returns the only packet that the guest has got.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Received {
        let packets = self.packets();
        assert_eq!(packets.len(), 1, "{packets:?}");
        packets.into_iter().next().unwrap()
    }

    /// Checks that the guest has got nothing.
    #[track_caller]
    pub(crate) fn check_nothing(&mut self) {
        assert_eq!(self.packets(), []);
    }

    /// Checks that the guest has got only this packet.
    #[track_caller]
    pub(crate) fn check_packet(&mut self, address: Address, op: u16) -> Received {
        let packet = self.packet();
        packet.check(address, op);
        packet
    }

    /// Connects the guest to a listener of the host.
    pub(crate) fn connect(&mut self, listener: &HostListener, address: Address) -> UnixStream {
        self.connect_with(listener, address, PLENTY)
    }

    pub(crate) fn connect_with(&mut self, listener: &HostListener, address: Address, credit: Credit) -> UnixStream {
        self.send(&address.sent_by_guest(op::REQUEST, credit), &[]);
        self.check_packet(address, op::RESPONSE);
        let (program, _) = listener.socket.accept().unwrap();
        program.set_nonblocking(true).unwrap();
        program
    }

    /// Connects a program of the host to the guest.
    pub(crate) fn connect_to_guest(&mut self, port: u32) -> (UnixStream, Address) {
        let mut program = self.dial();
        program.set_nonblocking(true).unwrap();
        program.write_all(format!("CONNECT {port}\n").as_bytes()).unwrap();
        let packet = self.packet();
        let address = Address { guest_port: port, host_port: packet.header.src_port.get() };
        packet.check(address, op::REQUEST);
        assert_eq!(read(&program), Some(Vec::new()));
        self.say(address, op::RESPONSE);
        assert_eq!(read(&program), Some(format!("OK {}\n", address.host_port).into_bytes()));
        (program, address)
    }
}

/// For the hostile kit.
impl Rig {
    /// Returns a device with a connection, whose program has written much.
    pub(crate) fn connected() -> Self {
        let mut rig = Self::with_queues(0, 8, 1 << 14);
        rig.add_buffer();
        let listener = rig.listen(ATTACKED.host_port);
        let program = rig.connect_with(&listener, ATTACKED, Credit { buf_alloc: u32::MAX, fwd_cnt: 0 });
        assert_eq!(write(&program, &[7; 40_000]), 40_000);
        rig.programs.push(program);
        rig
    }

    pub(crate) fn device(&mut self) -> &mut VsockDevice {
        &mut self.device
    }

    /// Returns a packet for that connection.
    pub(crate) fn packet_of_guest(op: u16, payload: &[u8]) -> Vec<u8> {
        let header = VsockHeader { len: (payload.len() as u32).into(), ..header(ATTACKED, op) };
        [header.as_bytes(), payload].concat()
    }
}

const ATTACKED: Address = Address { guest_port: 1, host_port: 7 };

/// Removes what the tests have listened at.
pub(crate) struct HostListener {
    pub(crate) socket: UnixListener,
    path: PathBuf,
}

impl HostListener {
    /// Listens for connections to `port` of a device whose socket is at `path`.
    pub(crate) fn at(path: &Path, port: u32) -> Self {
        let path = PathBuf::from(format!("{}_{port}", path.display()));
        Self { socket: UnixListener::bind(&path).unwrap(), path }
    }
}

impl Drop for HostListener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

pub(crate) trait SentByGuest {
    /// Returns the header of a packet of the guest.
    fn sent_by_guest(self, op: u16, credit: Credit) -> VsockHeader;
}

impl SentByGuest for Address {
    fn sent_by_guest(self, op: u16, credit: Credit) -> VsockHeader {
        VsockHeader {
            src_cid: CID.into(),
            dst_cid: HOST_CID.into(),
            src_port: self.guest_port.into(),
            dst_port: self.host_port.into(),
            len: 0.into(),
            type_: STREAM.into(),
            op: op.into(),
            flags: 0.into(),
            buf_alloc: credit.buf_alloc.into(),
            fwd_cnt: credit.fwd_cnt.into(),
        }
    }
}

/// Returns the header of a packet of a guest that has much room.
pub(crate) fn header(address: Address, op: u16) -> VsockHeader {
    address.sent_by_guest(op, PLENTY)
}

impl Received {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let (header, payload) = VsockHeader::read_from_prefix(bytes).unwrap();
        assert_eq!(header.len.get() as usize, payload.len());
        Self { header, payload: payload.to_vec() }
    }

    /// Checks where the packet comes from, and what it is for.
    #[track_caller]
    pub(crate) fn check(&self, address: Address, op: u16) {
        let header = &self.header;
        assert_eq!((header.src_cid.get(), header.dst_cid.get()), (HOST_CID, CID), "{header:?}");
        let ports = (header.dst_port.get(), header.src_port.get());
        assert_eq!(ports, (address.guest_port, address.host_port), "{header:?}");
        assert_eq!((header.type_.get(), header.op.get()), (STREAM, op), "{header:?}");
    }
}

/// Returns what a program of the host can read now, or `None` if nothing comes any more.
pub(crate) fn read(mut program: &UnixStream) -> Option<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match program.read(&mut part) {
            Ok(0) => return (!bytes.is_empty()).then_some(bytes),
            // The device has not read all that the program has written.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (!bytes.is_empty()).then_some(bytes),
            Ok(len) => bytes.extend(&part[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(bytes),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until a program of the host reads the end, and nothing before it. Other tests start programs, which for a
/// moment have all files of this process: the end comes after that.
#[track_caller]
pub(crate) fn check_end(program: &UnixStream) {
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::new(program, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(read(program), None);
}

/// Lets a program of the host leave, which the device sees at once: whoever has a copy of the socket for a moment does
/// not matter.
pub(crate) fn leave(program: UnixStream) {
    program.shutdown(Shutdown::Both).unwrap();
    drop(program);
}

/// Lets a program of the host write as much of `bytes` as it can, and returns how much.
pub(crate) fn write(mut program: &UnixStream, bytes: &[u8]) -> usize {
    let mut done = 0;
    while done < bytes.len() {
        match program.write(&bytes[done..]) {
            Ok(len) => done += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    done
}

/// Fills the socket of a program until bytes are kept, and returns all that was sent.
pub(crate) fn fill(rig: &mut Rig, address: Address) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let payload = pattern(BUF_ALLOC as usize / 2, sent.len());
        rig.data(address, &payload);
        sent.extend(&payload);
        if rig.packets().is_empty() {
            return sent;
        }
    }
}

/// Returns bytes that tell their place.
pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 7 + seed * 31 + place / 256) as u8).collect()
}
