//! What a device can be connected to.

use std::io::ErrorKind;

use virtio_examples::net::{AnyPort, Loopback, MAX_FRAME, Port, Sink, Source, Tap, TapQueues, announcement};
use virtio_examples::{Turn, WaitsFor};
use virtio_fake_driver::DriverChain;

use super::nic::{FORMATS, MERGEABLE, frame, nic, packet, received};

/// Returns a frame with a UDP packet, as programs that measure networks send it.
fn udp(len: usize) -> Vec<u8> {
    let source = Source::new(len as u16, 3, 1).unwrap();
    let mut nic = nic(source, 0);
    nic.add(&DriverChain::new().writable(10_000));
    nic.receive(1);
    received(&nic.reap()).1
}

#[test]
fn a_sink_counts_what_is_sound() {
    for format in FORMATS {
        let mut nic = nic(AnyPort::Sink(Sink::new()), format);
        nic.add(&DriverChain::new().readable(packet(&udp(64))));
        nic.add(&DriverChain::new().readable(packet(&frame(60, 1))));
        let mut spoiled = udp(100);
        spoiled[20] ^= 1;
        nic.add(&DriverChain::new().readable(packet(&spoiled)));
        assert_eq!(nic.transmit(8), Turn { chains: 3, waits_for: WaitsFor::Driver });
        nic.check_transmitted(2, 124, 1);
        nic.add(&DriverChain::new().writable(100));
        assert_eq!(nic.receive(8), Turn { chains: 0, waits_for: WaitsFor::Device });
    }
}

/// The whole frame, in bytes that were taken down from what such a packet has to be.
#[test]
fn a_source_has_numbered_packets() {
    let mut nic = nic(AnyPort::Source(Source::new(64, 3, 300).unwrap()), MERGEABLE);
    for number in 0..300_u64 {
        nic.add(&DriverChain::new().writable(100));
        nic.receive(1);
        let expected = [
            &[0xff; 6][..],
            &[2, 0, 0, 0, 0, 3, 8, 0],
            &[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0xed, 0x92, 198, 18, 1, 3, 198, 18, 0, 1],
            &[0, 9, 0, 9, 0, 30, 0, 0],
            &number.to_be_bytes(),
            &(50..64).collect::<Vec<u8>>(),
        ];
        assert_eq!(received(&nic.reap()), (1, expected.concat()));
    }
    nic.add(&DriverChain::new().writable(100));
    assert_eq!(nic.receive(1), Turn { chains: 0, waits_for: WaitsFor::Device });
    nic.add(&DriverChain::new().readable(packet(&frame(60, 1))));
    assert_eq!(nic.transmit(8), Turn { chains: 0, waits_for: WaitsFor::Device });
}

#[test]
fn a_source_has_frames_that_can_be_there() {
    for (len, there) in [(49, false), (50, true), (MAX_FRAME as u16, true), (MAX_FRAME as u16 + 1, false)] {
        assert_eq!(Source::new(len, 0, 1).is_some(), there, "{len}");
    }
    assert_eq!(udp(MAX_FRAME).len(), MAX_FRAME);
}

#[test]
fn a_loopback_gives_back_what_it_took() {
    for format in FORMATS {
        let mut sender = nic(Loopback::new(), format);
        let lens = [14, 60, 1518, MAX_FRAME, 99];
        for (seed, len) in lens.into_iter().enumerate() {
            sender.add(&DriverChain::new().readable(packet(&frame(len, seed))));
        }
        sender.transmit(8);
        sender.check_transmitted(5, lens.iter().sum::<usize>() as u64, 0);
        // Both queues of a pair lead to one port: the same is at the other queue of another device.
        let mut receiver = nic(sender.device.port().clone(), format);
        for (seed, len) in lens.into_iter().enumerate() {
            receiver.add(&DriverChain::new().writable(10_000));
            receiver.receive(1);
            assert_eq!(received(&receiver.reap()), (1, frame(len, seed)));
        }
        assert_eq!(receiver.receive(1).waits_for, WaitsFor::Device);
    }
}

/// It takes no more than it can keep, loses nothing, and takes more when all is gone.
#[test]
fn a_full_loopback_lets_packets_wait() {
    for len in [14, 1000, MAX_FRAME] {
        let mut port = Loopback::new();
        let mut kept = 0;
        while port.capacity() > 0 {
            port.room()[12..12 + len].copy_from_slice(&frame(len, kept));
            port.transmit(12 + len).unwrap();
            kept += 1;
        }
        assert!(kept >= 31 && kept * len < 32 * (MAX_FRAME + 100), "{kept} packets of {len} bytes");
        for seed in 0..kept {
            assert_eq!((port.capacity(), port.packets()), (0, kept - seed));
            assert_eq!(port.packet()[12..], frame(len, seed));
            port.done();
        }
        assert_eq!((port.capacity(), port.packets()), (32, 0));
    }
}

/// RFC 903, byte by byte.
#[test]
fn an_announcement_asks_for_an_address() {
    let address = [2, 0, 0, 0, 0, 9];
    let expected = [
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0][..],
        &[0xff; 6],
        &address,
        &[0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3],
        &address,
        &[0; 4],
        &address,
        &[0; 4],
        &[0; 18],
    ];
    assert_eq!(announcement(address)[..], expected.concat());
}

#[test]
fn a_tap_device_has_a_name() {
    for name in ["", "sixteen-letters!", "tap%d", "tap\0"] {
        let error = Tap::open(name, TapQueues::One).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}
