//! The back end `vhost-user-vsock`.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use virtio_examples::vsock::{Address, BUF_ALLOC, HEADER_LEN, VsockHeader, op};
use zerocopy::IntoBytes;

use super::back_end::{BackEnd, PATIENCE, VSOCK, command_of, refusal, socket_path};
use super::front_end::*;
use super::rings::{Buffer, Memory, RawRing};
use crate::vsock::{HostListener, Received, header, pattern};

const ADDRESS: Address = Address { guest_port: 4000, host_port: 7 };

/// A back end, and what is on both sides of it.
struct Sockets {
    back_end: BackEnd,
    uds_path: PathBuf,
}

/// A guest with its two rings.
struct Guest {
    front_end: FrontEnd,
    memory: Memory,
    receive: RawRing,
    transmit: RawRing,
}

impl Sockets {
    fn start(args: &[&str]) -> Self {
        let uds_path = socket_path();
        let path = uds_path.to_str().unwrap();
        let back_end = BackEnd::start_program(VSOCK, &[&["--guest-cid", "3", "--uds-path", path], args].concat());
        Self { back_end, uds_path }
    }

    fn guest(&self) -> Guest {
        let mut front_end = FrontEnd::agreed(self.back_end.socket(), FEATURES);
        let memory = Memory::share(&mut front_end);
        let mut receive = RawRing::start(&mut front_end, 0);
        let transmit = RawRing::start(&mut front_end, 1);
        (0..8).for_each(|_| receive.add(&memory, Buffer::Writable(2048)));
        Guest { front_end, memory, receive, transmit }
    }

    fn listen(&self) -> HostListener {
        HostListener::at(&self.uds_path, ADDRESS.host_port)
    }

    fn dial(&self, line: &str) -> UnixStream {
        let mut program = patient(UnixStream::connect(&self.uds_path).unwrap());
        program.write_all(line.as_bytes()).unwrap();
        program
    }
}

fn patient(program: UnixStream) -> UnixStream {
    program.set_read_timeout(Some(PATIENCE)).unwrap();
    program
}

/// Checks that these bytes come next.
#[track_caller]
fn check_next(mut program: &UnixStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    program.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
}

#[track_caller]
fn check_end(mut program: &UnixStream) {
    assert_eq!(program.read(&mut [0]).unwrap_or(0), 0);
}

impl Guest {
    /// Sends a packet.
    fn send(&mut self, address: Address, op: u16, payload: &[u8]) {
        let header = VsockHeader { len: (payload.len() as u32).into(), ..header(address, op) };
        self.transmit.add(&self.memory, Buffer::Readable(&[header.as_bytes(), payload].concat()));
        assert!(self.transmit.wait(&self.memory).is_empty());
    }

    /// Waits for the next packet, and gives its buffer back.
    fn next(&mut self) -> Received {
        let packet = Received::new(&self.receive.wait(&self.memory));
        self.receive.add(&self.memory, Buffer::Writable(2048));
        packet
    }

    fn connect(&mut self, listener: &UnixListener) -> UnixStream {
        self.send(ADDRESS, op::REQUEST, &[]);
        self.next().check(ADDRESS, op::RESPONSE);
        patient(listener.accept().unwrap().0)
    }

    /// Waits for so many bytes.
    fn bytes(&mut self, address: Address, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let packet = self.next();
            packet.check(address, op::RW);
            assert!(packet.payload.len() <= 2048 - HEADER_LEN);
            bytes.extend(packet.payload);
        }
        bytes
    }

    #[track_caller]
    fn check_stream(&mut self, mut program: &UnixStream, address: Address) {
        self.send(address, op::RW, b"from the guest");
        check_next(program, b"from the guest");
        program.write_all(&pattern(5000, 1)).unwrap();
        assert_eq!(self.bytes(address, 5000), pattern(5000, 1));
    }
}

#[test]
fn streams_come_through_in_both_directions() {
    for mode in [&[][..], &["--poll"]] {
        let mut sockets = Sockets::start(mode);
        let (listener, mut guest) = (sockets.listen(), sockets.guest());
        let program = guest.connect(&listener.socket);
        guest.check_stream(&program, ADDRESS);
        // The guest does nothing when this comes.
        let other = sockets.dial("CONNECT 5\n");
        let request = guest.next();
        let address = Address { guest_port: 5, host_port: request.header.src_port.get() };
        request.check(address, op::REQUEST);
        guest.send(address, op::RESPONSE, &[]);
        check_next(&other, format!("OK {}\n", address.host_port).as_bytes());
        guest.check_stream(&other, address);
        drop(guest);
        check_end(&program);
        check_end(&other);
        let done = "the guest: 1 connections, 28 bytes; the host: 1 connections, 10000 bytes; 0 refused, 0 malformed\n";
        assert_eq!(sockets.back_end.next_line(), done);
        sockets.back_end.end();
    }
}

/// GET_VRING_BASE: both rings stop, and go on where they were. Nothing is lost meanwhile.
#[test]
fn streams_outlive_a_pause() {
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    let mut program = guest.connect(&listener.socket);
    for round in 0..5 {
        guest.check_stream(&program, ADDRESS);
        let bases = [0, 1].map(|index| guest.front_end.stop_ring(index).unwrap());
        sockets.back_end.check_rings(0);
        program.write_all(&pattern(4000, round)).unwrap();
        let dialled = sockets.dial("CONNECT 5\n");
        // In either order.
        let rings = [&guest.receive, &guest.transmit];
        for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            rings[index].go_on(&mut guest.front_end, bases[index]);
        }
        let (mut bytes, mut requested) = (Vec::new(), None);
        while bytes.len() < 4000 || requested.is_none() {
            let packet = guest.next();
            match packet.header.op.get() {
                op::RW => bytes.extend(packet.payload),
                _ => requested = Some(packet),
            }
        }
        assert_eq!(bytes, pattern(4000, round));
        let host_port = requested.unwrap().header.src_port.get();
        guest.send(Address { guest_port: 5, host_port }, op::RST, &[]);
        check_end(&dialled);
    }
    drop(guest);
    sockets.back_end.end();
}

/// No kick and no buffer comes, but there is room in the socket of the program.
#[test]
fn kept_bytes_go_on_while_the_receive_queue_is_full() {
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    let mut program = guest.connect(&listener.socket);
    let (mut sent, mut forwarded, mut in_vain) = (Vec::new(), 0, 0);
    while in_vain < 4 {
        let room = BUF_ALLOC as usize - (sent.len() - forwarded);
        if room > 0 {
            let payload = pattern(room.min(2000), sent.len());
            guest.send(ADDRESS, op::RW, &payload);
            sent.extend(payload);
        } else {
            guest.send(ADDRESS, op::CREDIT_REQUEST, &[]);
            let before = std::mem::replace(&mut forwarded, guest.next().header.fwd_cnt.get() as usize);
            in_vain = if forwarded == before { in_vain + 1 } else { 0 };
        }
    }
    // More than there are buffers for.
    program.write_all(&pattern(40_000, 2)).unwrap();
    for _ in 0..8 {
        guest.receive.wait(&guest.memory);
    }
    check_next(&program, &sent);
    drop(guest);
    sockets.back_end.end();
}

/// Connections begin and end in all ways, and many programs say nothing, or nonsense. What ends leaves no file open.
#[test]
fn storm_of_connections_leaves_no_file_open() {
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    // The first connection makes what stays.
    let first = guest.connect(&listener.socket);
    guest.check_stream(&first, ADDRESS);
    let before = sockets.back_end.files();
    for round in 0..300 {
        let address = Address { guest_port: 5000 + round, ..ADDRESS };
        guest.send(address, op::REQUEST, &[]);
        guest.next().check(address, op::RESPONSE);
        let program = patient(listener.socket.accept().unwrap().0);
        match round % 4 {
            0 => guest.send(address, op::RST, &[]),
            // What has no place in a connection ends it.
            1 => guest.send(address, op::REQUEST, &[]),
            2 => guest.send(address, op::RESPONSE, &[]),
            _ => guest.send(address, 97, &[]),
        }
        if round % 4 > 0 {
            guest.next().check(address, op::RST);
        }
        check_end(&program);
        let line = ["CONNECT 5\n", "CONNECT\n", "", "CONNECT 4294967296\n"][round as usize % 4];
        let dialled = sockets.dial(line);
        if round % 4 == 0 {
            let host_port = guest.next().header.src_port.get();
            let address = Address { guest_port: 5, host_port };
            guest.send(address, [op::RST, op::RW][round as usize / 4 % 2], &[]);
            if round / 4 % 2 == 1 {
                guest.next().check(address, op::RST);
            }
            check_end(&dialled);
        }
    }
    guest.check_stream(&first, ADDRESS);
    let began = Instant::now();
    // Those that hang up are noticed when that comes to pass. What the start has needed can have been counted before.
    while sockets.back_end.files() > before {
        assert!(began.elapsed() < PATIENCE, "{} files are open, and were {before}", sockets.back_end.files());
        thread::yield_now();
    }
    drop(guest);
    sockets.back_end.end();
}

/// More programs connect than the back end can have open files: it holds some, which say nothing, and the others read
/// the end. What is there goes on. Afterwards there are connections again.
#[test]
fn connections_are_refused_while_there_are_no_files_left() {
    const PROGRAMS: usize = 100;
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    let program = guest.connect(&listener.socket);
    let limit = sockets.back_end.files() + 16;
    assert!(limit < PROGRAMS, "{limit} files");
    let before = sockets.back_end.limit_files(Some(limit as u64));
    let mut silent: Vec<_> = (0..PROGRAMS).map(|_| sockets.dial("")).collect();
    while silent.len() > limit {
        let mut events: Vec<_> = silent.iter().map(|program| PollFd::new(program, PollFlags::IN)).collect();
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert!(poll(&mut events, Some(&patience)).unwrap() > 0, "nobody answers {} programs", silent.len());
        let mut ended = events.into_iter().map(|event| !event.revents().is_empty()).collect::<Vec<_>>().into_iter();
        silent.retain(|_| !ended.next().unwrap());
    }
    let other = Address { guest_port: 1, ..ADDRESS };
    guest.send(other, op::REQUEST, &[]);
    guest.next().check(other, op::RST);
    guest.check_stream(&program, ADDRESS);
    drop(silent);
    sockets.back_end.limit_files(before);
    let dialled = sockets.dial("CONNECT 5\n");
    assert_eq!(guest.next().header.op.get(), op::REQUEST);
    guest.send(other, op::REQUEST, &[]);
    guest.next().check(other, op::RESPONSE);
    drop((dialled, guest));
    sockets.back_end.end();
}

/// QEMU does not say that a guest has rebooted: the rings start at their beginning.
#[test]
fn streams_end_with_their_driver() {
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    let program = guest.connect(&listener.socket);
    guest.check_stream(&program, ADDRESS);
    let Guest { mut front_end, memory, receive, transmit } = guest;
    for index in [0, 1] {
        assert_ne!(front_end.stop_ring(index).unwrap(), 0);
    }
    let mut receive = receive.begin_anew(&memory, &mut front_end);
    let transmit = transmit.begin_anew(&memory, &mut front_end);
    check_end(&program);
    (0..8).for_each(|_| receive.add(&memory, Buffer::Writable(2048)));
    let mut guest = Guest { front_end, memory, receive, transmit };
    let program = guest.connect(&listener.socket);
    guest.check_stream(&program, ADDRESS);
    drop(guest);
    // Nor do they outlive the front end.
    check_end(&program);
    let mut guest = sockets.guest();
    let program = guest.connect(&listener.socket);
    guest.check_stream(&program, ADDRESS);
    drop(guest);
    sockets.back_end.end();
}

#[test]
fn streams_end_with_a_reset_of_the_device() {
    let sockets = Sockets::start(&[]);
    let (listener, mut guest) = (sockets.listen(), sockets.guest());
    let program = guest.connect(&listener.socket);
    guest.check_stream(&program, ADDRESS);
    assert_eq!(guest.front_end.set(RESET_DEVICE, &[]), Answer::Yes);
    check_end(&program);
    drop(guest);
    sockets.back_end.end();
}

#[test]
fn three_queues_are_there_and_the_context_id() {
    let sockets = Sockets::start(&[]);
    let mut guest = sockets.guest();
    assert_eq!(guest.front_end.get(GET_QUEUE_NUM), 3);
    let config = guest.front_end.ask(GET_CONFIG, &[0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(config.unwrap()[12..], 3_u64.to_le_bytes());
    let mut events = RawRing::start(&mut guest.front_end, 2);
    events.add(&guest.memory, Buffer::Writable(64));
    let listener = sockets.listen();
    let program = guest.connect(&listener.socket);
    guest.check_stream(&program, ADDRESS);
    assert_eq!(guest.front_end.stop_ring(2), Some(0));
    drop(guest);
    let uds_path = sockets.uds_path.clone();
    sockets.back_end.end();
    assert!(!uds_path.exists());
}

#[test]
fn wrong_arguments_are_one_line() {
    let taken = std::env::temp_dir();
    let taken = taken.to_str().unwrap();
    let long = format!("/tmp/{}", "s".repeat(100));
    let table: &[(&[&str], &str)] = &[
        (&[], "--guest-cid <N>"),
        (&["--guest-cid", "3"], "--uds-path <PATH>"),
        (&["--guest-cid", "2", "--uds-path", "/x"], "2"),
        (&["--guest-cid", "4294967295", "--uds-path", "/x"], "4294967295"),
        (&["--guest-cid", "3", "--uds-path", taken], "there is something else than a socket"),
        (&["--guest-cid", "3", "--uds-path", &long], "no room for `_4294967295` after it"),
        (&["--guest-cid", "3", "--uds-path", "/nonexistent/path"], "/nonexistent/path"),
    ];
    for (args, expected) in table {
        let said = refusal(command_of(VSOCK, &socket_path(), args));
        assert!(said.starts_with("error: ") && said.contains(expected), "{args:?}: {said}");
    }
    assert!(Path::new(taken).is_dir());
}
