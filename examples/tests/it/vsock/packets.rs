//! Packets that have no place.

use virtio_examples::vsock::{Address, BUF_ALLOC, HOST_CID, STREAM, VsockHeader, op, shutdown};
use virtio_fake_driver::DriverChain;

use super::rig::{CID, FORMATS, Rig, check_end, header, read};

const ADDRESS: Address = Address { guest_port: 4000, host_port: 7 };
const OPS: [u16; 9] =
    [0, op::REQUEST, op::RESPONSE, op::SHUTDOWN, op::RW, op::CREDIT_UPDATE, op::CREDIT_REQUEST, 8, 0xffff];

/// VIRTIO 1.4 §5.10.6.4: what belongs to nothing is refused, but not a refusal.
#[test]
fn packet_for_no_connection_is_refused() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        for op in OPS {
            rig.say(ADDRESS, op);
            let refusal = rig.check_packet(ADDRESS, op::RST);
            assert_eq!(refusal.header, header_of_refusal(STREAM, HOST_CID));
        }
        rig.say(ADDRESS, op::RST);
        rig.check_nothing();
    }
}

fn header_of_refusal(type_: u16, from: u64) -> VsockHeader {
    VsockHeader {
        src_cid: from.into(),
        dst_cid: CID.into(),
        src_port: 7.into(),
        dst_port: 4000.into(),
        type_: type_.into(),
        op: op::RST.into(),
        ..VsockHeader::default()
    }
}

#[test]
fn packet_of_another_type_or_for_another_host_is_refused() {
    let mut rig = Rig::new(0);
    for (type_, to) in [(0, HOST_CID), (2, HOST_CID), (0xffff, HOST_CID), (STREAM, 0), (STREAM, 9), (STREAM, u64::MAX)]
    {
        for op in OPS {
            let packet = VsockHeader { type_: type_.into(), dst_cid: to.into(), ..header(ADDRESS, op) };
            rig.send(&packet, &[]);
            assert_eq!(rig.packet().header, header_of_refusal(type_, to));
        }
        rig.send(&VsockHeader { type_: type_.into(), dst_cid: to.into(), ..header(ADDRESS, op::RST) }, &[]);
        rig.check_nothing();
    }
}

/// Nobody is there who could be told.
#[test]
fn packet_of_somebody_else_is_dropped() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    for from in [0, HOST_CID, CID + 1, CID | 1 << 32, u64::MAX] {
        for op in OPS {
            rig.send(&VsockHeader { src_cid: from.into(), len: 1.into(), ..header(ADDRESS, op) }, b"x");
            rig.check_nothing();
        }
    }
    assert_eq!(read(&program), Some(Vec::new()));
}

#[test]
fn chain_without_a_packet_is_returned_and_dropped() {
    for format in FORMATS {
        let mut rig = Rig::new(format);
        let empty = [DriverChain::new().readable([]), DriverChain::new().writable(100)];
        for chain in empty.into_iter().chain([1, 43].map(|len| DriverChain::new().readable(vec![3; len]))) {
            rig.transmit.driver.add(&chain).unwrap();
            rig.serve();
            assert_eq!(rig.transmit.driver.reap_all().unwrap()[0].len, 0);
            rig.check_nothing();
        }
    }
}

#[test]
fn request_for_nobody_is_refused() {
    let mut rig = Rig::new(0);
    drop(rig.listen(7));
    rig.say(ADDRESS, op::REQUEST);
    rig.check_packet(ADDRESS, op::RST);
    // A program that is there accepts later, but not for ever more of them.
    let listener = rig.listen(8);
    let mut accepted = 0;
    loop {
        let address = Address { guest_port: accepted, host_port: 8 };
        rig.say(address, op::REQUEST);
        let answer = rig.packet();
        if answer.header.op.get() == op::RST {
            break;
        }
        answer.check(address, op::RESPONSE);
        accepted += 1;
    }
    assert!(accepted > 0);
    drop(listener);
}

/// Whatever the guest must not send ends the connection, for both sides, and only that one.
#[test]
fn violation_resets_the_connection() {
    let table: [(&str, VsockHeader, &[u8]); 8] = [
        ("ports that are used", header(ADDRESS, op::REQUEST), b""),
        ("an answer to nothing", header(ADDRESS, op::RESPONSE), b""),
        ("nothing", header(ADDRESS, 0), b""),
        ("something unknown", header(ADDRESS, 8), b""),
        ("a length beyond the chain", VsockHeader { len: 6.into(), ..header(ADDRESS, op::RW) }, b"hello"),
        ("a length without bytes", VsockHeader { len: 1.into(), ..header(ADDRESS, op::RW) }, b""),
        (
            "a length beyond the credit",
            VsockHeader { len: (BUF_ALLOC + 1).into(), ..header(ADDRESS, op::RW) },
            b"hello",
        ),
        ("the largest length", VsockHeader { len: u32::MAX.into(), ..header(ADDRESS, op::RW) }, b"hello"),
    ];
    for format in FORMATS {
        for (what, packet, payload) in table {
            let mut rig = Rig::new(format);
            let listener = rig.listen(7);
            let program = rig.connect(&listener, ADDRESS);
            let other = Address { guest_port: 4001, host_port: 7 };
            let second = rig.connect(&listener, other);
            rig.send(&packet, payload);
            let packets = rig.packets();
            assert_eq!(packets.len(), 1, "{what}: {packets:?}");
            packets[0].check(ADDRESS, op::RST);
            while read(&program).is_some() {}
            rig.data(ADDRESS, b"to nobody");
            rig.check_packet(ADDRESS, op::RST);
            rig.data(other, b"hello");
            assert_eq!(read(&second).unwrap(), b"hello", "{what}");
        }
    }
}

#[test]
fn bytes_after_their_end_reset_the_connection() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let _program = rig.connect(&listener, ADDRESS);
    rig.shut(ADDRESS, shutdown::SEND);
    rig.data(ADDRESS, b"more");
    rig.check_packet(ADDRESS, op::RST);
}

/// The guest answers to something that it was not asked.
#[test]
fn answer_before_the_question_is_refused() {
    let mut rig = Rig::without_buffers(0);
    let mut program = rig.dial();
    std::io::Write::write_all(&mut program, b"CONNECT 4000\n").unwrap();
    rig.serve();
    // The first port that the host has.
    let address = Address { guest_port: 4000, host_port: 1 << 30 };
    rig.say(address, op::RESPONSE);
    rig.add_buffer();
    rig.serve();
    program.set_nonblocking(true).unwrap();
    check_end(&program);
    rig.check_nothing();
}

/// Flags that do not exist, and a length where nothing can be.
#[test]
fn fields_without_a_meaning_are_ignored() {
    let mut rig = Rig::new(0);
    let listener = rig.listen(7);
    let program = rig.connect(&listener, ADDRESS);
    rig.shut(ADDRESS, !(shutdown::SEND | shutdown::RECEIVE));
    rig.send(&VsockHeader { len: u32::MAX.into(), ..header(ADDRESS, op::CREDIT_UPDATE) }, b"ignored");
    let flags = u32::MAX.into();
    rig.send(&VsockHeader { len: 5.into(), flags, ..header(ADDRESS, op::RW) }, b"hello");
    assert_eq!(read(&program).unwrap(), b"hello");
    rig.check_nothing();
}
