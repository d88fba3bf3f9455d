//! Indirect tables that no driver should make, in both formats.

use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::DriverAddr;

use super::attack::Attack;
use super::case::Runs::Times;
use super::case::{Case, pick};
use super::descriptor::{Descriptor, INDIRECT, NEXT, WRITE};
use super::ledger::Trust;
use crate::features::INDIRECT_DESC;
use crate::{packed, split};

pub(super) const CASES: &[Case] = &[
    Case::each(["DRV-IND-1", "DRV-PIND-1"], "tables without the feature", Times(2), without_feature)
        .without(INDIRECT_DESC),
    Case::both("DRV-INIT-2", "features that change after FEATURES_OK", Times(2), without_feature)
        .without(INDIRECT_DESC),
    Case::each(["DRV-IND-2", "DRV-PIND-2"], "a table in a table", Times(2), nested).needs(INDIRECT_DESC),
    Case::each(["DRV-IND-3", "DRV-PIND-3"], "tables longer than the device allows", Times(4), too_long)
        .needs(INDIRECT_DESC),
    Case::both("DRV-FRM-2", "very many elements", Times(4), too_long).needs(INDIRECT_DESC),
    Case::packed("DRV-PSG-1", "more elements than the device allows", Times(4), too_long).needs(INDIRECT_DESC),
    Case::each(["DRV-IND-4", "DRV-PIND-4"], "a table that is not the whole rest", Times(5), table_and_next)
        .needs(INDIRECT_DESC),
    Case::both("HOST-7", "tables of no whole number of entries", Times(5), odd_length).needs(INDIRECT_DESC),
    Case::both("HOST-8", "tables without entries, or with too many", Times(5), bad_count).needs(INDIRECT_DESC),
    Case::both("HOST-9", "tables that end beyond 2^64", Times(3), beyond_the_end).needs(INDIRECT_DESC),
    Case::both("HOST-10", "a table that ends where memory does", Times(1), at_the_end).needs(INDIRECT_DESC),
    Case::both("HOST-11", "tables over a hole or nothing", Times(5), nowhere).needs(INDIRECT_DESC),
    Case::both("HOST-14", "tables of elements of length 0", Times(2), empty_elements).needs(INDIRECT_DESC),
    Case::both("HOST-15", "tables over the rings and over their buffers", Times(5), over_others).needs(INDIRECT_DESC),
    Case::both("HOST-17", "entries with all bits set", Times(2), all_bits).needs(INDIRECT_DESC),
    Case::both("HOST-27", "a table in the layout of the other format", Times(1), other_layout).needs(INDIRECT_DESC),
];

fn without_feature(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request();
    let table = a.table(&request);
    let r = a.readable(8);
    a.offer(&if n == 0 { vec![table] } else { vec![r, table] });
}

fn nested(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request();
    let inner = a.table(&request);
    let r = a.readable(8);
    let outer = a.table(&if n == 0 { vec![inner] } else { vec![r, inner] });
    a.offer(&[outer]);
}

fn too_long(a: &mut Attack<'_, '_>, n: usize) {
    let count = pick(&[usize::from(a.scene.size) + 1, 64, 300, 300], n);
    let element = if n == 3 { a.writable(1) } else { a.readable(1) };
    let table = a.table(&vec![element; count]);
    a.offer(&[table]);
}

fn table_and_next(a: &mut Attack<'_, '_>, n: usize) {
    let (r, w) = (a.readable(8), a.writable(8));
    let (first, second) = (a.table(&[r]), a.table(&[w]));
    let elements = match n {
        0 => vec![first, w],
        1 => vec![r, second, w],
        2 => vec![first, second],
        3 => vec![Descriptor { flags: INDIRECT | WRITE, ..first }, w],
        _ => vec![first; usize::from(a.scene.size)],
    };
    a.offer(&elements);
}

fn odd_length(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request();
    let table = a.table(&request);
    a.offer(&[Descriptor { len: pick(&[1, 15, 17, table.len - 1, table.len + 8], n), ..table }]);
}

fn bad_count(a: &mut Attack<'_, '_>, n: usize) {
    let request = a.request();
    let table = a.table(&request);
    let len = pick(&[0, 16 << 16, !15, 16 << 15, 16 * 500], n);
    a.offer(&[Descriptor { len, ..table }]);
}

fn beyond_the_end(a: &mut Attack<'_, '_>, n: usize) {
    let addr = pick(&[u64::MAX - 15, u64::MAX - 31, u64::MAX - 8], n);
    a.offer(&[Descriptor { addr, len: 64, flags: INDIRECT, link: 0 }]);
}

fn at_the_end(a: &mut Attack<'_, '_>, _: usize) {
    a.is_legal();
    let r = a.readable(8);
    let addr = a.mem.range().after(u64::MAX).start().0 - 16;
    a.mem.view().poke(DriverAddr(addr), &a.ring.to_bytes(r));
    a.offer(&[Descriptor { addr, len: 16, flags: INDIRECT, link: 0 }]);
}

fn nowhere(a: &mut Attack<'_, '_>, n: usize) {
    let beyond = a.mem.range().after(u64::MAX).start().0;
    // The last one has its first entry in memory.
    let addr = pick(&[0, beyond, 0xfee0_0000, beyond - 16, beyond - 24], n);
    a.offer(&[Descriptor { addr, len: 48, flags: INDIRECT, link: 0 }]);
}

fn empty_elements(a: &mut Attack<'_, '_>, n: usize) {
    let empty = Descriptor { addr: pick(&[0, u64::MAX], n), ..Descriptor::default() };
    let size = usize::from(a.scene.size);
    let table = a.table(&vec![empty; pick(&[size, 200], n)]);
    a.offer(&[table]);
}

fn over_others(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let [descriptors, driver, device] = a.ring.areas();
    let addr = pick(&[descriptors, driver, device], n).start().0;
    let mut table = Descriptor { addr, len: 48, flags: INDIRECT, link: 0 };
    if n >= 3 {
        let entries = vec![a.writable(8); 3];
        table = a.table(&entries);
        // The table, or the ring, is a writable element of itself.
        let addr = if n == 3 { table.addr } else { descriptors.start().0 };
        let itself = a.ring.to_bytes(Descriptor { addr, len: 48, flags: WRITE | NEXT, link: 1 });
        a.mem.view().poke(DriverAddr(table.addr), &itself);
    }
    a.offer(&[table]);
}

fn all_bits(a: &mut Attack<'_, '_>, n: usize) {
    let all = Descriptor { addr: u64::MAX, len: u32::MAX, flags: u16::MAX, link: u16::MAX };
    let r = a.readable(8);
    let linked = Descriptor { flags: NEXT, link: 1, ..r };
    let table = a.raw_table(&if n == 0 { vec![all; 4] } else { vec![linked, all] });
    a.offer(&[table]);
}

fn other_layout(a: &mut Attack<'_, '_>, _: usize) {
    let entries: Vec<Descriptor> = a.request();
    let table = a.raw_table(&entries);
    for (place, entry) in (table.addr..).step_by(16).zip(entries) {
        let Descriptor { addr, len, flags, .. } = entry;
        let addr = DriverAddr(addr);
        let bytes = if a.ring.is_packed() {
            split::Descriptor { addr, len, flags, next: 1 }.to_bytes()
        } else {
            packed::Descriptor { addr, len, id: 1, flags }.to_bytes()
        };
        a.mem.view().poke(DriverAddr(place), &bytes);
    }
    a.offer(&[table]);
}
