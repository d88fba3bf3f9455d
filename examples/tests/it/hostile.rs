//! The devices under every attack of the hostile kit.

use std::sync::Arc;

use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage};
use virtio_examples::net::{
    ControlQueue, Counters, Loopback, NetDevice, NetHeader, Port, RECEIVE, Settings, Sink, Source, TRANSMIT, feature,
    gso, header_flag,
};
use virtio_examples::rng::{RngDevice, SeededEntropy};
use virtio_examples::vsock;
use virtio_fake_driver::DriverChain;
use virtio_fake_driver::hostile::{Kit, Report};
use virtio_vhost_user::{Device, Serve};
use zerocopy::IntoBytes;

use crate::disk::{IN, OUT, SECTOR, pattern, request};
use crate::vsock::Rig;

#[track_caller]
fn check(report: &Report) {
    println!("{report}");
    assert!(report.passed(), "{report}");
}

fn disk() -> BlockDevice<MemStorage> {
    BlockDevice::new(MemStorage::new(pattern(4 * SECTOR)), DeviceId::new("disk-0").unwrap())
}

/// Requests that the disk serves in batches.
#[test]
fn disk_keeps_all_promises() {
    let mut disk = disk();
    let kit = Kit::new().request(request(IN, 1, [], 512)).request(request(OUT, 2, [7; SECTOR], 0));
    check(&kit.run(|queue| {
        disk.serve(queue, 64)?;
        Ok(())
    }));
}

/// Requests that the disk reads and answers one at a time, with a reader and a writer.
#[test]
fn disk_that_takes_one_chain_at_a_time_keeps_all_promises() {
    let mut disk = disk();
    check(&Kit::new().request(request(IN, 1, [], 512)).run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let _ = disk.process(chain); // The driver has the status.
        }
        Ok(())
    }));
}

#[test]
fn entropy_device_keeps_all_promises() {
    let mut rng = RngDevice::new(SeededEntropy::new(1));
    check(&Kit::new().request(DriverChain::new().writable(64)).run(|queue| {
        rng.serve(queue, 64)?;
        Ok(())
    }));
}

/// Runs the attacks on one queue of a network device, which is a new one for each attack.
fn attack_nic<P: Port>(kit: &Kit, index: usize, features: u64, port: impl Fn() -> P) -> Report {
    kit.run_device(|setup| {
        let settings = Arc::new(Settings::new(None));
        let mut nic = NetDevice::new(port(), features, settings, Arc::<Counters>::default());
        let mut queue = setup.queue()?;
        Ok(move || {
            let (ring, state) = queue.parts_mut();
            nic.serve_queue(index, ring, state, 64)?;
            Ok(())
        })
    })
}

#[test]
fn transmit_queue_keeps_all_promises() {
    let kit = Kit::new().request(DriverChain::new().readable([0; 12]).readable([6; 60]));
    check(&attack_nic(&kit, TRANSMIT, 0, Sink::new));
}

/// The header of each packet is read, and leaves work to the device.
#[test]
fn transmit_queue_with_offloads_keeps_all_promises() {
    let segments = NetHeader {
        flags: header_flag::NEEDS_CSUM,
        gso_type: gso::TCPV4,
        gso_size: 100.into(),
        csum_start: 34.into(),
        csum_offset: 16.into(),
        ..NetHeader::default()
    };
    let kit = Kit::new().request(DriverChain::new().readable(segments.as_bytes()).readable([6; 300]));
    check(&attack_nic(&kit, TRANSMIT, feature::OFFLOADS, Sink::new));
}

#[test]
fn control_queue_keeps_all_promises() {
    let commands: [&[u8]; 4] =
        [&[0, 0, 1], &[1, 1, 2, 0, 0, 0, 0, 1], &[1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0], &[4, 0, 1, 0]];
    let chains = commands.map(|command| DriverChain::new().readable(command).writable(1));
    let kit = chains.into_iter().fold(Kit::new(), Kit::request);
    let features = feature::CONTROL | feature::MQ;
    let mut control = ControlQueue::new(Arc::new(Settings::new(None)), vec![Loopback::new()], features);
    check(&kit.run(|queue| {
        control.serve(queue, 64)?;
        Ok(())
    }));
}

/// There are always packets, so that the device has no reason to keep a buffer.
#[test]
fn receive_queue_keeps_all_promises() {
    let kit = Kit::new().request(DriverChain::new().writable(12).writable(100));
    check(&attack_nic(&kit, RECEIVE, 0, || Source::new(80, 1, u64::MAX).unwrap()));
}

/// Runs the attacks on one queue of a socket device, which has a connection whose program has written much.
fn attack_sockets(kit: &Kit, place: usize) -> Report {
    kit.run_device(|setup| {
        let (mut queue, mut connected) = (setup.queue()?, Rig::connected());
        Ok(move || {
            let (ring, state) = queue.parts_mut();
            connected.device().serve_queue(place, ring, state, 64)?;
            Ok(())
        })
    })
}

#[test]
fn transmit_queue_of_sockets_keeps_all_promises() {
    let packets = [(vsock::op::RW, &b"hello"[..]), (vsock::op::CREDIT_REQUEST, b""), (vsock::op::REQUEST, b"")];
    let requests = packets.map(|(op, payload)| DriverChain::new().readable(Rig::packet_of_guest(op, payload)));
    let kit = requests.into_iter().fold(Kit::new(), Kit::request);
    check(&attack_sockets(&kit, vsock::TRANSMIT));
}

#[test]
fn receive_queue_of_sockets_keeps_all_promises() {
    let kit = Kit::new().request(DriverChain::new().writable(44).writable(100));
    check(&attack_sockets(&kit, vsock::RECEIVE));
}
