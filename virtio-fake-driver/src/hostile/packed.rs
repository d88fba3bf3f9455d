//! Violations that only a packed ring has.

use alloc::vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::attack::Attack;
use super::case::Runs::{Accesses, Times};
use super::case::{Case, pick};
use super::descriptor::{Descriptor, INDIRECT, NEXT};
use super::ledger::Trust;
use super::ring::Ring;
use super::ring::packed::{PackedRing, available};
use crate::features::{EVENT_IDX, INDIRECT_DESC};
use crate::packed::EventSuppression;

pub(super) const CASES: &[Case] = &[
    Case::packed("DRV-PSG-1", "a list without an end", Times(3), endless_list),
    Case::packed("DRV-STAT-2", "buffers after a fatal error", Times(1), endless_list),
    Case::packed("DRV-PSG-3", "a list that has no room", Accesses(1), no_room),
    Case::packed("HOST-5", "fetched slots and slots in flight of more than N", Accesses(1), no_room),
    Case::packed("DRV-PDESC-1", "a slot that is overwritten before it is used", Accesses(1), overwrite_slot),
    Case::packed("DRV-CFG-6", "a queue that is twice as large for the driver", Times(1), larger_queue),
    Case::packed("DRV-PIND-2", "flags other than WRITE in a table", Times(3), flags_in_table).needs(INDIRECT_DESC),
    Case::packed("HOST-18", "random flags", Times(64), random_flags),
    Case::packed("HOST-18", "flags that are not of this lap", Times(4), other_lap),
    Case::packed("HOST-19", "any Buffer ID", Times(4), buffer_id),
    Case::packed("HOST-21", "event modes that do not exist", Times(6), event_modes),
    Case::packed("HOST-22", "events that are far off", Times(3), far_events).needs(EVENT_IDX),
    Case::packed("HOST-23", "a Device Area that the driver overwrites", Times(2), device_area),
    Case::packed("HOST-6", "a list that is available again and again", Times(1), same_list),
];

fn ring<'r>(a: &'r mut Attack<'_, '_>) -> &'r mut PackedRing {
    match &mut a.ring {
        Ring::Packed(ring) => ring,
        Ring::Split(_) => panic!("a case for packed rings runs on packed rings"),
    }
}

fn endless_list(a: &mut Attack<'_, '_>, n: usize) {
    let r = a.readable(4);
    let element = pick(&[r, Descriptor { len: 0, ..r }, Descriptor { flags: INDIRECT, ..r }], n);
    let mut list = a.ring.link(&vec![element; usize::from(a.scene.size)]);
    list.descriptors.iter_mut().for_each(|descriptor| descriptor.flags |= NEXT);
    a.offer_list(&list);
}

/// While a list of two slots is out, another one begins behind it and takes more than is left.
fn no_room(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let r = a.readable(4);
    a.offer(&[r, r]);
    let list = a.ring.link(&vec![r; usize::from(a.scene.size)]);
    for (slot, descriptor) in list.slots.iter().zip(&list.descriptors) {
        let flags = NEXT | available(*slot);
        let bytes = a.ring.to_bytes(Descriptor { flags, ..*descriptor });
        let place = a.ring.descriptor(*slot).start();
        a.poke_at(n, place, &bytes);
    }
}

fn overwrite_slot(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let list = a.offer_request();
    let r = a.readable(4);
    for slot in list.slots {
        let place = a.ring.descriptor(slot).start();
        let bytes = a.ring.to_bytes(Descriptor { flags: available(slot), link: 77, ..r });
        a.poke_at(n, place, &bytes);
    }
}

/// A driver of a larger ring goes on behind the end, where it does not go on.
fn larger_queue(a: &mut Attack<'_, '_>, _: usize) {
    a.trust(Trust::Nothing);
    let (size, r) = (a.scene.size, a.readable(4));
    a.start();
    for _ in 1..size {
        a.offer(&[r]);
        a.serve();
    }
    let mut list = a.ring.link(&[r]);
    list.descriptors.iter_mut().for_each(|descriptor| descriptor.flags |= NEXT);
    let behind = ring(a).raw.areas().descriptor(size).start();
    let bytes = a.ring.to_bytes(Descriptor { flags: 1 << 7, ..r });
    a.mem.view().poke(behind, &bytes);
    a.offer_list(&list);
}

fn flags_in_table(a: &mut Attack<'_, '_>, n: usize) {
    let mut request = a.request();
    for entry in &mut request {
        entry.flags |= pick(&[NEXT, INDIRECT, !2], n);
    }
    let table = a.raw_table(&request);
    a.offer(&[table]);
}

fn random_flags(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(n as u64);
    let (r, w) = (a.readable(16), a.writable(16));
    for _ in 0..4 {
        for slot in 0..a.scene.size {
            let element = if rng.random() { r } else { w };
            let list = a.ring.to_bytes(Descriptor { link: rng.random(), ..element });
            let place = ring(a).raw.areas().descriptor(slot).start();
            a.mem.view().poke(place, &list);
            ring(a).raw.set_flags(slot, rng.random());
        }
        a.serve();
    }
}

fn other_lap(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let slot = ring(a).next;
    a.offer_request();
    // None of these is available in the first lap.
    ring(a).raw.set_flags(slot.index, pick(&[0, 1 << 15, 1 << 15 | 1 << 7, NEXT | 1 << 15], n));
}

fn buffer_id(a: &mut Attack<'_, '_>, n: usize) {
    let size = a.scene.size;
    for id in pick(&[[u16::MAX; 2], [size, size + 1], [0x8000, 3], [5, 5]], n) {
        let request = a.request();
        let mut list = a.ring.link(&request);
        list.descriptors.last_mut().into_iter().for_each(|last| last.link = id);
        a.offer_list(&list);
    }
}

fn event_modes(a: &mut Attack<'_, '_>, n: usize) {
    let flags = pick(&[3, 2, 0xfffc, 0xffff, 0xfffd, 1], n);
    for off_wrap in [0, 0x7fff, 0xffff] {
        ring(a).raw.set_driver_events(EventSuppression { off_wrap, flags });
        a.offer_request();
        a.serve();
    }
}

fn far_events(a: &mut Attack<'_, '_>, n: usize) {
    for round in 0..3 {
        let off_wrap = pick(&[a.scene.size, 0x7fff, 0xffff, 0x8000], n + round);
        ring(a).raw.set_driver_events(EventSuppression { off_wrap, flags: EventSuppression::DESC });
        a.offer_request();
        a.serve();
    }
}

fn device_area(a: &mut Attack<'_, '_>, n: usize) {
    let area = ring(a).raw.areas().device_events().start();
    for byte in pick(&[[0xff; 3], [0, 1, 2]], n) {
        a.offer_request();
        a.serve();
        a.mem.view().poke(area, &[byte; 4]);
    }
}

/// The same id and the same buffer, in as many lists as there is room for.
fn same_list(a: &mut Attack<'_, '_>, _: usize) {
    let r = a.readable(8);
    for _ in 0..a.scene.size {
        let mut list = a.ring.link(&[r]);
        list.descriptors.iter_mut().for_each(|descriptor| descriptor.link = 2);
        a.offer_list(&list);
    }
}
