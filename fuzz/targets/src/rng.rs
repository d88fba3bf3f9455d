//! Requests for entropy.

use virtio_examples::Device;
use virtio_examples::rng::{MAX_BYTES, RngDevice, SeededEntropy};

use crate::honest::Honest;
use crate::input::Input;

/// Asks for entropy, with room for it as a rule.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let Some(mut honest) = Honest::new(&mut input) else { return };
    let mut device = RngDevice::new(SeededEntropy::new(1));
    if input.flag() {
        honest.become_hostile(&mut input);
    }
    for _ in 0..12 {
        if input.is_empty() || honest.queue.is_broken() {
            break;
        }
        let (readable, room) = (usize::from(input.u8() % 3), u32::from(input.u16()) % 5000);
        honest.add(&mut input, &[1, 2, 3][..readable], room);
        let before = honest.mem.work();
        let _ = device.serve(&mut honest.queue, u32::from(input.u8() % 70));
        let work = honest.mem.work() - before;
        assert!(work < 20_000, "{work} accesses and translations for a turn of 32 slots");
        assert!(honest.queue.in_flight() == 0 || honest.queue.is_broken());
        for used in honest.reap() {
            assert!(used.len as usize <= MAX_BYTES);
        }
    }
    honest.mem.check();
}
