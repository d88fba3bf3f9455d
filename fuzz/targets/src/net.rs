//! Packets for the network device, buffers for its own, and commands.

use std::sync::Arc;

use virtio_examples::net::{ControlQueue, Counters, Loopback, NetDevice, RECEIVE, Settings, TRANSMIT, feature};
use virtio_examples::{Device, Serve};

use crate::honest::Honest;
use crate::input::Input;

/// The place of the control queue among those here.
const CONTROL: usize = 2;

/// The features of drivers, with none, some or all of the offloads.
const FEATURES: [u64; 8] = [
    0,
    feature::MRG_RXBUF,
    feature::CSUM,
    feature::CSUM | feature::GUEST_CSUM | feature::MRG_RXBUF,
    feature::CSUM | feature::HOST_TSO4 | feature::GUEST_CSUM | feature::GUEST_TSO4,
    feature::OFFLOADS,
    feature::OFFLOADS | feature::MRG_RXBUF | feature::CONTROL | feature::MQ,
    feature::MRG_RXBUF | feature::CTRL_VQ | feature::CTRL_RX,
];

/// Sends packets that come back, through two queues, and commands through a third one.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let all = (Honest::new(&mut input), Honest::new(&mut input), Honest::new(&mut input));
    let (Some(receive), Some(transmit), Some(control)) = all else { return };
    let mut queues = [receive, transmit, control];
    let (features, settings) = (input.one_of(&FEATURES), Arc::new(Settings::new(None)));
    let mut device = NetDevice::new(Loopback::new(), features, Arc::clone(&settings), Arc::<Counters>::default());
    let mut commands = ControlQueue::new(settings, vec![Loopback::new(), Loopback::new()], features);
    if input.flag() {
        queues[input.below(3)].become_hostile(&mut input);
    }
    for _ in 0..30 {
        if input.is_empty() || queues.iter().any(|honest| honest.queue.is_broken()) {
            break;
        }
        let index = input.below(3);
        let honest = &mut queues[index];
        match input.u8() % 4 {
            0 if index == TRANSMIT => {
                let packet = packet(&mut input);
                honest.add(&mut input, &packet, 0);
            }
            0 | 1 if index == RECEIVE => {
                let room = input.one_of(&[0, 1, 11, 12, 26, 100, 1526, 3000]);
                honest.add(&mut input, &[], room);
            }
            0 | 1 if index == CONTROL => {
                let command = command(&mut input);
                let room = u32::from(input.u8() % 3);
                honest.add(&mut input, &command, room);
            }
            _ if index == CONTROL => obey(&mut input, &mut commands, honest),
            _ => serve(&mut input, &mut device, index, honest),
        }
    }
    for (index, honest) in queues.iter_mut().enumerate() {
        let (ring, state) = honest.queue.parts_mut();
        device.release(index, ring, state);
        assert!(honest.queue.in_flight() == 0 || honest.queue.is_broken(), "buffers were kept");
        honest.reap();
        honest.mem.check();
    }
}

/// Returns a packet that leaves nothing to the device, or something, or makes no sense.
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let mut packet = match input.u8() % 4 {
        0 => vec![0; 12],
        // A checksum somewhere, and segments of some kind.
        kind => {
            let (start, offset) = (input.one_of(&[14, 34, 54, 200]), input.one_of(&[6, 16, 250]));
            let gso_type = if kind == 1 { 0 } else { input.one_of(&[1, 4, 0x81, 3]) };
            vec![1, gso_type, input.u8(), 0, input.u8(), 0, start, 0, offset, 0, 0, 0]
        }
    };
    if input.u8() == 7 {
        let place = input.below(12);
        packet[place] = input.u8();
    }
    let len = usize::from(input.u8()) * usize::from(input.u8() % 5);
    packet.extend_from_slice(input.bytes(len));
    packet.truncate(if input.u8() == 7 { input.u8().into() } else { packet.len() });
    packet
}

/// Returns a command that is one of those that there are, or not.
fn command(input: &mut Input<'_>) -> Vec<u8> {
    let (class, command) = input.one_of(&[(0, 0), (0, 3), (0, 5), (1, 0), (1, 1), (3, 0), (4, 0), (2, 0), (0, 9)]);
    let data: &[u8] = match (class, command) {
        (0, _) => &[input.u8() % 3],
        (1, 0) => &[&[input.u8() % 3, 0, 0, 0][..], &[2, 0, 0, 0, 0, 1], &[0; 4]].concat(),
        (1, _) => &[2, 0, 0, 0, 0, 1],
        (4, _) => &[input.u8() % 4, 0],
        _ => &[],
    };
    let mut bytes = [&[class, command], data].concat();
    if input.flag() {
        let len = usize::from(input.u8() % 32);
        bytes.truncate(len);
        bytes.extend_from_slice(input.bytes(len / 2));
    }
    bytes
}

fn serve(input: &mut Input<'_>, device: &mut NetDevice<Loopback>, index: usize, honest: &mut Honest) {
    let before = honest.mem.work();
    let (ring, state) = honest.queue.parts_mut();
    let _ = device.serve_queue(index, ring, state, usize::from(input.u8() % 70));
    let work = honest.mem.work() - before;
    assert!(work < 60_000, "{work} accesses and translations for a turn of 32 slots");
    honest.reap();
}

fn obey(input: &mut Input<'_>, commands: &mut ControlQueue<Loopback>, honest: &mut Honest) {
    let before = honest.mem.work();
    let _ = commands.serve(&mut honest.queue, u32::from(input.u8() % 70));
    let work = honest.mem.work() - before;
    assert!(work < 60_000, "{work} accesses and translations for a turn of 32 slots");
    for used in honest.reap() {
        assert!(used.len <= 1, "{} bytes for an answer", used.len);
    }
}
