//! Configurations of queues, areas and features that a device must refuse, or must survive.

use virtio_mem_traits::{DriverAddr, DriverRange};

use super::attack::Attack;
use super::case::Runs::Times;
use super::case::{Case, pick};
use super::ledger::Trust;
use crate::features::{IN_ORDER, RING_PACKED, VERSION_1};

pub(super) const CASES: &[Case] = &[
    Case::both("DRV-FEAT-1", "a feature that was not offered", Times(2), feature_not_offered),
    Case::both("DRV-FEAT-2", "features that nobody defined", Times(3), feature_undefined),
    Case::both("DRV-FEAT-3", "no VERSION_1", Times(1), no_version_1),
    Case::both("DRV-FEAT-4", "areas that the device cannot access", Times(3), area_elsewhere),
    Case::each(["DRV-CFG-1", "DRV-CFG-2"], "areas that are not aligned", Times(8), misaligned),
    Case::both("DRV-CFG-3", "a size that no queue has", Times(4), bad_size),
    Case::both("DRV-CFG-4", "a size above the device's limit", Times(2), size_above_limit),
    Case::both("DRV-CFG-5", "areas that are not set", Times(4), area_unset),
    Case::both("DRV-RST-2", "a queue that is not set up again after a reset", Times(4), not_set_up_again),
    Case::both("HOST-13", "areas that overflow or are not in memory", Times(3 * 5), area_not_in_memory),
    Case::both("HOST-15", "areas over each other", Times(4), areas_overlap),
];

/// Returns one of the area's addresses.
fn area<'s>(a: &'s mut Attack<'_, '_>, n: usize) -> &'s mut DriverAddr {
    let setup = &mut a.setup;
    [&mut setup.descriptor_area, &mut setup.driver_area, &mut setup.device_area].into_iter().nth(n % 3).expect("n < 3")
}

fn feature_not_offered(a: &mut Attack<'_, '_>, n: usize) {
    // Behind the bits of all devices, the second one is a device type's own.
    let feature = pick(&[IN_ORDER, 1 << 5], n);
    if a.scene.offered & feature == 0 {
        a.setup.features |= feature;
        a.trust(Trust::Nothing);
    }
}

fn feature_undefined(a: &mut Attack<'_, '_>, n: usize) {
    a.setup.features |= pick(&[1 << 63, 1 << 30 | 1 << 24 | 1 << 27, u64::MAX << 44], n);
    a.trust(Trust::Nothing);
}

fn no_version_1(a: &mut Attack<'_, '_>, _: usize) {
    a.setup.features &= !VERSION_1;
    a.is_idle();
}

fn area_elsewhere(a: &mut Attack<'_, '_>, n: usize) {
    let beyond = a.mem.range().after(u64::MAX).start();
    *area(a, n) = DriverAddr(beyond.0 + 0x1000);
    a.is_idle();
}

fn misaligned(a: &mut Attack<'_, '_>, n: usize) {
    // A driver area of a split ring needs two bytes only.
    let second = if a.ring.is_packed() { 2 } else { 1 };
    let (which, by) = pick(&[(0, 1), (0, 2), (0, 4), (0, 8), (1, 1), (1, second), (2, 1), (2, 2)], n);
    area(a, which).0 += by;
    a.is_idle();
}

fn bad_size(a: &mut Attack<'_, '_>, n: usize) {
    let no_power = if a.ring.is_packed() { 0x8002 } else { 3 };
    a.setup.size = pick(&[0, no_power, 0x8001, 0xffff], n);
    a.setup.max_size = 0x8000;
    a.is_idle();
}

fn size_above_limit(a: &mut Attack<'_, '_>, n: usize) {
    a.setup.size *= pick(&[2, 8], n);
    a.is_idle();
}

fn area_unset(a: &mut Attack<'_, '_>, n: usize) {
    match n {
        3 => (0..3).for_each(|n| *area(a, n) = DriverAddr(0)),
        n => *area(a, n) = DriverAddr(0),
    }
    a.is_idle();
}

fn not_set_up_again(a: &mut Attack<'_, '_>, n: usize) {
    a.offer_request();
    a.serve();
    area_unset(a, n);
    if n == 3 {
        a.setup.size = 0;
    }
    a.restart();
}

fn area_not_in_memory(a: &mut Attack<'_, '_>, n: usize) {
    let range = a.mem.range();
    let end = range.after(u64::MAX).start().0;
    // The last one has its first bytes in memory.
    let addr = pick(&[!0xf, (u64::MAX << 5) - 0x20, 0x10, end, end - 16], n / 3);
    *area(a, n) = DriverAddr(addr);
    // Packed event areas have four bytes, and those are in memory.
    a.is_idle();
}

fn areas_overlap(a: &mut Attack<'_, '_>, n: usize) {
    let [descriptors, driver, device] = a.ring.areas().map(DriverRange::start);
    let table = if a.scene.features & RING_PACKED == 0 { descriptors } else { DriverAddr(descriptors.0 + 16) };
    let choices = [
        [descriptors, table, device],
        [descriptors, driver, table],
        [descriptors, DriverAddr(descriptors.0 + 64), DriverAddr(descriptors.0 + 64)],
        [descriptors, descriptors, descriptors],
    ];
    let areas = pick(&choices, n);
    a.ring.place(areas);
    [a.setup.descriptor_area, a.setup.driver_area, a.setup.device_area] = areas;
    a.trust(Trust::Nothing);
    a.offer_request();
}
