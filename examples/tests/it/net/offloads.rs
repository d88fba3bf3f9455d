//! Packets that leave work to the other side.

use virtio_examples::net::{
    HEADER_LEN, HeaderError, Loopback, MAX_FRAME, MAX_GSO_FRAME, NetHeader, Offloads, Port, feature, gso, header_flag,
};
use virtio_examples::{Turn, WaitsFor};
use virtio_fake_driver::DriverChain;
use zerocopy::{FromBytes, IntoBytes};

use super::nic::{FORMATS, MERGEABLE, TestPort, frame, nic};

const NEEDS_CSUM: u8 = header_flag::NEEDS_CSUM;
const TSO: u64 = feature::CSUM | feature::HOST_TSO4 | feature::HOST_TSO6;
const GUEST_TSO: u64 = feature::GUEST_CSUM | feature::GUEST_TSO4 | feature::GUEST_TSO6;

/// A header that leaves the checksum of TCP over IPv4 to the receiver.
fn checksum() -> NetHeader {
    NetHeader { flags: NEEDS_CSUM, csum_start: 34.into(), csum_offset: 16.into(), ..NetHeader::default() }
}

/// A header that leaves segmentation to the receiver as well.
fn segments(gso_type: u8) -> NetHeader {
    NetHeader { gso_type, gso_size: 1448.into(), hdr_len: 54.into(), ..checksum() }
}

/// Returns the header as a receiver gets it.
fn passed(header: NetHeader) -> NetHeader {
    NetHeader { num_buffers: 1.into(), ..header }
}

fn packet(header: NetHeader, frame: &[u8]) -> Vec<u8> {
    [header.as_bytes(), frame].concat()
}

#[test]
fn header_is_checked_as_the_driver_may_write_it() {
    let out = |start, offset, len| Err(HeaderError::Checksum { start, offset, len });
    let no_tcp = |start, offset, len| Err(HeaderError::NoTcp { start, offset, len });
    let at = |csum_start: u16, csum_offset: u16| NetHeader {
        csum_start: csum_start.into(),
        csum_offset: csum_offset.into(),
        ..checksum()
    };
    let gso_at = |start, offset| NetHeader { gso_type: gso::TCPV4, gso_size: 1.into(), ..at(start, offset) };
    let (tcp4, tcp6, ecn) = (segments(gso::TCPV4), segments(gso::TCPV6), segments(gso::TCPV4 | gso::ECN));
    let junk = NetHeader::read_from_bytes(&[0xff; HEADER_LEN]).unwrap();
    let plain = NetHeader::default();
    let table = [
        // Nothing has a meaning that was not negotiated.
        (0, junk, 60, Ok(plain)),
        (feature::HOST_TSO4, junk, 60, Ok(plain)),
        (0, plain, MAX_FRAME, Ok(plain)),
        (0, plain, MAX_FRAME + 1, Err(HeaderError::TooLong { len: MAX_FRAME + 1 })),
        (TSO, plain, MAX_FRAME + 1, Err(HeaderError::TooLong { len: MAX_FRAME + 1 })),
        // What only has a meaning together with something else.
        (TSO, NetHeader { flags: 0, ..checksum() }, 60, Ok(plain)),
        (TSO, NetHeader { hdr_len: 7.into(), gso_size: 9.into(), ..plain }, 60, Ok(plain)),
        // Flags that a driver does not know, or that only a device writes.
        (TSO, NetHeader { flags: 0xfe, ..plain }, 60, Ok(plain)),
        (TSO, NetHeader { flags: 0xff, ..checksum() }, 60, Ok(checksum())),
        (TSO, NetHeader { num_buffers: 7.into(), ..checksum() }, 60, Ok(checksum())),
        // Where a checksum is.
        (feature::CSUM, at(34, 24), 60, Ok(at(34, 24))),
        (feature::CSUM, at(34, 25), 60, out(34, 25, 60)),
        (feature::CSUM, at(58, 0), 60, Ok(at(58, 0))),
        (feature::CSUM, at(59, 0), 60, out(59, 0, 60)),
        (feature::CSUM, at(0xffff, 0xffff), 60, out(0xffff, 0xffff, 60)),
        (feature::CSUM, at(0xffff, 0xffff), MAX_FRAME, out(0xffff, 0xffff, MAX_FRAME)),
        (feature::CSUM, at(14, 0), 60, Ok(at(14, 0))),
        (feature::CSUM, at(13, 0), 60, out(13, 0, 60)),
        // Kinds of segments.
        (TSO, tcp4, 3000, Ok(tcp4)),
        (TSO, tcp6, 3000, Ok(tcp6)),
        (TSO, ecn, 3000, Err(HeaderError::GsoType(0x81))),
        (TSO | feature::HOST_ECN, ecn, 3000, Ok(ecn)),
        (feature::CSUM, tcp4, 3000, Err(HeaderError::GsoType(1))),
        (feature::CSUM | feature::HOST_TSO4, tcp6, 3000, Err(HeaderError::GsoType(4))),
        (feature::CSUM | feature::HOST_TSO6, tcp4, 3000, Err(HeaderError::GsoType(1))),
        (TSO, segments(3), 3000, Err(HeaderError::GsoType(3))),
        (TSO, segments(5), 3000, Err(HeaderError::GsoType(5))),
        (TSO | feature::HOST_ECN, segments(gso::ECN), 3000, Err(HeaderError::GsoType(0x80))),
        (TSO, segments(0xff), 3000, Err(HeaderError::GsoType(0xff))),
        // What segments need.
        (TSO, NetHeader { flags: 0, ..tcp4 }, 3000, Err(HeaderError::NoChecksum)),
        (TSO, NetHeader { gso_size: 0.into(), ..tcp4 }, 3000, Err(HeaderError::NoPayload)),
        (TSO, gso_at(34, 6), 3000, no_tcp(34, 6, 3000)),
        (TSO, gso_at(40, 16), 60, Ok(gso_at(40, 16))),
        (TSO, gso_at(41, 16), 60, no_tcp(41, 16, 60)),
        (TSO, tcp4, MAX_GSO_FRAME, Ok(tcp4)),
        (TSO, tcp4, MAX_GSO_FRAME + 1, Err(HeaderError::TooLong { len: MAX_GSO_FRAME + 1 })),
        // A hint is no more than that.
        (TSO, NetHeader { hdr_len: 0.into(), ..tcp4 }, 60, Ok(NetHeader { hdr_len: 0.into(), ..tcp4 })),
        (TSO, NetHeader { hdr_len: 0xffff.into(), ..tcp4 }, 60, Ok(NetHeader { hdr_len: 60.into(), ..tcp4 })),
    ];
    for (features, header, len, expected) in table {
        let checked = Offloads::new(features).check(&header, &vec![0; len]);
        assert_eq!(checked, expected.map(passed), "{features:#x} {header:?} {len}");
    }
}

#[test]
fn offload_without_what_it_requires_is_none() {
    use feature::{CSUM, GUEST_CSUM, GUEST_ECN, GUEST_TSO4, GUEST_TSO6, HOST_ECN, HOST_TSO4, HOST_TSO6};
    let table = [
        (0, 0),
        (HOST_TSO4 | HOST_TSO6 | HOST_ECN | GUEST_TSO4 | GUEST_TSO6 | GUEST_ECN, 0),
        (CSUM | HOST_ECN | GUEST_CSUM | GUEST_ECN, CSUM | GUEST_CSUM),
        (CSUM | HOST_TSO4 | HOST_ECN | GUEST_TSO4, CSUM | HOST_TSO4 | HOST_ECN),
        (GUEST_CSUM | GUEST_TSO6 | GUEST_ECN | HOST_TSO6, GUEST_CSUM | GUEST_TSO6 | GUEST_ECN),
        (u64::MAX, feature::OFFLOADS),
    ];
    for (accepted, expected) in table {
        let offloads = Offloads::new(accepted);
        let included = (0..64).map(|bit| 1 << bit).filter(|bit| offloads.include(*bit)).sum::<u64>();
        assert_eq!(included, expected, "{accepted:#x}");
    }
}

#[test]
fn packet_with_a_malformed_header_is_an_error_and_returned() {
    for format in FORMATS {
        for cut in [&[][..], &[12], &[5, 9], &[1; 60]] {
            let mut nic = nic(TestPort::new(), format | TSO);
            let (good, bad) = (segments(gso::TCPV4), segments(gso::ECN));
            for header in [bad, good, checksum(), bad] {
                nic.add(&DriverChain::new().readable_cut(packet(header, &frame(3000, 1)), cut));
            }
            assert_eq!(nic.transmit(8), Turn { chains: 4, waits_for: WaitsFor::Driver });
            assert_eq!(nic.device.port().headers, [passed(good), passed(checksum())]);
            assert_eq!(nic.device.port().taken, [frame(3000, 1), frame(3000, 1)]);
            assert!(nic.reap().iter().all(|used| used.len == 0));
            nic.check_transmitted(2, 6000, 2);
            assert_eq!(nic.large(), (1, 0));
        }
    }
}

/// HOST-20: a header is read once, and what was checked is what the port gets.
#[test]
fn header_that_changes_meanwhile_is_one_or_the_other() {
    for reads in 0..12 {
        let mut nic = nic(TestPort::new(), TSO);
        let range = nic.driver.pool().alloc(4000, 1).unwrap();
        let (good, bad) = (segments(gso::TCPV4), NetHeader { gso_size: 0.into(), ..segments(gso::TCPV4) });
        nic.add(&DriverChain::new().readable(packet(good, &frame(3000, 1))).at(range.start()));
        let driver = nic.driver.view().clone();
        nic.mem.on_read(reads, move |_| driver.poke(range.start(), bad.as_bytes()));
        nic.transmit(1);
        nic.mem.on_event(|_, _| {});
        match nic.device.port().headers[..] {
            [header] => assert_eq!(header, passed(good)),
            _ => nic.check_transmitted(0, 0, 1),
        }
        assert_eq!(nic.reap().len(), 1);
    }
}

#[test]
fn packets_of_64_kib_go_both_ways() {
    let (header, large) = (segments(gso::TCPV6), frame(MAX_GSO_FRAME, 5));
    for format in FORMATS {
        let mut sender = nic(TestPort::new(), format | TSO);
        for cut in [&[][..], &[12, 4000, 30000]] {
            sender.add(&DriverChain::new().readable_cut(packet(header, &large), cut));
        }
        sender.add(&DriverChain::new().readable(packet(header, &frame(MAX_GSO_FRAME + 1, 5))));
        sender.transmit(8);
        assert_eq!(sender.device.port().taken, [large.clone(), large.clone()]);
        sender.check_transmitted(2, 2 * MAX_GSO_FRAME as u64, 1);

        // In one buffer, and in as many as it takes.
        for (features, room, count) in [(0, 65562, 1), (MERGEABLE, 65562, 1), (MERGEABLE, 1526, 43)] {
            let port = TestPort::with_packets([(passed(header), large.clone())]);
            let mut receiver = nic(port, format | GUEST_TSO | features);
            for _ in 0..count {
                receiver.add(&DriverChain::new().writable(room));
            }
            assert_eq!(receiver.receive(64).chains, count);
            let bytes: Vec<u8> = receiver.reap().iter().flat_map(|used| used.written().to_vec()).collect();
            let expected = NetHeader { num_buffers: (count as u16).into(), ..header };
            assert!(bytes == packet(expected, &large), "{count} buffers");
            receiver.check_received(1, MAX_GSO_FRAME as u64, 0);
            assert_eq!(receiver.large(), (0, 1));
        }
    }
}

/// Returns what a loopback gives back of a packet, if anything.
fn looped(features: u64, header: NetHeader, frame: &[u8]) -> Option<(NetHeader, Vec<u8>)> {
    let mut sender = nic(Loopback::new(), features);
    sender.add(&DriverChain::new().readable(packet(header, frame)));
    sender.transmit(1);
    let mut port = sender.device.port().clone();
    let (header, frame) = NetHeader::read_from_prefix(port.packet()).ok()?;
    Some((header, frame.to_vec()))
}

#[test]
fn a_loopback_leaves_to_the_driver_what_the_driver_accepted() {
    let (tcp4, tcp6) = (segments(gso::TCPV4), segments(gso::TCPV6));
    let guest4 = feature::GUEST_CSUM | feature::GUEST_TSO4;
    let table = [
        (0, tcp4, Some(NetHeader::default())),
        (feature::CSUM, checksum(), Some(NetHeader::default())),
        (feature::CSUM | feature::GUEST_CSUM, checksum(), Some(checksum())),
        (TSO, tcp4, None),
        (TSO | feature::GUEST_CSUM, tcp4, None),
        (TSO | guest4, tcp4, Some(tcp4)),
        (TSO | guest4, tcp6, None),
        (TSO | GUEST_TSO, tcp6, Some(tcp6)),
    ];
    for (features, header, expected) in table {
        let back = looped(features, header, &frame(3000, 1));
        assert_eq!(back.map(|(header, _)| header), expected.map(passed), "{features:#x} {header:?}");
    }
}

/// A UDP datagram whose checksum was worked out by hand: the words of the example in RFC 1071 are its payload, and the
/// sum of its pseudo header is where the checksum goes.
#[test]
fn a_loopback_writes_checksums_that_are_left_to_nobody() {
    let header = NetHeader { csum_offset: 6.into(), ..checksum() };
    let payload = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    let datagram = [&[0, 9, 0, 9, 0, 16, 0x80, 0x00][..], &payload].concat();
    let sent = [&frame(34, 1)[..], &datagram].concat();
    let (_, back) = looped(feature::CSUM, header, &sent).unwrap();
    // 9 + 9 + 16 + 0x8000 + 0xddf2 is 0x15e14, and that is 0x5e15.
    assert_eq!(back[40..42], (!0x5e15_u16).to_be_bytes());
    assert_eq!((&back[..40], &back[42..]), (&sent[..40], &sent[42..]));
}

#[test]
fn a_loopback_that_is_full_has_room_for_the_largest_packet_of_its_driver() {
    for (features, largest) in [(0, MAX_FRAME), (feature::CSUM, MAX_FRAME), (TSO, MAX_GSO_FRAME)] {
        let mut port = Loopback::new();
        port.accept(Offloads::new(features));
        assert_eq!(port.capacity(), 32);
        while port.capacity() > 0 {
            assert_eq!(port.room().len(), HEADER_LEN + largest);
            port.room()[..HEADER_LEN].fill(0);
            port.transmit(HEADER_LEN + 1000).unwrap();
        }
    }
}

/// It may leave to a driver what this one did not accept.
#[test]
fn a_loopback_forgets_what_was_sent_with_other_offloads() {
    let mut port = Loopback::new();
    port.room()[..HEADER_LEN].fill(0);
    port.transmit(HEADER_LEN + 60).unwrap();
    for (features, packets) in [(0, 1), (feature::HOST_TSO4, 1), (TSO, 0)] {
        port.accept(Offloads::new(features));
        assert_eq!((port.packets(), port.packet().len()), (packets, packets * (HEADER_LEN + 60)));
    }
}
