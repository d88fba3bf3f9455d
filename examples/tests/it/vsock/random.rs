//! Random packets, with programs of the host that do anything.

use std::os::unix::net::UnixStream;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use virtio_examples::vsock::{Address, Credit, HEADER_LEN, HOST_CID, STREAM, VsockHeader, op};

use super::rig::{CID, FORMATS, Rig, SentByGuest, header, pattern, read, write};

/// Returns a header in which most is sensible.
fn random_header(random: &mut SmallRng, addresses: &[Address]) -> VsockHeader {
    let address = addresses[random.random_range(0..addresses.len())];
    let credit = Credit { buf_alloc: random.random_range(0..20_000), fwd_cnt: random.random_range(0..30_000) };
    let mut header = address.sent_by_guest(random.random_range(0..9), credit);
    match random.random_range(0..20) {
        0 => header.src_cid = random.random::<u64>().into(),
        1 => header.dst_cid = random.random_range(0..4).into(),
        2 => header.type_ = random.random_range(0..3).into(),
        3 => header.op = random.random::<u16>().into(),
        4 => header.buf_alloc = random.random::<u32>().into(),
        5 => header.fwd_cnt = random.random::<u32>().into(),
        6 => header.flags = random.random::<u32>().into(),
        _ => header.flags = random.random_range(0..2).into(),
    }
    header
}

/// Lets a program of the host do something.
fn act(random: &mut SmallRng, programs: &mut Vec<UnixStream>) {
    if programs.is_empty() {
        return;
    }
    let index = random.random_range(0..programs.len());
    match random.random_range(0..8) {
        0 => drop(programs.swap_remove(index)),
        1 => drop(programs[index].shutdown(std::net::Shutdown::Write)),
        2 => drop(programs[index].shutdown(std::net::Shutdown::Read)),
        3..6 => drop(std::io::Write::write(&mut programs[index], &pattern(random.random_range(1..9000), 1))),
        _ => drop(std::io::Read::read(&mut programs[index], &mut [0; 9000])),
    }
}

/// The device comes to rest after each packet, says nothing that is not for this guest, and serves the next one.
#[test]
fn random_packets_and_programs_do_no_harm() {
    for (format, seed) in FORMATS.into_iter().flat_map(|format| (0..8).map(move |seed| (format, seed))) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut rig = Rig::new(format);
        let listeners = [7, 8].map(|port| rig.listen(port));
        listeners.iter().for_each(|listener| listener.socket.set_nonblocking(true).unwrap());
        let mut addresses: Vec<_> =
            [(1, 7), (2, 7), (3, 8), (4, 9)].map(|(guest_port, host_port)| Address { guest_port, host_port }).into();
        let mut programs = Vec::new();
        for step in 0..300 {
            let header = random_header(&mut random, &addresses);
            let len: usize = random.random_range(0..3000);
            let said = if random.random_range(0..10) == 0 { random.random() } else { len as u32 };
            let header = VsockHeader { len: said.into(), ..header };
            let payload = pattern(len, step);
            rig.send_cut(&header, &payload, &[random.random_range(0..=HEADER_LEN)]);
            for packet in rig.packets() {
                assert_eq!(packet.header.dst_cid.get(), CID);
                assert!(packet.header.src_cid == HOST_CID || packet.header.op == op::RST);
                assert!(packet.header.type_ == STREAM || packet.header.op == op::RST);
                if packet.header.op == op::REQUEST && addresses.len() < 10 {
                    let host_port = packet.header.src_port.get();
                    addresses.push(Address { guest_port: packet.header.dst_port.get(), host_port });
                }
            }
            for listener in &listeners {
                programs.extend(listener.socket.accept().into_iter().map(|(program, _)| program));
            }
            if random.random_range(0..10) == 0 {
                let program = rig.dial();
                write(&program, [&b"CONNECT 5\n"[..], b"CONN", b"what?\n"][random.random_range(0..3)]);
                programs.push(program);
            }
            programs.iter().for_each(|program| program.set_nonblocking(true).unwrap());
            act(&mut random, &mut programs);
            rig.serve();
        }
        drop((programs, listeners));
        rig.packets();
        let listener = rig.listen(6);
        let program = rig.connect(&listener, Address { guest_port: 99, host_port: 6 });
        let address = Address { guest_port: 99, host_port: 6 };
        rig.send(&VsockHeader { len: 2.into(), ..header(address, op::RW) }, b"ok");
        assert_eq!(read(&program).unwrap(), b"ok");
    }
}
