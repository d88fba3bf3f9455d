//! Chains that break a rule: which error, with which numbers, and that nothing else is affected.

use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{MemEvent, packed};
use virtio_mem_traits::{Access, DriverAddr, TranslateError};
use virtio_queue_core::{ChainError, ChainErrorKind};
use virtio_ring::split::DescriptorIndex;

use crate::support::split::{
    Fixture, fixture, fixture_with_chain_len, in_line, linked, offer, used, used_since, write_direct,
};
use crate::support::{
    EVENT_IDX, INDIRECT, Plain, SPACE, Way, logged, range, readable, table, walk_next, walk_once, writable, write_table,
};

/// A chain that begins at descriptor 0, in a queue of 4.
struct Case<'a> {
    what: &'a str,
    direct: &'a [Descriptor],
    /// What lies at [`SPACE`].
    table: &'a [Descriptor],
    /// What is found before the error.
    elements: &'a [Plain],
    error: ChainErrorKind,
}

impl Case<'_> {
    /// Checks the error, that the chain can be returned, and that the next one is not affected.
    #[track_caller]
    fn check(&self, fixture: &mut Fixture) {
        let Self { what, direct, table, elements, error } = *self;
        let raw = fixture.driver.raw().clone();
        write_table(&raw, SPACE, table);
        write_direct(&raw, direct);
        let before = raw.used_index();
        offer(&raw, &[0]);
        let found = walk_next(&mut fixture.queue);
        assert_eq!(found, (elements.to_vec(), Some(ChainError { id: 0, kind: error })), "{what}");
        assert_eq!(used_since(&raw, before), [used(0, 0)], "{what}: the chain was returned");

        raw.set_descriptor(3, readable(0x77, 7));
        offer(&raw, &[3]);
        assert_eq!(walk_next(&mut fixture.queue), (vec![(0x77, 7, false)], None), "{what}: the chain after it");
        assert_eq!((fixture.queue.in_flight(), fixture.queue.fault()), (0, None), "{what}");
    }
}

/// A case without an indirect table.
fn direct<'a>(what: &'a str, direct: &'a [Descriptor], elements: &'a [Plain], error: ChainErrorKind) -> Case<'a> {
    Case { what, direct, table: &[], elements, error }
}

/// A case with nothing but an indirect table.
fn indirect<'a>(what: &'a str, table: &'a [Descriptor], elements: &'a [Plain], error: ChainErrorKind) -> Case<'a> {
    Case { what, direct: &[], table, elements, error }
}

/// Checks cases of each kind in queues of four.
#[track_caller]
fn check(cases: &[Case<'_>]) {
    for features in [INDIRECT, INDIRECT | EVENT_IDX] {
        for case in cases {
            let mut fixture = fixture(4, features);
            if case.direct.is_empty() {
                let reference = [table(SPACE, 16 * case.table.len() as u32)];
                Case { direct: &reference, ..*case }.check(&mut fixture);
            } else {
                case.check(&mut fixture);
            }
        }
    }
}

fn no_entry(next: u16) -> ChainErrorKind {
    ChainErrorKind::NextOutOfRange { next: DescriptorIndex(next) }
}

const TOO_MANY: ChainErrorKind = ChainErrorKind::TooManyElements { limit: 4 };

/// HOST-2, REG-5: `next` at the end of the queue's table, or of the indirect one, and beyond. It is not taken modulo
/// anything.
#[test]
fn next_outside_of_table_refused() {
    for next in [4, 5, 8, 0x7fff, 0x8000, 0xffff] {
        let first = linked(readable(1, 1), next);
        check(&[
            direct("at once", &[first], &[(1, 1, false)], no_entry(next)),
            direct("later", &[linked(readable(0, 9), 1), first], &[(0, 9, false), (1, 1, false)], no_entry(next)),
        ]);
    }
    for next in [2, 3, 4, 0xffff] {
        let entries = [linked(readable(1, 1), 1), linked(writable(2, 2), next)];
        check(&[indirect("in a table of two", &entries, &[(1, 1, false), (2, 2, true)], no_entry(next))]);
    }
}

/// DRV-DESC-2, HOST-14: loops of every kind end after as many elements as there may be, also if they have no bytes.
#[test]
fn loops_refused() {
    let to = |next| linked(readable(1, 1), next);
    let empty = |next| linked(writable(0, 0), next);
    let four = [(1, 1, false); 4];
    check(&[
        direct("itself", &[to(0)], &four, TOO_MANY),
        direct("two", &[to(1), to(0)], &four, TOO_MANY),
        direct("back to the head", &[to(1), to(2), to(3), to(0)], &four, TOO_MANY),
        direct("not to the head", &[to(1), to(2), to(1)], &four, TOO_MANY),
        direct("itself, empty", &[empty(0)], &[], TOO_MANY),
        direct("two, empty", &[empty(1), empty(0)], &[], TOO_MANY),
        direct("half of them empty", &[to(1), linked(readable(1, 0), 0)], &[(1, 1, false); 2], TOO_MANY),
        indirect("in the table", &[to(1), to(0)], &four, TOO_MANY),
        indirect("in the table, itself", &[to(0)], &four, TOO_MANY),
        indirect("in the table, empty", &[empty(1), empty(2), empty(1)], &[], TOO_MANY),
    ]);
}

/// DRV-IND-3, DRV-FRM-2, FRAME-2, HOST-31: one element more than are allowed, by default or by the device, wherever the
/// tables meet. Elements without bytes count, and so do those near 2^64.
#[test]
fn chain_longer_than_limit_refused() {
    for (size, chain_len, limit) in [(4, None, 4), (8, Some(3), 3), (2, Some(5), 5), (1, None, 1)] {
        let addr = |n: u32| u64::from(n) + u64::from(n % 2) * (u64::MAX << 32);
        let chain: Vec<_> = (0..=limit).map(|n| readable(addr(n), 1)).collect();
        let elements: Vec<_> = (0..limit).map(|n| (addr(n), 1, false)).collect();
        let error = ChainError { id: 0, kind: ChainErrorKind::TooManyElements { limit } };
        for direct in 0..=chain.len() {
            let (own, others) = chain.split_at(direct);
            let mut own = own.to_vec();
            if !others.is_empty() {
                own.push(table(SPACE, 16 * others.len() as u32));
            }
            if own.len() > size || others.len() as u32 > limit {
                continue;
            }
            let mut fixture = fixture_with_chain_len(size as u16, INDIRECT, chain_len);
            write_table(fixture.driver.raw(), SPACE, &in_line(0, others));
            write_direct(fixture.driver.raw(), &in_line(0, &own));
            offer(fixture.driver.raw(), &[0]);
            assert_eq!(walk_next(&mut fixture.queue), (elements.clone(), Some(error)), "{size} {limit} {direct}");
        }
    }
    let direct = in_line(0, &[readable(0, 0), table(SPACE, 64)]);
    let table = in_line(0, &[readable(0, 0); 4]);
    check(&[Case { what: "empty", direct: &direct, table: &table, elements: &[], error: TOO_MANY }]);
}

/// DRV-DESC-1, SPLIT-DESC-7, HOST-17, REG-16: more than 2^32 bytes, by one and by much, in 64 bits.
#[test]
fn more_than_4_gib_refused() {
    const HALF: u32 = 1 << 31;
    const MAX: u32 = u32::MAX;
    let too_many = |total| ChainErrorKind::TooManyBytes { total };
    let halves = [(0, 1 << 31, false); 2];
    let one_over = in_line(0, &[readable(0, HALF), readable(0, HALF), readable(9, 1)]);
    check(&[
        direct("one over", &one_over, &halves, too_many((1 << 32) + 1)),
        indirect("one over, in a table", &one_over, &halves, too_many((1 << 32) + 1)),
        direct(
            "one over, writable",
            &in_line(0, &[readable(0, HALF), writable(0, HALF), writable(0, 1)]),
            &[(0, 1 << 31, false), (0, 1 << 31, true)],
            too_many((1 << 32) + 1),
        ),
        direct(
            "twice as much",
            &in_line(0, &[writable(0, MAX), writable(0, MAX)]),
            &[(0, 0xffff_ffff, true)],
            too_many(0x1_ffff_fffe),
        ),
        Case {
            what: "over by what is in the table",
            direct: &in_line(0, &[writable(0, MAX), table(SPACE, 32)]),
            table: &in_line(0, &[writable(1, 1), writable(2, 2)]),
            elements: &[(0, 0xffff_ffff, true), (1, 1, true)],
            error: too_many((1 << 32) + 2),
        },
    ]);
}

/// DRV-FRM-1, SPLIT-IND-5: a readable element after a writable one, also if the one, the other or both have no bytes,
/// and across the seam between the tables.
#[test]
fn readable_after_writable_refused() {
    let (r, w) = (readable(0x11, 1), writable(0x22, 2));
    let error = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(0x11) };
    let (r_found, w_found) = ((0x11, 1, false), (0x22, 2, true));
    let reference = Descriptor { flags: Descriptor::INDIRECT | Descriptor::WRITE, ..table(SPACE, 16) };
    let seam = |reference, what| (what, in_line(0, &[w, reference]));
    check(&[
        direct("W R", &in_line(0, &[w, r]), &[w_found], error),
        direct("R W R", &in_line(0, &[r, w, r]), &[r_found, w_found], error),
        direct("W R W", &in_line(0, &[w, r, w]), &[w_found], error),
        direct("empty W R", &in_line(0, &[writable(5, 0), r]), &[], error),
        direct("W empty R", &in_line(0, &[w, readable(0x11, 0)]), &[w_found], error),
        indirect("W R in a table", &in_line(0, &[w, r]), &[w_found], error),
    ]);
    for (what, direct) in [seam(table(SPACE, 16), "seam"), seam(reference, "seam, with WRITE on the reference")] {
        check(&[Case { what, direct: &direct, table: &[r], elements: &[w_found], error }]);
    }
}

/// HOST-9, HOST-17, REG-2, REG-8: elements and tables that would end beyond 2^64.
#[test]
fn ranges_beyond_2_64_refused() {
    let overflow = |addr, len| ChainErrorKind::RangeOverflow { addr: DriverAddr(addr), len };
    for (addr, len) in [(u64::MAX, 2), (u64::MAX - 255, 512), (u64::MAX - 15, 17), (u64::MAX, u32::MAX)] {
        check(&[
            direct("readable", &[readable(addr, len)], &[], overflow(addr, len)),
            direct(
                "writable",
                &in_line(0, &[readable(1, 1), writable(addr, len)]),
                &[(1, 1, false)],
                overflow(addr, len),
            ),
            indirect("in a table", &[writable(addr, len)], &[], overflow(addr, len)),
        ]);
    }
    for (addr, len) in [(u64::MAX - 14, 16), (u64::MAX, 64), (u64::MAX - 47, 64)] {
        check(&[direct("table", &[table(addr, len)], &[], overflow(addr, len))]);
    }
}

/// DRV-IND-1: without the feature the table is not even translated.
#[test]
fn indirect_without_feature_refused() {
    for features in [0, EVENT_IDX] {
        for (direct, elements) in [
            (vec![table(SPACE, 16)], vec![]),
            (in_line(0, &[readable(1, 1), table(SPACE, 16)]), vec![(1, 1, false)]),
            (vec![linked(table(SPACE, 15), 1)], vec![]),
        ] {
            let mut fixture = fixture(4, features);
            fixture.mem.start_log();
            let error = ChainErrorKind::IndirectNotNegotiated;
            let what = "without the feature";
            Case { what, direct: &direct, table: &[readable(2, 2)], elements: &elements, error }.check(&mut fixture);
            let touches_table = |event: &MemEvent| match event {
                MemEvent::Translate { range, .. } | MemEvent::Read(range) | MemEvent::Written(range) => {
                    range.start().0 >= SPACE
                }
            };
            assert!(!fixture.mem.take_log().iter().any(touches_table));
        }
    }
}

/// DRV-IND-2: a table in a table, another one or the same.
#[test]
fn nested_indirect_refused() {
    let error = ChainErrorKind::NestedIndirect;
    let nested = |reference| in_line(0, &[readable(1, 1), reference]);
    let after = [(1, 1, false)];
    check(&[
        indirect("at once", &[table(SPACE, 16)], &[], error),
        indirect("later", &nested(table(SPACE + 0x100, 16)), &after, error),
        indirect("itself", &nested(table(SPACE, 32)), &after, error),
        indirect("with NEXT", &[linked(table(SPACE, 32), 1), readable(1, 1)], &[], error),
        indirect("with WRITE", &nested(Descriptor { flags: 6, ..table(SPACE, 32) }), &after, error),
        indirect("of a bad length", &nested(table(SPACE, 1)), &after, error),
    ]);
}

/// DRV-IND-4: an indirect descriptor with NEXT, also if what comes next is another of its kind.
#[test]
fn indirect_with_next_refused() {
    let error = ChainErrorKind::IndirectWithNext;
    let (reference, entries) = (linked(table(SPACE, 16), 1), [readable(9, 9)]);
    let all_flags = Descriptor { flags: u16::MAX, ..reference };
    let cases: [(_, &[Descriptor], &[Plain]); 5] = [
        ("at once", &[reference, readable(1, 1)], &[]),
        ("later", &[linked(readable(1, 1), 1), Descriptor { next: 2, ..reference }, readable(2, 2)], &[(1, 1, false)]),
        ("two of them", &[reference, table(SPACE, 16)], &[]),
        ("itself", &[Descriptor { next: 0, ..reference }], &[]),
        ("all flags", &[all_flags], &[]),
    ];
    for (what, direct, elements) in cases {
        check(&[Case { what, direct, table: &entries, elements, error }]);
    }
}

/// HOST-7, HOST-8, REG-4: lengths that no table has. More entries than a chain may have are refused before anything is
/// translated, 65,536 of them and more as well.
#[test]
fn table_of_bad_length_refused() {
    let lengths = [0, 1, 15, 17, 31, 63, 65, 80, 16 * 32768, 1 << 20, (1 << 20) + 16, 0xffff_fff0, u32::MAX];
    for len in lengths {
        let error = ChainErrorKind::TableLen { len };
        let entries = in_line(0, &[readable(1, 1), readable(2, 2), readable(3, 3), readable(4, 4), readable(5, 5)]);
        let after = in_line(0, &[readable(9, 9), table(SPACE, len)]);
        check(&[
            Case { what: "at once", direct: &[table(SPACE, len)], table: &entries, elements: &[], error },
            Case { what: "later", direct: &after, table: &entries, elements: &[(9, 9, false)], error },
        ]);
    }
}

/// HOST-11, HOST-12, HOST-29: tables that are not there, or not all, or not for reading.
#[test]
fn table_in_bad_memory_refused() {
    let unmapped = |addr| TranslateError::Unmapped { addr: DriverAddr(addr) };
    let denied = |addr| TranslateError::Denied { addr: DriverAddr(addr), access: Access::Read };
    let entries = in_line(0, &[readable(1, 1), readable(2, 2), readable(3, 3)]);
    let found = [(1, 1, false), (2, 2, false)];
    for (offset, len, whole) in [(0, 48, 0), (16, 16, 1), (32, 16, 2), (40, 1, 2), (47, 1, 2)] {
        for write_only in [false, true] {
            let mut fixture = fixture(4, INDIRECT);
            let bad = range(SPACE + offset, len);
            let error = if write_only {
                fixture.mem.restrict(bad, Access::Write);
                denied(SPACE + offset)
            } else {
                fixture.mem.unmap(bad);
                unmapped(SPACE + offset)
            };
            let error = ChainErrorKind::Memory(error);
            let direct = [table(SPACE, 48)];
            Case { what: "table", direct: &direct, table: &entries, elements: &found[..whole], error }
                .check(&mut fixture);
        }
    }
    for addr in [0, 1 << 40, u64::MAX - 15] {
        check(&[direct("nowhere", &[table(addr, 16)], &[], ChainErrorKind::Memory(unmapped(addr)))]);
    }
}

/// HOST-28, HOST-29, REG-6, REG-7: as many malformed chains as the queue has room for, then as many good ones, over and
/// over. Each is fetched once and returned once, and known by its own head.
#[test]
fn malformed_chains_do_not_use_up_queue() {
    for features in [0, EVENT_IDX] {
        let mut fixture = fixture(8, features);
        let raw = fixture.driver.raw().clone();
        for round in 0..20 {
            let heads: Vec<u16> = (0..8).map(|n| (n * 3 + round) % 8).collect();
            heads.iter().for_each(|head| raw.set_descriptor(*head, linked(readable(1, 1), *head)));
            let before = raw.used_index();
            offer(&raw, &heads);
            for head in &heads {
                let kind = ChainErrorKind::TooManyElements { limit: 8 };
                let (elements, error) = walk_next(&mut fixture.queue);
                assert_eq!((elements.len(), error), (8, Some(ChainError { id: *head, kind })));
            }
            assert!(fixture.queue.next_chain().unwrap().is_none());
            assert_eq!(fixture.notifications.take(), if features == 0 { 8 } else { usize::from(round == 0) });

            heads.iter().for_each(|head| raw.set_descriptor(*head, readable((*head).into(), 1)));
            offer(&raw, &heads);
            for head in &heads {
                assert_eq!(walk_next(&mut fixture.queue), (vec![((*head).into(), 1, false)], None));
            }
            let returned = used_since(&raw, before);
            assert_eq!(returned.len(), 16);
            let expected: Vec<_> = heads.iter().map(|head| used((*head).into(), 0)).collect();
            assert_eq!(returned[8..], expected);
            assert_eq!(fixture.queue.in_flight(), 0);
            fixture.notifications.take();
        }
    }
}

/// INV-2: a walk reads at most two descriptors more than the limit: one for the table, and one for the first element
/// above the limit.
#[test]
fn walk_of_loop_reads_no_more_than_limit() {
    let mut fixture = fixture(8, INDIRECT);
    let raw = fixture.driver.raw().clone();
    for (index, descriptor) in (0..).zip([linked(readable(1, 0), 1), linked(readable(1, 1), 2), table(SPACE, 16)]) {
        raw.set_descriptor(index, descriptor);
    }
    write_table(&raw, SPACE, &[linked(writable(2, 0), 0)]);
    offer(&raw, &[0]);
    let mem = fixture.mem.clone();
    let ((_, error), log) = logged(&mem, || walk_once(&fixture.queue.next_chain().unwrap().unwrap(), Way::Fold));
    assert_eq!(error, Some(ChainError { id: 0, kind: ChainErrorKind::TooManyElements { limit: 8 } }));
    let descriptors = log.iter().filter(|event| matches!(event, MemEvent::Read(range) if range.len() == 16)).count();
    assert_eq!(descriptors, 8 + 1 + 1);
}

/// HOST-27: a table that was written for a packed queue. The id is what the flags are, and the flags are where the
/// chain goes on.
#[test]
fn table_in_layout_of_packed_queue_misread_and_bounded() {
    let packed = |len, id, flags| packed::Descriptor { addr: DriverAddr(0x1000), len, id, flags };
    for (entries, found, error) in [
        ([packed(1, 1, 2), packed(2, 0, 0), packed(3, 2, 0)], vec![(0x1000, 1, false), (0x1000, 3, true)], None),
        (
            [packed(1, 1, 0x8000), packed(2, 0, 0), packed(3, 0, 0)],
            vec![(0x1000, 1, false)],
            Some(ChainErrorKind::NextOutOfRange { next: DescriptorIndex(0x8000) }),
        ),
        (
            [packed(1, 1, 1), packed(2, 1, 0), packed(3, 0, 0)],
            vec![(0x1000, 1, false), (0x1000, 2, false), (0x1000, 1, false), (0x1000, 2, false)],
            Some(ChainErrorKind::TooManyElements { limit: 4 }),
        ),
    ] {
        let mut fixture = fixture(4, INDIRECT);
        for (offset, entry) in (0..).step_by(16).zip(entries) {
            fixture.driver.view().poke(DriverAddr(SPACE + offset), &entry.to_bytes());
        }
        write_direct(fixture.driver.raw(), &[table(SPACE, 48)]);
        offer(fixture.driver.raw(), &[0]);
        assert_eq!(walk_next(&mut fixture.queue), (found, error.map(|kind| ChainError { id: 0, kind })));
    }
}
