//! Walking along chains that are as they should be, or that the device has to put up with.

use core::iter::FusedIterator;

use virtio_fake_driver::MemEvent;
use virtio_fake_driver::split::Descriptor;
use virtio_mem_traits::{Access, DriverAddr};
use virtio_queue_core::{ChainError, ChainErrorKind, Element, QueueLimits, Walk};

use crate::support::split::{
    Fixture, fixture, fixture_with_chain_len, in_line, linked, offer, used, used_since, write_direct,
};
use crate::support::{
    Everywhere, INDIRECT, Plain, SPACE, WAYS, Way, logged, range, readable, table, walk_next, walk_once, writable,
    write_table,
};

/// Checks that the chain at descriptor 0 has those elements, and that nothing of the device's concerns is wrong with
/// it.
#[track_caller]
fn check(fixture: &mut Fixture, elements: &[Plain]) {
    WAYS.into_iter().for_each(|way| check_once(fixture, way, elements));
}

#[track_caller]
fn check_once(fixture: &mut Fixture, way: Way, elements: &[Plain]) {
    let before = fixture.driver.raw().used_index();
    offer(fixture.driver.raw(), &[0]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(walk_once(&chain, way), (elements.to_vec(), None));
    drop(chain);
    assert_eq!(used_since(fixture.driver.raw(), before), [used(0, 0)]);
}

/// Writes a chain whose first `direct` descriptors are in the queue's table and the others in an indirect one.
fn write_cut(fixture: &Fixture, descriptors: &[Descriptor], direct: usize, reference: impl Fn(u64, u32) -> Descriptor) {
    let (own, others) = descriptors.split_at(direct);
    let mut own = own.to_vec();
    if !others.is_empty() {
        write_table(fixture.driver.raw(), SPACE, &in_line(0, others));
        own.push(reference(SPACE, 16 * others.len() as u32));
    }
    write_direct(fixture.driver.raw(), &in_line(0, &own));
}

/// SPLIT-DESC-6, FRAME-4, LAY-13: readable and writable elements, of any length at any address.
#[test]
fn direct_chain_yields_its_elements() {
    let mut fixture = fixture(4, 0);
    let cases: [(&[Descriptor], &[Plain]); 4] = [
        (&[readable(0x1001, 1)], &[(0x1001, 1, false)]),
        (&[writable(0x1003, 5)], &[(0x1003, 5, true)]),
        (&[readable(0, 1), readable(7, u32::MAX)], &[(0, 1, false), (7, 0xffff_ffff, false)]),
        (
            &[readable(1, 2), readable(3, 4), writable(5, 6), writable(7, 8)],
            &[(1, 2, false), (3, 4, false), (5, 6, true), (7, 8, true)],
        ),
    ];
    for (descriptors, elements) in cases {
        write_direct(fixture.driver.raw(), &in_line(0, descriptors));
        check(&mut fixture, elements);
    }
}

/// SPLIT-AVAIL-3, SPLIT-DESC-5: descriptors anywhere in the table, in any order; what the last one says of a next one
/// is nothing.
#[test]
fn direct_chain_in_disorder_followed() {
    let mut fixture = fixture(8, 0);
    let raw = fixture.driver.raw().clone();
    raw.set_descriptor(6, linked(readable(1, 1), 0));
    raw.set_descriptor(0, linked(readable(2, 2), 7));
    for next in [0, 6, 7, 8, 0x8000, u16::MAX] {
        raw.set_descriptor(7, Descriptor { next, ..writable(3, 3) });
        offer(&raw, &[6]);
        assert_eq!(walk_next(&mut fixture.queue), (vec![(1, 1, false), (2, 2, false), (3, 3, true)], None));
    }
}

/// SPLIT-DESC-8: bits without a meaning have none, in either table.
#[test]
fn undefined_flags_ignored() {
    let mut fixture = fixture(4, INDIRECT);
    for bit in (3..16).map(|bit| 1 << bit).chain([0xfff8]) {
        let spoilt = |descriptor: Descriptor| Descriptor { flags: descriptor.flags | bit, ..descriptor };
        let chain = [readable(1, 1), readable(2, 2), writable(3, 3)].map(spoilt);
        for direct in 0..=3 {
            write_cut(&fixture, &chain, direct, |addr, len| spoilt(table(addr, len)));
            check(&mut fixture, &[(1, 1, false), (2, 2, false), (3, 3, true)]);
        }
    }
}

/// SPLIT-DESC-8, SPLIT-DESC-7: they have none together with a length near 4 GiB either.
#[test]
fn undefined_flags_ignored_whatever_the_length() {
    let mut fixture = fixture(4, INDIRECT);
    for (bit, flags) in (1..32).flat_map(|bit| (0..64).step_by(2).map(move |flags| (bit, flags))) {
        let len = 1 + (u32::MAX << bit);
        fixture.driver.raw().set_descriptor(0, Descriptor { addr: DriverAddr(1), len, flags, next: 0 });
        offer(fixture.driver.raw(), &[0]);
        let expected = match flags & Descriptor::INDIRECT {
            0 => (vec![(1, len.into(), flags & Descriptor::WRITE != 0)], None),
            _ => (vec![], Some(ChainError { id: 0, kind: ChainErrorKind::TableLen { len } })),
        };
        assert_eq!(walk_next(&mut fixture.queue), expected, "{flags:#b}");
    }
}

/// SPLIT-IND-2, SPLIT-IND-4, SPLIT-IND-5, FRAME-1, REG-10: however a chain is spread over the two tables, it is the
/// same chain.
#[test]
fn indirect_after_any_number_of_direct_is_the_same_chain() {
    let mut fixture = fixture_with_chain_len(8, INDIRECT, Some(9));
    let chain: Vec<_> =
        (0..9).map(|n| if n < 4 { readable(n, n as u32 + 1) } else { writable(n, n as u32 + 1) }).collect();
    let elements: Vec<_> = (0..9).map(|n| (n, n + 1, n >= 4)).collect();
    for direct in 0..8 {
        write_cut(&fixture, &chain, direct, table);
        check(&mut fixture, &elements);
    }
}

/// SPLIT-IND-1, REG-10: WRITE on the reference to the table is nothing: what follows may still be readable.
#[test]
fn indirect_reference_with_write_is_the_same_chain() {
    let mut fixture = fixture(4, INDIRECT);
    let reference = |addr, len| Descriptor { flags: Descriptor::INDIRECT | Descriptor::WRITE, ..table(addr, len) };
    for direct in 0..3 {
        write_cut(&fixture, &[readable(1, 1), readable(2, 2), writable(3, 3)], direct, reference);
        check(&mut fixture, &[(1, 1, false), (2, 2, false), (3, 3, true)]);
    }
}

/// SPLIT-IND-3, SPLIT-IND-8: the table's entries in any order, from entry 0 on. What no entry refers to is not read,
/// and nothing is written.
#[test]
fn indirect_table_in_disorder_followed() {
    let mut fixture = fixture(4, INDIRECT);
    let garbage = Descriptor { addr: DriverAddr(u64::MAX), len: u32::MAX, flags: u16::MAX, next: u16::MAX };
    let entries = [linked(readable(1, 1), 3), writable(3, 3), garbage, linked(writable(2, 2), 1)];
    write_table(fixture.driver.raw(), SPACE, &entries);
    write_direct(fixture.driver.raw(), &[table(SPACE, 64), garbage, garbage, garbage]);
    let mem = fixture.mem.clone();
    let ((), log) = logged(&mem, || check_once(&mut fixture, Way::Fold, &[(1, 1, false), (2, 2, true), (3, 3, true)]));
    let areas = fixture.driver.areas();
    let read = |range| MemEvent::Read(range);
    let walked = [areas.descriptor(0), range(SPACE, 16), range(SPACE + 48, 16), range(SPACE + 16, 16)].map(read);
    assert_eq!(log[2..6], walked);
    let used = [MemEvent::Written(areas.used_element(0)), MemEvent::Written(areas.used_index())];
    assert_eq!(log[6..8], used);
    assert_eq!(log.len(), 9, "the last is the read of the available ring's flags");
}

/// LAY-11, REG-11, FEAT-12, HOST-20: the table at any address, each entry read once, translated for reading alone.
#[test]
fn indirect_table_at_any_address_read() {
    let mut fixture = fixture(4, INDIRECT);
    let raw = fixture.driver.raw().clone();
    for addr in SPACE..SPACE + 16 {
        write_table(&raw, addr, &in_line(0, &[readable(1, 1), writable(2, 2)]));
        raw.set_descriptor(0, table(addr, 32));
        fixture.mem.start_log();
        check_once(&mut fixture, Way::Fold, &[(1, 1, false), (2, 2, true)]);
        let log = fixture.mem.take_log();
        let rights: Vec<_> = log
            .iter()
            .filter_map(
                |event| if let MemEvent::Translate { range, access } = event { Some((range, access)) } else { None },
            )
            .collect();
        assert!(!rights.is_empty());
        for entry in [addr, addr + 16] {
            let reads = log.iter().filter(|event| **event == MemEvent::Read(range(entry, 16))).count();
            assert_eq!(reads, 1, "each entry is read once");
        }
        assert!(rights.iter().all(|(within, access)| **access == Access::Read && within.start().0 >= addr));
    }
}

/// HOST-32, LAY-4: a table in two pieces, cut at every byte.
#[test]
fn indirect_table_in_pieces_read() {
    for cut in 1..48 {
        let mut fixture = fixture(4, INDIRECT);
        fixture.mem.split_at(DriverAddr(SPACE + cut));
        write_table(fixture.driver.raw(), SPACE, &in_line(0, &[readable(1, 1), readable(2, 2), writable(3, 3)]));
        fixture.driver.raw().set_descriptor(0, table(SPACE, 48));
        check(&mut fixture, &[(1, 1, false), (2, 2, false), (3, 3, true)]);
    }
}

/// SPLIT-IND-6: the table has as many entries as its length says, be they more than the queue has descriptors.
#[test]
fn indirect_table_larger_than_queue_followed() {
    let mut fixture = fixture_with_chain_len(2, INDIRECT, Some(300));
    let entries: Vec<_> = (0..300).map(|n| readable(n, 1)).collect();
    write_table(fixture.driver.raw(), SPACE, &in_line(0, &entries));
    fixture.driver.raw().set_descriptor(0, table(SPACE, 16 * 300));
    check(&mut fixture, &(0..300).map(|n| (n, 1, false)).collect::<Vec<_>>());
}

/// HOST-14: elements without bytes are no elements, wherever they are and whatever their address.
#[test]
fn empty_elements_skipped() {
    let mut fixture = fixture(4, INDIRECT);
    for addr in [0, 1, SPACE, 1 << 63, u64::MAX] {
        let (r0, w0) = (readable(addr, 0), writable(addr, 0));
        let cases: [(&[Descriptor], &[Plain]); 7] = [
            (&[r0], &[]),
            (&[w0], &[]),
            (&[r0, w0], &[]),
            (&[r0, readable(1, 1), r0, writable(2, 2)], &[(1, 1, false), (2, 2, true)]),
            (&[readable(1, 1), w0, writable(2, 2), w0], &[(1, 1, false), (2, 2, true)]),
            (&[readable(1, 1), r0, w0], &[(1, 1, false)]),
            (&[r0, r0, r0, r0], &[]),
        ];
        for (descriptors, elements) in cases {
            for direct in 0..=descriptors.len().min(3) {
                write_cut(&fixture, descriptors, direct, table);
                check(&mut fixture, elements);
            }
        }
    }
}

/// SPLIT-DESC-4, REG-13, FRAME-2, DRV-IND-3, DRV-FRM-2: a chain of exactly as many elements as are allowed, by default
/// or by the device.
#[test]
fn chain_of_exactly_the_limit_walked() {
    for (size, limit, len) in [(1, None, 1), (8, None, 8), (256, None, 256), (8, Some(3), 3), (8, Some(1), 1)] {
        let mut fixture = fixture_with_chain_len(size, INDIRECT, limit);
        let chain: Vec<_> = (0..len).map(|n| writable(n, 1)).collect();
        let elements: Vec<_> = (0..len).map(|n| (n, 1, true)).collect();
        write_direct(fixture.driver.raw(), &in_line(0, &chain));
        check(&mut fixture, &elements);
        for direct in [0, len as usize - 1] {
            write_cut(&fixture, &chain, direct, table);
            check(&mut fixture, &elements);
        }
    }
}

/// SPLIT-DESC-7, DRV-DESC-1, REG-16: 2^32 bytes are allowed, in two elements over the same memory and otherwise.
#[test]
fn chain_of_exactly_4_gib_walked() {
    const HALF: u32 = 1 << 31;
    let mut fixture = fixture(4, INDIRECT);
    let cases: [&[Descriptor]; 5] = [
        &[readable(0, HALF), readable(0, HALF)],
        &[writable(0, HALF), writable(0, HALF)],
        &[readable(5, HALF), writable(5, HALF)],
        &[readable(0, u32::MAX), readable(0, 1), writable(0, 0)],
        &[readable(0, 1), readable(0, HALF - 1), writable(0, HALF - 1), writable(0, 1)],
    ];
    for descriptors in cases {
        let elements: Vec<_> = descriptors
            .iter()
            .filter(|descriptor| descriptor.len != 0)
            .map(|descriptor| (descriptor.addr.0, u64::from(descriptor.len), descriptor.flags & Descriptor::WRITE != 0))
            .collect();
        assert_eq!(elements.iter().map(|element| element.1).sum::<u64>(), 1 << 32);
        for direct in 0..=descriptors.len().min(3) {
            write_cut(&fixture, descriptors, direct, table);
            check(&mut fixture, &elements);
        }
    }
}

/// HOST-10, HOST-11, HOST-12, REG-12: elements are claims. One that ends at 2^64, one at address 0, and those in a hole
/// or in memory of the wrong kind are what they say; the memory decides when they are translated.
#[test]
fn elements_are_claims() {
    let mut fixture = fixture(4, 0);
    fixture.mem.unmap(range(SPACE, 8));
    fixture.mem.restrict(range(SPACE + 8, 8), Access::Read);
    let chain = [readable(0, 16), readable(SPACE, 8), writable(SPACE + 8, 8), writable(u64::MAX - 15, 16)];
    write_direct(fixture.driver.raw(), &in_line(0, &chain));
    fixture.mem.start_log();
    check(&mut fixture, &[(0, 16, false), (SPACE, 8, false), (SPACE + 8, 8, true), (u64::MAX - 15, 16, true)]);
    let log = fixture.mem.take_log();
    assert!(!log.iter().any(|event| matches!(event, MemEvent::Translate { .. })));
}

/// HOST-15: the queue's own table as an indirect table, and its rings as buffers.
#[test]
fn table_on_top_of_queue_walked() {
    let mut fixture = fixture(4, INDIRECT);
    let areas = *fixture.driver.areas();
    let used_ring = writable(areas.device_area.0, 38);
    write_direct(
        fixture.driver.raw(),
        &[table(areas.descriptor_area.0 + 16, 48), linked(readable(areas.driver_area.0, 14), 1), used_ring],
    );
    check(&mut fixture, &[(areas.driver_area.0, 14, false), (areas.device_area.0, 38, true)]);
}

/// HOST-16: a readable and a writable element in the same place.
#[test]
fn overlapping_elements_walked() {
    let mut fixture = fixture(4, 0);
    write_direct(fixture.driver.raw(), &in_line(0, &[readable(SPACE, 64), writable(SPACE, 64)]));
    check(&mut fixture, &[(SPACE, 64, false), (SPACE, 64, true)]);
}

/// FRAME-4: every walk begins at the beginning; a clone goes on from where its original is, and either goes its own
/// way.
#[test]
fn walks_are_independent() {
    let mut fixture = fixture(4, 0);
    let chain = [readable(1, 1), readable(2, 2), writable(3, 3), writable(4, 4)];
    write_direct(fixture.driver.raw(), &in_line(0, &chain));
    offer(fixture.driver.raw(), &[0]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let mut one = chain.walk();
    let lens = |walk: &mut dyn Iterator<Item = Result<Element, _>>| -> Vec<u64> {
        walk.map(|element: Result<_, ChainError>| element.unwrap().range.len()).collect()
    };
    assert_eq!(lens(&mut one.by_ref().take(1)), [1]);
    let mut two = one.clone();
    assert_eq!(lens(&mut one.by_ref().take(2)), [2, 3]);
    assert_eq!(lens(&mut two), [2, 3, 4]);
    assert_eq!(lens(&mut one), [4]);
    assert_eq!(lens(&mut chain.walk()), [1, 2, 3, 4]);
    assert_eq!((one.next(), two.next()), (None, None));
}

/// A walk that leaves to its trait what that provides.
#[derive(Clone)]
struct Plainly<W>(W);

impl<W: Iterator> Iterator for Plainly<W> {
    type Item = W::Item;

    fn next(&mut self) -> Option<W::Item> {
        self.0.next()
    }
}

impl<W: FusedIterator> FusedIterator for Plainly<W> {}

impl<W: Walk> Walk for Plainly<W> {
    fn id(&self) -> u16 {
        self.0.id()
    }
}

/// DRV-FRM-1: the provided fold is one over every element, and ends with the error of a malformed chain.
#[test]
fn provided_fold_is_a_loop() {
    let mut fixture = fixture(4, 0);
    let raw = fixture.driver.raw();
    write_direct(raw, &in_line(0, &[readable(1, 1), writable(2, 2), readable(3, 3)]));
    offer(raw, &[0]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let mut elements = Vec::new();
    let result = Plainly(chain.walk()).try_fold_pieces(Everywhere::get(), (), |(), piece| {
        Everywhere::collect(&mut elements, &piece);
        Ok(())
    });
    assert_eq!(elements, [(1, 1, false), (2, 2, true)]);
    let kind = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(3) };
    assert_eq!(result, Err(ChainError { id: 0, kind }));
}

/// DRV-DESC-2, HOST-8: whatever the device allows, there are no more elements than can be counted.
#[test]
fn chain_limit_is_at_most_what_can_be_counted() {
    const MOST: u32 = QueueLimits::MAX_CHAIN_LEN;
    for (entries, expected) in [(MOST, None), (MOST + 1, Some(ChainErrorKind::TableLen { len: (MOST + 1) * 16 }))] {
        let mut fixture = fixture_with_chain_len(4, INDIRECT, Some(u32::MAX));
        // The table begins with an element that has no bytes and is the last one.
        write_direct(fixture.driver.raw(), &in_line(0, &[table(SPACE, entries * 16)]));
        offer(fixture.driver.raw(), &[0]);
        let (elements, error) = walk_next(&mut fixture.queue);
        assert_eq!((elements, error.map(|error| error.kind)), (vec![], expected), "{entries}");
    }
}
