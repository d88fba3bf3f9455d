//! Violations that only a split ring has.

use alloc::vec;

use virtio_mem_traits::DriverAddr;

use super::attack::Attack;
use super::case::Runs::{Accesses, Times};
use super::case::{Case, pick};
use super::descriptor::{Descriptor, NEXT};
use super::ledger::Trust;
use super::ring::Ring;
use super::ring::split::SplitRing;
use crate::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC};

pub(super) const CASES: &[Case] = &[
    Case::split("DRV-DESC-2", "loops of descriptors", Times(3), loops),
    Case::split("DRV-DESC-2", "a loop in a table", Times(2), loop_in_table).needs(INDIRECT_DESC),
    Case::split("DRV-DESC-3", "links in disorder with IN_ORDER", Times(1), disorder).needs(IN_ORDER),
    Case::split("DRV-IND-5", "table entries in disorder with IN_ORDER", Times(1), disorder_in_table)
        .needs(IN_ORDER | INDIRECT_DESC),
    Case::split("HOST-26", "heads in disorder with IN_ORDER", Times(1), disorder).needs(IN_ORDER),
    Case::split("DRV-AVAIL-1", "an available index that goes back", Times(3), index_back),
    Case::split("DRV-STAT-2", "buffers after a fatal error", Times(1), head_outside),
    Case::split("DRV-CFG-6", "a queue that is twice as large for the driver", Times(2), larger_queue),
    Case::split("DRV-UNOT-1", "flags other than 0 and 1", Times(4), flags).without(EVENT_IDX),
    Case::split("DRV-UNOT-2", "flags with EVENT_IDX", Times(4), flags).needs(EVENT_IDX),
    Case::split("DRV-ANOT-1", "used flags that are not 0 at first", Times(4), used_ring_before_start),
    Case::split("HOST-1", "a head outside of the table", Times(4), head_outside),
    Case::split("HOST-2", "a next outside of the table", Times(4), next_outside),
    Case::split("HOST-2", "a next outside of an indirect table", Times(3), next_outside_table).needs(INDIRECT_DESC),
    Case::split("HOST-3", "an available index that jumps", Times(4), index_jump),
    Case::split("HOST-4", "more than N available and in flight", Accesses(1), index_jump_meanwhile),
    Case::split("HOST-6", "a head that is available again", Times(2), same_head),
    Case::split("HOST-22", "a used_event that is far off", Times(4), used_event),
    Case::split("HOST-23", "a used ring that the driver overwrites", Times(4), used_ring_before_start),
    Case::split("HOST-31", "direct elements and a long table after them", Times(2), direct_and_table)
        .needs(INDIRECT_DESC),
];

fn ring<'r>(a: &'r mut Attack<'_, '_>) -> &'r mut SplitRing {
    match &mut a.ring {
        Ring::Split(ring) => ring,
        Ring::Packed(_) => panic!("a case for split rings runs on split rings"),
    }
}

fn loops(a: &mut Attack<'_, '_>, n: usize) {
    let (r, w) = (a.readable(8), a.writable(8));
    let elements = match n {
        0 => vec![r],
        1 => vec![r, r, w],
        _ => vec![Descriptor { len: 0, ..r }; 2],
    };
    let mut list = a.ring.link(&elements);
    let head = list.slots.first().map_or(0, |slot| slot.index);
    if let Some(last) = list.descriptors.last_mut() {
        (last.flags, last.link) = (last.flags | NEXT, head);
    }
    a.offer_list(&list);
}

fn loop_in_table(a: &mut Attack<'_, '_>, n: usize) {
    let r = a.readable(8);
    let linked = |link| Descriptor { flags: NEXT, link, ..r };
    let table = a.raw_table(&if n == 0 { vec![linked(0)] } else { vec![linked(1), linked(2), linked(1)] });
    a.offer(&[table]);
}

fn disorder(a: &mut Attack<'_, '_>, _: usize) {
    let request = a.request();
    let (mut list, other) = (a.ring.link(&request), a.ring.link(&request));
    // The middle elements change places, and the second list comes first.
    if let [first, second, third, ..] = &mut list.slots[..] {
        core::mem::swap(second, third);
        let _ = first;
    }
    let indices: alloc::vec::Vec<u16> = list.slots.iter().map(|slot| slot.index).collect();
    for (descriptor, next) in list.descriptors.iter_mut().zip(indices.iter().skip(1)) {
        descriptor.link = *next;
    }
    a.offer_list(&other);
    a.offer_list(&list);
}

fn disorder_in_table(a: &mut Attack<'_, '_>, _: usize) {
    let r = a.readable(8);
    let linked = |link| Descriptor { flags: NEXT, link, ..r };
    let table = a.raw_table(&[linked(2), r, linked(1)]);
    a.offer(&[table]);
}

fn index_back(a: &mut Attack<'_, '_>, n: usize) {
    let r = a.readable(8);
    for _ in 0..3 {
        a.offer(&[r]);
    }
    a.serve();
    let ring = ring(a);
    ring.set_index(ring.next.wrapping_sub(pick(&[1, 2, 3], n)));
}

fn head_outside(a: &mut Attack<'_, '_>, n: usize) {
    a.offer_request();
    let size = a.scene.size;
    ring(a).publish_head(pick(&[size, size + 1, 0x7fff, u16::MAX], n));
}

fn larger_queue(a: &mut Attack<'_, '_>, n: usize) {
    let (size, r) = (a.scene.size, a.readable(8));
    a.start();
    // The descriptor lies behind the table.
    let list = a.ring.link(&[r]);
    let (addr, bytes) = (ring(a).raw.areas().descriptor(size).start(), a.ring.to_bytes(r));
    a.mem.view().poke(addr, &bytes);
    if n == 0 {
        ring(a).publish_head(size);
    } else {
        let mut list = list;
        list.descriptors.iter_mut().for_each(|descriptor| (descriptor.flags, descriptor.link) = (NEXT, size));
        a.offer_list(&list);
    }
    a.trust(Trust::Nothing);
}

fn flags(a: &mut Attack<'_, '_>, n: usize) {
    ring(a).raw.set_available_flags(pick(&[1, 2, 0xfffe, 0xffff], n));
    a.offer_request();
}

fn used_ring_before_start(a: &mut Attack<'_, '_>, n: usize) {
    let used_ring = ring(a).raw.areas().used_ring();
    let byte = pick(&[1, 0xff], n);
    let bytes = vec![byte; usize::try_from(used_ring.len()).unwrap_or(0)];
    if n < 2 {
        // The index is the device's own start, and stays.
        a.mem.view().poke(used_ring.start(), &[byte; 2]);
        let (_, rest) = bytes.split_at(4);
        a.mem.view().poke(DriverAddr(used_ring.start().0 + 4), rest);
    } else {
        a.start();
        a.mem.view().poke(used_ring.start(), &bytes);
    }
    a.offer_request();
}

fn next_outside(a: &mut Attack<'_, '_>, n: usize) {
    let size = a.scene.size;
    let request = a.request();
    let mut list = a.ring.link(&request);
    let broken = if n % 2 == 0 { list.descriptors.first_mut() } else { list.descriptors.last_mut() };
    if let Some(descriptor) = broken {
        (descriptor.flags, descriptor.link) = (descriptor.flags | NEXT, pick(&[size, u16::MAX], n / 2));
    }
    a.offer_list(&list);
}

fn next_outside_table(a: &mut Attack<'_, '_>, n: usize) {
    let r = a.readable(8);
    let linked = |link| Descriptor { flags: NEXT, link, ..r };
    let table = a.raw_table(&[linked(1), linked(pick(&[2, 8, u16::MAX], n))]);
    a.offer(&[table]);
}

fn index_jump(a: &mut Attack<'_, '_>, n: usize) {
    a.offer_request();
    let size = a.scene.size;
    ring(a).set_index(pick(&[size + 1, 0x7fff, 0x8000, u16::MAX], n));
}

fn index_jump_meanwhile(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    a.offer_request();
    let index = ring(a).next.wrapping_add(a.scene.size);
    let field = ring(a).raw.areas().available_index().start();
    a.poke_at(n, field, &index.to_le_bytes());
}

fn same_head(a: &mut Attack<'_, '_>, n: usize) {
    let list = a.offer_request();
    let head = list.slots.first().map_or(0, |slot| slot.index);
    let size = usize::from(a.scene.size);
    for _ in 1..pick(&[2, size], n) {
        ring(a).publish_head(head);
    }
}

fn used_event(a: &mut Attack<'_, '_>, n: usize) {
    for round in 0..3 {
        ring(a).raw.set_used_event(pick(&[0x8000, u16::MAX, 0x7fff, 5], n + round));
        a.offer_request();
        a.serve();
    }
}

fn direct_and_table(a: &mut Attack<'_, '_>, n: usize) {
    let (size, r) = (usize::from(a.scene.size), a.readable(4));
    let table = a.table(&vec![r; pick(&[2, size], n)]);
    let mut elements = vec![r; size - 1];
    elements.push(table);
    a.offer(&elements);
}
