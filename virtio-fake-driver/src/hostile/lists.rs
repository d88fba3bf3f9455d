//! Lists of elements that no driver should make, in both formats.

use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::Access;

use super::attack::Attack;
use super::case::Runs::Times;
use super::case::{Case, pick};
use super::descriptor::{Descriptor, NEXT, WRITE};
use super::ledger::Trust;

pub(super) const CASES: &[Case] = &[
    Case::each(["DRV-FRM-1", "DRV-PSG-2"], "readable elements after writable ones", Times(4), readable_after_writable),
    Case::both("DRV-FRM-2", "as many elements as the ring has descriptors", Times(2), all_descriptors),
    Case::split("DRV-DESC-1", "more than 2^32 bytes", Times(3), too_many_bytes),
    Case::both("DRV-FEAT-4", "elements that the device cannot access", Times(8), nowhere),
    Case::both("HOST-9", "elements that end beyond 2^64", Times(6), beyond_the_end),
    Case::both("HOST-10", "elements that end where memory does", Times(2), at_the_end),
    Case::both("HOST-11", "elements over a hole or nothing", Times(8), nowhere),
    Case::both("HOST-11", "an element with a hole in it", Times(2), hole),
    Case::both("HOST-12", "elements in memory without the right", Times(6), without_right),
    Case::both("HOST-14", "elements of length 0", Times(6), empty_elements),
    Case::both("HOST-15", "elements over the rings", Times(6), over_rings),
    Case::both("HOST-16", "readable and writable elements over each other", Times(2), over_each_other),
    Case::both("HOST-17", "descriptors with all bits set", Times(2), all_bits),
    Case::both("HOST-17", "elements of 2^32 - 1 bytes", Times(3), too_many_bytes),
    Case::both("HOST-28", "a malformed list, and kicks", Times(2), malformed_and_kicks),
    Case::both("HOST-29", "malformed lists between good ones", Times(2), malformed_between_good),
];

fn readable_after_writable(a: &mut Attack<'_, '_>, n: usize) {
    let (r, w) = (a.readable(16), a.writable(16));
    let elements = match n {
        0 => vec![w, r],
        1 => vec![r, w, r],
        2 => vec![r, w, r, w],
        // What the device type expects, with a readable end.
        _ => [a.request(), vec![r]].concat(),
    };
    a.offer(&elements);
}

fn all_descriptors(a: &mut Attack<'_, '_>, n: usize) {
    a.is_legal();
    let elements: Vec<_> = (0..a.scene.size).map(|_| if n == 0 { a.readable(1) } else { a.writable(1) }).collect();
    a.offer(&elements);
}

fn too_many_bytes(a: &mut Attack<'_, '_>, n: usize) {
    let (r, w) = (a.readable(16), a.writable(16));
    let huge = |element| Descriptor { len: u32::MAX, ..element };
    let elements = match n {
        0 => vec![huge(r), huge(r)],
        1 => vec![r, huge(w), huge(w)],
        _ => vec![huge(r), huge(w)],
    };
    a.offer(&elements);
}

/// Puts an element at an address where nothing is: instead of the last one of a request, or of all.
fn nowhere(a: &mut Attack<'_, '_>, n: usize) {
    let beyond = a.mem.range().after(u64::MAX).start().0;
    let addr = pick(&[0, beyond, 0xfee0_0000, u64::MAX - 0xffff], n / 2);
    let mut elements = a.request();
    let all = if n % 2 == 0 { 0 } else { elements.len() - 1 };
    elements.iter_mut().skip(all).for_each(|element| element.addr = addr);
    a.offer(&elements);
}

fn beyond_the_end(a: &mut Attack<'_, '_>, n: usize) {
    let addr = pick(&[u64::MAX, u64::MAX - 7, u64::MAX - 15], n / 2);
    let mut elements = a.request();
    let skipped = if n % 2 == 0 { 0 } else { elements.len() - 1 };
    for element in elements.iter_mut().skip(skipped) {
        (element.addr, element.len) = (addr, 17);
    }
    a.offer(&elements);
}

fn at_the_end(a: &mut Attack<'_, '_>, n: usize) {
    a.is_legal();
    let addr = a.mem.range().after(u64::MAX).start().0 - 16;
    let flags = if n == 0 { 0 } else { WRITE };
    a.offer(&[Descriptor { addr, len: 16, flags, link: 0 }]);
}

fn hole(a: &mut Attack<'_, '_>, n: usize) {
    let elements = a.request();
    let element = if n == 0 { elements.first() } else { elements.last() };
    let Some(range) = element.and_then(|element| element.range()) else { return };
    let half = range.len() / 2;
    a.mem.restrict(range.after(half).prefix(half.min(4)), None);
    a.offer(&elements);
}

fn without_right(a: &mut Attack<'_, '_>, n: usize) {
    let elements = a.request();
    // All elements, or the last one of its direction.
    let writable = n % 2 == 0;
    let left = if writable { Access::Read } else { Access::Write };
    let of_direction = elements.iter().rev().filter(|element| (element.flags & WRITE != 0) == writable);
    let count = if n / 2 == 0 { usize::MAX } else { 1 };
    for range in of_direction.take(count).filter_map(|element| element.range()) {
        a.mem.restrict(if n / 2 == 2 { range.after(range.len() / 2) } else { range }, Some(left));
    }
    a.offer(&elements);
}

fn empty_elements(a: &mut Attack<'_, '_>, n: usize) {
    let mut elements = a.request();
    let empty = |flags, addr| Descriptor { addr, len: 0, flags, link: 0 };
    match n {
        0 => elements = vec![empty(0, 0)],
        1 => elements = vec![empty(WRITE, u64::MAX)],
        2 => elements.insert(0, empty(0, 0)),
        3 => elements.push(empty(WRITE, 0x10)),
        4 => elements = (0..a.scene.size).map(|_| empty(0, 0)).collect(),
        _ => elements.iter_mut().for_each(|element| element.len = 0),
    }
    a.offer(&elements);
}

fn over_rings(a: &mut Attack<'_, '_>, n: usize) {
    a.trust(Trust::Nothing);
    let area = pick(&a.ring.areas(), n);
    let flags = if n < 3 { 0 } else { WRITE };
    let len = u32::try_from(area.len()).unwrap_or(u32::MAX);
    let mut elements = a.request();
    elements.retain(|element| flags == 0 || element.flags & WRITE == 0);
    elements.push(Descriptor { addr: area.start().0, len, flags, link: 0 });
    elements.sort_by_key(|element| element.flags & WRITE);
    a.offer(&elements);
}

fn over_each_other(a: &mut Attack<'_, '_>, n: usize) {
    let w = a.writable(32);
    let r = Descriptor { flags: 0, ..w };
    let shifted = Descriptor { addr: w.addr + 8, len: 16, ..w };
    a.offer(&if n == 0 { vec![r, w] } else { vec![r, shifted, w] });
}

fn all_bits(a: &mut Attack<'_, '_>, n: usize) {
    let all = Descriptor { addr: u64::MAX, len: u32::MAX, flags: u16::MAX, link: u16::MAX };
    let mut elements = a.request();
    elements.truncate(n);
    elements.push(all);
    let mut list = a.ring.link(&elements);
    if a.ring.is_packed() {
        // Both flags would mean that it is not available. NEXT would lead on to whatever is there.
        list.descriptors.last_mut().into_iter().for_each(|last| last.flags &= !NEXT);
    } else {
        list.descriptors.last_mut().into_iter().for_each(|last| *last = all);
    }
    a.offer_list(&list);
}

fn malformed(a: &mut Attack<'_, '_>) -> Vec<Descriptor> {
    let (r, w) = (a.readable(8), a.writable(8));
    vec![w, r]
}

fn malformed_and_kicks(a: &mut Attack<'_, '_>, n: usize) {
    let elements = malformed(a);
    for _ in 0..=n {
        a.offer(&elements);
    }
    for _ in 0..5 {
        a.serve();
    }
}

fn malformed_between_good(a: &mut Attack<'_, '_>, n: usize) {
    let (bad, r) = (malformed(a), a.readable(8));
    a.offer(&[r]);
    a.offer(&bad);
    a.offer(&[r]);
    if n == 1 {
        a.serve();
        a.offer(&[Descriptor { len: u32::MAX, ..r }]);
        a.offer(&[r]);
    }
}
