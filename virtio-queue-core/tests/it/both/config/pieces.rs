//! Areas that are in pieces, wherever what is accessed at once ends.

use std::rc::Rc;

use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::{Any, FixtureOptions, Packed, Split, TestMem};

use super::{Area, Areas};
use crate::support::{EVENT_IDX, INDIRECT, for_each_format, smoke};

/// Takes a queue whose areas are cut at those offsets a few times round its ring.
fn check_cut<F: Areas>(size: u16, features: u64, offsets: [&[u64]; 3]) {
    let options = FixtureOptions::<F> { size, features, memory_len: 1 << 16, ..Default::default() };
    let fixture = options.build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        for (Area { range, .. }, offsets) in F::areas(driver).iter().zip(offsets) {
            offsets.iter().for_each(|offset| mem.split_at(range.after(*offset).start()));
        }
        mem
    });
    smoke(&mut fixture.unwrap(), 5 * usize::from(size));
}

/// LAY-4, HOST-32: each area in two pieces, cut at every place where a field ends. A descriptor may be cut anywhere.
#[test]
fn split_area_in_two_pieces_works() {
    for features in [INDIRECT, INDIRECT | EVENT_IDX] {
        let check = |offsets: [&[u64]; 3]| {
            check_cut::<Split>(4, features, offsets);
            check_cut::<Any>(4, features, offsets);
        };
        (1..64).for_each(|offset| check([&[offset], &[], &[]]));
        (2..14).step_by(2).for_each(|offset| check([&[], &[offset], &[]]));
        (4..38).step_by(4).chain([2]).for_each(|offset| check([&[], &[], &[offset]]));
    }
}

/// LAY-4, HOST-32: the ring in two pieces, cut at every multiple of 8 bytes: an address ends there, and a descriptor.
/// The rest of one is accessed at once. The other areas are one field.
#[test]
fn packed_ring_in_two_pieces_works() {
    for features in [INDIRECT, INDIRECT | EVENT_IDX] {
        for offset in (8..64).step_by(8) {
            check_cut::<Packed>(4, features, [&[offset], &[], &[]]);
            check_cut::<Any>(4, features | RING_PACKED, [&[offset], &[], &[]]);
        }
    }
}

fn check_scattered<F: Areas>(features: u64) {
    let every = |step: usize| (step as u64..4096).step_by(step).collect::<Vec<_>>();
    check_cut::<F>(256, features, [&every(16), &every(64), &every(64)]);
}

/// LAY-4: a descriptor here, a few entries there, and not one of the areas in one piece.
#[test]
fn areas_in_many_pieces_work() {
    for_each_format!(check_scattered(EVENT_IDX));
}
