//! Memory that changes while the device looks at it (HOST-20): each field is read once, and decided on by what was
//! read.

use virtio_fake_driver::TestMem;
use virtio_fake_driver::split::{Descriptor, RawSplit};
use virtio_mem_traits::{DriverAddr, TranslateError};
use virtio_queue_core::{ChainError, ChainErrorKind, FatalError, ReturnError};
use virtio_ring::split::DescriptorIndex;

use crate::support::split::{Fixture, fixture, in_line, linked, offer, write_direct};
use crate::support::{
    INDIRECT, Plain, SPACE, WAYS, Way, range, readable, table, walk, walk_once, writable, write_table,
};

/// The reads of one fetch and one walk: the index and the entry come first.
const FIRST_DESCRIPTOR: usize = 2;

/// Checks what a fetch and a walk find if the memory changes just before read number `nth`.
#[track_caller]
fn check(fixture: &mut Fixture, way: Way, nth: usize, change: impl FnOnce(&RawSplit) + 'static, expected: &[Plain]) {
    let raw = fixture.driver.raw().clone();
    fixture.mem.on_read(nth, move |_: &TestMem| change(&raw));
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(walk_once(&chain, way), (expected.to_vec(), None), "changed before read {nth}");
}

/// The chain at heads 0 and 4: as it is at first, and as it is later.
const OLD: [Plain; 4] = [(0x10, 1, false), (0x11, 2, false), (0x12, 3, true), (0x13, 4, true)];
const NEW: [Plain; 4] = [(0x20, 5, false), (0x21, 6, false), (0x22, 7, false), (0x23, 8, true)];

fn descriptors(elements: &[Plain]) -> Vec<Descriptor> {
    let descriptor = |(addr, len, write): &Plain| match write {
        true => writable(*addr, *len as u32),
        false => readable(*addr, *len as u32),
    };
    elements.iter().map(descriptor).collect()
}

/// The first `count` elements as they were, the others as they are.
fn mixed(count: usize) -> Vec<Plain> {
    OLD[..count].iter().chain(&NEW[count..]).copied().collect()
}

/// HOST-20, DRV-CLEAN-1: everything in the chain changes at once, at any moment. Each descriptor is the old one or the
/// new one.
#[test]
fn direct_chain_changed_at_any_read_is_old_or_new() {
    for (way, nth) in WAYS.into_iter().flat_map(|way| (0..=FIRST_DESCRIPTOR + 4).map(move |nth| (way, nth))) {
        let mut fixture = fixture(4, 0);
        write_direct(fixture.driver.raw(), &in_line(0, &descriptors(&OLD)));
        offer(fixture.driver.raw(), &[0]);
        // As long as no writable element was found, the new ones may be readable.
        let old = nth.saturating_sub(FIRST_DESCRIPTOR);
        let change = |raw: &RawSplit| write_direct(raw, &in_line(0, &descriptors(&NEW)));
        check(&mut fixture, way, nth, change, &mixed(old));
    }
}

/// HOST-20, DRV-CLEAN-1: the same with an indirect table, reference included: a table that was entered is not looked up
/// again, and its length is what was read.
#[test]
fn indirect_chain_changed_at_any_read_is_old_or_new() {
    for (way, nth) in WAYS.into_iter().flat_map(|way| (0..=FIRST_DESCRIPTOR + 5).map(move |nth| (way, nth))) {
        let mut fixture = fixture(4, INDIRECT);
        let raw = fixture.driver.raw().clone();
        write_table(&raw, SPACE, &in_line(0, &descriptors(&OLD)));
        raw.set_descriptor(0, table(SPACE, 64));
        offer(&raw, &[0]);
        let entered = FIRST_DESCRIPTOR + 1;
        let change = |raw: &RawSplit| {
            write_table(raw, SPACE, &in_line(0, &descriptors(&NEW)));
            write_table(raw, SPACE + 0x1000, &in_line(0, &descriptors(&NEW[..1])));
            raw.set_descriptor(0, table(SPACE + 0x1000, 16));
        };
        let expected = if nth < entered { NEW[..1].to_vec() } else { mixed(nth - entered) };
        check(&mut fixture, way, nth, change, &expected);
    }
}

/// HOST-20: an index that jumps after it was read has no effect until it is read again; then it is an error.
#[test]
fn index_changed_after_read_has_no_effect_yet() {
    let mut fixture = fixture(4, 0);
    write_direct(fixture.driver.raw(), &descriptors(&OLD));
    offer(fixture.driver.raw(), &[1]);
    check(&mut fixture, Way::Loop, 1, |raw| raw.set_available_index(1000), &OLD[1..2]);
    let oversubscribed = FatalError::Oversubscribed { available: 999, in_flight: 0, size: 4 };
    assert_eq!(fixture.queue.next_chain().unwrap_err(), oversubscribed);
}

/// HOST-20: an index that changes before it is read is the new one.
#[test]
fn index_changed_before_read_counts() {
    let mut fixture = fixture(4, 0);
    write_direct(fixture.driver.raw(), &descriptors(&OLD));
    check(&mut fixture, Way::Loop, 0, |raw| offer(raw, &[2]), &OLD[2..3]);
}

/// HOST-20: an entry that changes after it was read, even to one out of range, has no effect; before that, it counts.
#[test]
fn entry_changed_around_read_is_old_or_new() {
    for (nth, head) in [(0, 3), (1, 3), (2, 2), (3, 2)] {
        let mut fixture = fixture(4, 0);
        write_direct(fixture.driver.raw(), &descriptors(&OLD));
        offer(fixture.driver.raw(), &[2]);
        let after = if nth < FIRST_DESCRIPTOR { 3 } else { 0xffff };
        check(&mut fixture, Way::Loop, nth, move |raw| raw.set_available_entry(0, after), &OLD[head..=head]);
    }
}

/// HOST-20, DRV-CLEAN-1: what is walked a second time may be another chain, and is checked by itself.
#[test]
fn second_walk_is_checked_by_itself() {
    let mut fixture = fixture(4, 0);
    let raw = fixture.driver.raw().clone();
    raw.set_descriptor(1, readable(1, 1));
    offer(&raw, &[1]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(walk(&chain), (vec![(1, 1, false)], None));
    raw.set_descriptor(1, linked(readable(2, 2), 9));
    let kind = ChainErrorKind::NextOutOfRange { next: DescriptorIndex(9) };
    assert_eq!(walk(&chain), (vec![(2, 2, false)], Some(ChainError { id: 1, kind })));
    raw.set_descriptor(1, writable(3, 3));
    assert_eq!(chain.return_written(4).unwrap_err(), ReturnError::TooLong { written: 4, writable: 3 });
}

/// HOST-11, DRV-RST-1: a table that is taken away between two of its entries. What is translated already goes on to be
/// read, what is not is an error.
#[test]
fn table_revoked_during_walk_is_error_or_unnoticed() {
    // A table is translated for each entry if it is at an odd address, or if each step is by itself. The third entry is
    // the one that is read just then.
    let cases = [(SPACE, false), (SPACE + 1, true)];
    for (way, (addr, noticed)) in WAYS.into_iter().flat_map(|way| cases.map(|case| (way, case))) {
        let mut fixture = fixture(4, INDIRECT);
        write_table(fixture.driver.raw(), addr, &in_line(0, &descriptors(&OLD)));
        fixture.driver.raw().set_descriptor(0, table(addr, 64));
        offer(fixture.driver.raw(), &[0]);
        fixture.mem.on_read(FIRST_DESCRIPTOR + 3, move |mem| mem.unmap(range(SPACE, 0x100)));
        let (elements, error) = walk_once(&fixture.queue.next_chain().unwrap().unwrap(), way);
        if noticed || matches!(way, Way::Step) {
            let kind = ChainErrorKind::Memory(TranslateError::Unmapped { addr: DriverAddr(addr + 48) });
            assert_eq!((elements.as_slice(), error), (&OLD[..3], Some(ChainError { id: 0, kind })));
        } else {
            assert_eq!((elements.as_slice(), error), (&OLD[..], None));
        }
    }
}
