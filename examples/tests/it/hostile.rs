//! The devices under every attack of the hostile kit.

use std::sync::Arc;

use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage};
use virtio_examples::net::{Counters, NetDevice, Port, RECEIVE, Sink, Source, TRANSMIT};
use virtio_examples::rng::{RngDevice, SeededEntropy};
use virtio_examples::vsock;
use virtio_fake_driver::DriverChain;
use virtio_fake_driver::hostile::{Kit, Report};
use virtio_vhost_user::{Device, Serve};

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
fn attack_nic<P: Port>(kit: &Kit, index: usize, port: impl Fn() -> P) -> Report {
    kit.run_device(|setup| {
        let (mut queue, mut nic) = (setup.queue()?, NetDevice::new(port(), 0, Arc::<Counters>::default()));
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
    check(&attack_nic(&kit, TRANSMIT, Sink::new));
}

/// There are always packets, so that the device has no reason to keep a buffer.
#[test]
fn receive_queue_keeps_all_promises() {
    let kit = Kit::new().request(DriverChain::new().writable(12).writable(100));
    check(&attack_nic(&kit, RECEIVE, || Source::new(80, 1, u64::MAX).unwrap()));
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
