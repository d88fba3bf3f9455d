//! Memory that changes while the device is at work.

use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverRange};

use super::attack::Attack;
use super::case::Runs::{Accesses, Times};
use super::case::{Case, pick};
use super::descriptor::{Descriptor, INDIRECT, List, NEXT, WRITE};
use super::ledger::Trust;
use super::ring::Ring;
use super::ring::packed::available;
use crate::features::INDIRECT_DESC;

/// The changes of a descriptor.
const CHANGES: [fn(Descriptor) -> Descriptor; 8] = [
    |descriptor| Descriptor { len: u32::MAX, ..descriptor },
    |descriptor| Descriptor { len: 0, ..descriptor },
    |descriptor| Descriptor { addr: 0, ..descriptor },
    |descriptor| Descriptor { flags: descriptor.flags ^ WRITE, ..descriptor },
    |descriptor| Descriptor { flags: descriptor.flags ^ NEXT, ..descriptor },
    |descriptor| Descriptor { link: u16::MAX, ..descriptor },
    |descriptor| Descriptor { flags: descriptor.flags | INDIRECT, ..descriptor },
    |descriptor| Descriptor { len: descriptor.len + 1, ..descriptor },
];

/// For each change, for good and for one access.
const WAYS: usize = 2 * CHANGES.len();

pub(super) const CASES: &[Case] = &[
    Case::both("HOST-20", "the second descriptor, at every access", Accesses(WAYS), second_descriptor),
    Case::both("HOST-20", "the first descriptor, at every access", Accesses(WAYS), first_descriptor),
    Case::both("HOST-20", "an entry of a table, at every access", Accesses(WAYS), entry).needs(INDIRECT_DESC),
    Case::packed("DRV-PDESC-2", "a descriptor that is available, at every access", Accesses(WAYS), second_descriptor),
    Case::both("HOST-20", "the driver's fields, at every access", Accesses(4), fields),
    Case::both("HOST-20", "random bytes at random accesses", Times(64), random),
    Case::both("HOST-20", "random bytes from another thread", Times(16), other_thread),
    Case::both("DRV-CLEAN-1", "the bytes of a buffer, at every access", Accesses(2), contents),
    Case::split("DRV-BAR-1", "an index before its entry", Accesses(1), index_first),
    Case::packed("DRV-PBAR-1", "flags before the rest of a list", Accesses(1), flags_first),
    Case::packed("DRV-PSG-4", "a first descriptor before the others", Accesses(1), flags_first),
];

fn change_slot(a: &mut Attack<'_, '_>, list: &List, which: usize, n: usize) {
    a.trust(if a.ring.is_packed() { Trust::Nothing } else { Trust::Ids });
    let (Some(slot), Some(descriptor)) = (list.slots.get(which), list.descriptors.get(which)) else { return };
    let flags = if a.ring.is_packed() { available(*slot) } else { 0 };
    let place = a.ring.descriptor(*slot).start();
    let descriptor = Descriptor { flags: descriptor.flags | flags, ..*descriptor };
    change(a, place, descriptor, n);
}

/// Changes a descriptor at an access, for good or for that access alone.
fn change(a: &mut Attack<'_, '_>, place: DriverAddr, descriptor: Descriptor, n: usize) {
    let (at, way) = (n / WAYS, n % WAYS);
    let changed = pick(&CHANGES, way)(descriptor);
    let (changed, unchanged) = (a.ring.to_bytes(changed), a.ring.to_bytes(descriptor));
    a.poke_at(at, place, &changed);
    if way >= CHANGES.len() {
        a.poke_at(at + 1, place, &unchanged);
    }
}

fn first_descriptor(a: &mut Attack<'_, '_>, n: usize) {
    let list = a.offer_request();
    change_slot(a, &list, 0, n);
}

fn second_descriptor(a: &mut Attack<'_, '_>, n: usize) {
    let list = a.offer_request();
    change_slot(a, &list, 1, n);
}

fn entry(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Ids);
    let request = a.request();
    let table = a.table(&request);
    a.offer(&[table]);
    let Some(second) = request.get(1) else { return };
    let flags = if a.ring.is_packed() || request.len() == 2 { 0 } else { NEXT };
    let descriptor = Descriptor { flags: second.flags | flags, link: 2, ..*second };
    change(a, DriverAddr(table.addr + 16), descriptor, n);
}

/// Changes the available ring, or the event structure and the flags of a later slot.
fn fields(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    a.offer_request();
    let (at, way) = (n / 4, n % 4);
    let (field, value) = match &a.ring {
        Ring::Split(ring) => {
            let areas = ring.raw.areas();
            let fields =
                [areas.available_index(), areas.available_entry(0), areas.used_event(), areas.available_flags()];
            (pick(&fields, way), pick(&[ring.next + 1, u16::MAX, u16::MAX, u16::MAX], way))
        }
        Ring::Packed(ring) => {
            let areas = ring.raw.areas();
            let next = ring.next.index;
            let fields = [areas.flags(next), areas.flags(0), areas.id(1), areas.driver_events().prefix(2)];
            (pick(&fields, way), pick(&[available(ring.next), u16::MAX, u16::MAX, u16::MAX], way))
        }
    };
    a.poke_at(at, field.start(), &value.to_le_bytes());
}

/// Returns all that the driver writes and the device reads.
fn targets(a: &Attack<'_, '_>, buffers: &[Descriptor]) -> Vec<DriverRange> {
    let [descriptors, driver, _] = a.ring.areas();
    let mut targets = vec![descriptors, driver];
    targets.extend(buffers.iter().filter(|buffer| buffer.flags & WRITE == 0).filter_map(|buffer| buffer.range()));
    targets.retain(|target| !target.is_empty());
    targets
}

/// Offers requests of both kinds, and returns what the driver changes meanwhile.
fn offer_targets(a: &mut Attack<'_, '_>) -> Vec<DriverRange> {
    a.trust(Trust::Nothing);
    let (request, table) = (a.request(), a.request_in_table());
    a.offer(&table);
    a.offer(&request);
    a.start();
    targets(a, &[request, table].concat())
}

fn random(a: &mut Attack<'_, '_>, n: usize) {
    let targets = offer_targets(a);
    a.mem.with_schedule(|schedule| schedule.poke_randomly(n as u64, targets));
}

fn other_thread(a: &mut Attack<'_, '_>, n: usize) {
    let targets = offer_targets(a);
    a.race(n as u64, targets);
}

fn contents(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request_in_table();
    let buffers = a.request();
    a.offer(&buffers);
    a.offer(&request);
    let byte = pick(&[0, 0xff], n);
    for element in buffers.iter().filter(|element| element.flags & WRITE == 0) {
        a.poke_at(n / 2, DriverAddr(element.addr), &vec![byte; element.len as usize]);
    }
}

/// The entry is that of an earlier list at first. Both have one element, so that both make sense.
fn index_first(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let r = a.readable(8);
    a.offer(&[r]);
    a.serve();
    let list = a.ring.link(&[r]);
    a.ring.write(&list);
    if let (Ring::Split(ring), Some(head)) = (&mut a.ring, list.slots.first()) {
        let (next, entry) = (ring.next, ring.raw.areas().available_entry(ring.next % a.scene.size));
        ring.set_index(next + 1);
        a.poke_at(n, entry.start(), &head.index.to_le_bytes());
    }
}

fn flags_first(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let request = a.request();
    let list = a.ring.link(&request);
    a.ring.publish(&list);
    for (slot, descriptor) in list.slots.iter().zip(&list.descriptors) {
        let flags = descriptor.flags | available(*slot);
        let bytes = a.ring.to_bytes(Descriptor { flags, ..*descriptor });
        let place = a.ring.descriptor(*slot).start();
        a.poke_at(n, place, &bytes);
    }
}
