//! Packets for the network device, and buffers for its own.

use std::sync::Arc;

use virtio_examples::Serve;
use virtio_examples::net::{Counters, Loopback, NetDevice, RECEIVE, TRANSMIT, feature};

use crate::honest::Honest;
use crate::input::Input;

/// Sends packets that come back, through two queues.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let pair = (Honest::new(&mut input), Honest::new(&mut input));
    let (Some(receive), Some(transmit)) = pair else { return };
    let mut queues = [receive, transmit];
    let features = if input.flag() { feature::MRG_RXBUF } else { 0 };
    let mut device = NetDevice::new(Loopback::new(), features, Arc::<Counters>::default());
    if input.flag() {
        queues[input.below(2)].become_hostile(&mut input);
    }
    for _ in 0..30 {
        if input.is_empty() || queues.iter().any(|honest| honest.queue.is_broken()) {
            break;
        }
        let index = input.below(2);
        let honest = &mut queues[index];
        match input.u8() % 4 {
            0 if index == TRANSMIT => {
                let len = usize::from(input.u8()) * usize::from(input.u8() % 5);
                let mut packet = vec![0; 12];
                packet.extend_from_slice(input.bytes(len));
                packet.truncate(if input.u8() == 7 { input.u8().into() } else { packet.len() });
                honest.add(&mut input, &packet, 0);
            }
            0 | 1 if index == RECEIVE => {
                let room = input.one_of(&[0, 1, 11, 12, 26, 100, 1526, 3000]);
                honest.add(&mut input, &[], room);
            }
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

fn serve(input: &mut Input<'_>, device: &mut NetDevice<Loopback>, index: usize, honest: &mut Honest) {
    let before = honest.mem.work();
    let (ring, state) = honest.queue.parts_mut();
    let _ = device.serve_queue(index, ring, state, usize::from(input.u8() % 70));
    let work = honest.mem.work() - before;
    assert!(work < 60_000, "{work} accesses and translations for a turn of 32 slots");
    honest.reap();
}
