//! Requests to the block device.

use virtio_examples::Device;
use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage, Storage, feature};

use crate::honest::Honest;
use crate::input::Input;

/// Sends requests, sensible ones as a rule.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let Some(mut honest) = Honest::new(&mut input) else { return };
    let size = input.one_of(&[0, 512, 1000, 4096, 5000]);
    let mut device = BlockDevice::new(MemStorage::new(vec![0x55; size]), DeviceId::new("fuzz").unwrap());
    device.accept(if input.flag() { feature::FLUSH } else { 0 });
    if input.flag() {
        honest.become_hostile(&mut input);
    }
    for _ in 0..12 {
        if input.is_empty() || honest.queue.is_broken() {
            break;
        }
        for _ in 0..input.u8() % 5 {
            request(&mut input, &mut honest);
        }
        let before = honest.mem.work();
        if input.flag() {
            let _ = device.serve(&mut honest.queue, u32::from(input.u8() % 70));
        } else if let Ok(Some(chain)) = honest.queue.next_chain() {
            let _ = device.process(chain);
        }
        let work = honest.mem.work() - before;
        assert!(work < 60_000, "{work} accesses and translations for a turn of 32 slots");
        assert!(honest.queue.in_flight() == 0 || honest.queue.is_broken());
        honest.reap();
    }
    honest.mem.check();
    assert_eq!(device.storage().size(), size as u64);
}

fn request(input: &mut Input<'_>, honest: &mut Honest) {
    let kind = input.one_of(&[0_u32, 1, 4, 8, 11, 13, 99]);
    let sector = if input.u8() == 9 { input.u64() } else { u64::from(input.u8() % 12) };
    let mut readable = Vec::from(kind.to_le_bytes());
    readable.extend([0; 4]);
    readable.extend(sector.to_le_bytes());
    let payload = input.one_of(&[0_usize, 16, 20, 511, 512, 1024, 32]);
    let writes = input.flag();
    if writes {
        let bytes = input.bytes(payload.min(64));
        readable.extend(bytes.iter().copied().chain([0; 1024]).take(payload));
    }
    readable.truncate(if input.u8() == 7 { input.u8().into() } else { readable.len() });
    let status = u32::from(input.u8() != 3);
    honest.add(input, &readable, status + if writes { 0 } else { payload as u32 });
}
