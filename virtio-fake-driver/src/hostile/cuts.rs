//! Memory in pieces, with too few rights, and that goes away.

use alloc::vec;

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use super::attack::Attack;
use super::case::Runs::{Accesses, Bytes, Times, Translations};
use super::case::{Case, pick};
use super::ledger::Trust;
use crate::features::INDIRECT_DESC;

pub(super) const CASES: &[Case] = &[
    Case::both("HOST-32", "a border at every byte", Bytes, border),
    Case::both("HOST-32", "pieces of one byte", Times(2), single_bytes),
    Case::both("HOST-32", "a translation that fails", Translations(2), failing_translation),
    Case::both("HOST-12", "areas with exactly the rights that are needed", Times(1), exact_rights),
    Case::both("HOST-13", "areas without a right", Times(9), area_without_right),
    Case::both("HOST-13", "an area that goes away later", Times(3), area_goes_away),
    Case::both("DRV-RST-1", "memory that goes away while it is in use", Accesses(1), memory_goes_away),
];

fn border(a: &mut Attack<'_, '_>, n: usize) {
    let place = a.mem.range().after(a.setup.descriptor_area.0 - a.mem.range().start().0 + n as u64).start();
    if a.ring.areas().iter().all(|area| area.offset_of(place).is_none_or(|offset| offset == 0)) {
        a.is_legal();
    }
    a.mem.split_at(place);
    let request = a.request_in_table();
    a.offer(&request);
}

fn single_bytes(a: &mut Attack<'_, '_>, n: usize) {
    a.is_legal();
    let request = a.request();
    for element in &request {
        (0..element.len).for_each(|offset| a.mem.split_at(DriverAddr(element.addr + u64::from(offset))));
    }
    let elements = if n == 0 || !a.has(INDIRECT_DESC) { request } else { vec![a.table(&request)] };
    a.offer(&elements);
}

fn failing_translation(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request_in_table();
    a.offer(&request);
    a.start();
    a.mem.with_schedule(|schedule| schedule.fail_translation((n / 2) as u64, n % 2 == 1));
}

/// Returns the rights that a device needs for the areas.
fn needed(a: &Attack<'_, '_>) -> [Access; 3] {
    if a.ring.is_packed() {
        [Access::ReadWrite, Access::Read, Access::Write]
    } else {
        [Access::Read, Access::Read, Access::Write]
    }
}

fn exact_rights(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    for (area, access) in a.ring.areas().into_iter().zip(needed(a)) {
        a.mem.restrict(area, Some(access));
    }
    a.offer_request();
}

fn area_without_right(a: &mut Attack<'_, '_>, n: usize) {
    let area = pick(&a.ring.areas(), n);
    a.mem.restrict(area, pick(&[None, Some(Access::Read), Some(Access::Write)], n / 3));
    a.offer_request();
}

fn area_goes_away(a: &mut Attack<'_, '_>, n: usize) {
    let area = pick(&a.ring.areas(), n);
    let half = (area.len() / 2) & !3;
    a.mem.split_at(area.after(half).start());
    a.offer_request();
    a.start();
    a.mem.restrict(area.after(half), None);
}

fn memory_goes_away(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let request = a.request_in_table();
    a.offer(&request);
    a.start();
    let all: DriverRange = a.mem.range();
    a.mem.with_schedule(|schedule| schedule.unmap_at(n as u64, all));
}
