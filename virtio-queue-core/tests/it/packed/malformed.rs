//! Lists and tables that break a rule: which error, and that nothing else is affected.

use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{MemEvent, split};
use virtio_mem_traits::{Access, DriverAddr, TranslateError};
use virtio_queue_core::{ChainError, ChainErrorKind};

use super::walk::check_table;
use crate::support::packed::{Fixture, Hand, start, with_chain_len, with_flags};
use crate::support::{EVENT_IDX, INDIRECT, Plain, SPACE, range, readable, table, walk_next, writable, write_table};

/// Checks that a list is malformed, that it can be returned, and that the next one is not affected.
#[track_caller]
fn check_malformed(
    fixture: &mut Fixture,
    hand: &mut Hand,
    list: &[Descriptor],
    elements: &[Plain],
    kind: ChainErrorKind,
) {
    for _ in 0..3 {
        let position = hand.offer(0xfff1, list);
        let error = ChainError { id: 0xfff1, kind };
        assert_eq!(walk_next(&mut fixture.queue), (elements.to_vec(), Some(error)), "{list:?}");
        hand.check_used(position, 0xfff1, 0);
        let position = hand.offer(2, &[readable(0x77, 7)]);
        assert_eq!(walk_next(&mut fixture.queue), (vec![(0x77, 7, false)], None), "the list after it");
        hand.check_used(position, 2, 0);
    }
    assert_eq!((fixture.queue.in_flight(), fixture.queue.fault()), (0, None));
}

/// HOST-7, HOST-8, AMB-5, DRV-PIND-3, REG-4: lengths that no table has. More entries than a chain may have are refused
/// before anything is translated, 65,536 of them and more as well.
#[test]
fn table_of_bad_length_refused() {
    for len in [0, 1, 15, 17, 31, 63, 65, 80, 16 * 32768, 1 << 20, (1 << 20) + 16, 0xffff_fff0, u32::MAX] {
        let (mut fixture, mut hand) = start(4, INDIRECT);
        fixture.mem.start_log();
        check_malformed(&mut fixture, &mut hand, &[table(SPACE, len)], &[], ChainErrorKind::TableLen { len });
        let touched = |event: &MemEvent| match event {
            MemEvent::Translate { range, .. } | MemEvent::Read(range) => range.start().0 == SPACE,
            MemEvent::Written(_) => false,
        };
        assert!(!fixture.mem.take_log().iter().any(touched), "{len}");
    }
}

/// PACK-SG-2, DRV-PSG-1, FRAME-2: a list that is longer than the device allows, but ends, is refused as a chain: its
/// slots are skipped. Elements without bytes count.
#[test]
fn list_longer_than_limit_refused() {
    for limit in 1..4 {
        for (len, more) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            let (mut fixture, mut hand) = with_chain_len(5, limit);
            let list = vec![readable(1, len); limit as usize + more];
            let found = vec![(1, 1, false); if len == 0 { 0 } else { limit as usize }];
            check_malformed(&mut fixture, &mut hand, &list, &found, ChainErrorKind::TooManyElements { limit });
        }
    }
}

/// DRV-PIND-4, PACK-SG-5: an indirect descriptor in a list of several, wherever it is and how many there are. The list
/// is skipped as a whole, and no table is read.
#[test]
fn indirect_in_list_of_several_refused() {
    let kind = ChainErrorKind::IndirectWithNext;
    let (t, r, w) = (table(SPACE, 16), readable(1, 1), writable(2, 2));
    let cases: [(&[Descriptor], &[Plain]); 6] = [
        (&[t, r], &[]),
        (&[r, t], &[(1, 1, false)]),
        (&[t, t], &[]),
        (&[r, w, t], &[(1, 1, false), (2, 2, true)]),
        (&[r, t, w], &[(1, 1, false)]),
        (&[with_flags(t, Descriptor::WRITE), r, r], &[]),
    ];
    for (list, found) in cases {
        let (mut fixture, mut hand) = start(5, INDIRECT);
        write_table(&hand.raw, SPACE, &[readable(9, 9)]);
        fixture.mem.unmap(range(SPACE, 0x100));
        check_malformed(&mut fixture, &mut hand, list, found, kind);
    }
}

/// DRV-PIND-1, HOST-29: without the feature the table is not even translated.
#[test]
fn indirect_without_feature_refused() {
    let kind = ChainErrorKind::IndirectNotNegotiated;
    let t = table(SPACE, 16);
    for features in [0, EVENT_IDX] {
        for (list, found) in [(vec![t], vec![]), (vec![readable(1, 1), t], vec![(1, 1, false)]), (vec![t, t], vec![])] {
            let (mut fixture, mut hand) = start(4, features);
            fixture.mem.start_log();
            check_malformed(&mut fixture, &mut hand, &list, &found, kind);
            let touched = |event: &MemEvent| match event {
                MemEvent::Translate { range, .. } | MemEvent::Read(range) | MemEvent::Written(range) => {
                    range.start().0 >= SPACE
                }
            };
            assert!(!fixture.mem.take_log().iter().any(touched));
        }
    }
}

/// Checks a malformed chain twice: as a direct list, and as a table.
#[track_caller]
fn check_either(list: &[Descriptor], elements: &[Plain], kind: ChainErrorKind) {
    let (mut fixture, mut hand) = start(5, INDIRECT);
    check_malformed(&mut fixture, &mut hand, list, elements, kind);
    write_table(&hand.raw, SPACE, list);
    let reference = table(SPACE, 16 * list.len() as u32);
    check_malformed(&mut fixture, &mut hand, &[reference], elements, kind);
}

/// DRV-PSG-2, AMB-13: a readable element after a writable one, also if either has no bytes.
#[test]
fn readable_after_writable_refused() {
    let kind = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(1) };
    check_either(&[writable(2, 2), readable(1, 1)], &[(2, 2, true)], kind);
    check_either(&[readable(3, 3), writable(2, 2), readable(1, 1)], &[(3, 3, false), (2, 2, true)], kind);
    check_either(&[writable(2, 0), readable(1, 1)], &[], kind);
    check_either(&[writable(2, 2), readable(1, 0), writable(4, 4)], &[(2, 2, true)], kind);
}

/// AMB-6, SPLIT-DESC-7, DRV-DESC-1: 2^32 bytes are the most, in a packed ring too.
#[test]
fn more_than_4_gib_refused() {
    let half = 1 << 31;
    let kind = ChainErrorKind::TooManyBytes { total: (1 << 32) + 1 };
    let found = [(0, 1 << 31, false), (0, 1 << 31, true)];
    check_either(&[readable(0, half), writable(0, half), writable(0, 1)], &found, kind);
    let (mut fixture, mut hand) = start(2, 0);
    hand.offer(0, &[readable(0, half), writable(0, half)]);
    assert_eq!(walk_next(&mut fixture.queue), (found.to_vec(), None));
}

/// AMB-6, SPLIT-DESC-7: as many elements as there may be, with 2^32 bytes in equal parts: one byte more in any of them
/// is one too many. Every other element begins where a length could lead beyond 2^64.
#[test]
fn byte_beyond_4_gib_refused_in_any_element() {
    for count in [2, 4, 8_u32] {
        for longer in 0..count as usize {
            let (mut fixture, mut hand) = with_chain_len(8, count);
            let part = (1 << 32) / u64::from(count);
            let addrs = || [u64::MAX << 32, (u64::MAX << 32) - 1].into_iter().cycle().take(count as usize);
            let mut list: Vec<_> = addrs().map(|addr| readable(addr, part as u32)).collect();
            let mut found: Vec<_> = addrs().map(|addr| (addr, part, false)).collect();
            hand.offer(0, &list);
            assert_eq!(walk_next(&mut fixture.queue), (found.clone(), None));
            list[longer].len += 1;
            found[longer].1 += 1;
            let kind = ChainErrorKind::TooManyBytes { total: (1 << 32) + 1 };
            check_malformed(&mut fixture, &mut hand, &list, &found[..count as usize - 1], kind);
        }
    }
}

/// HOST-9, HOST-10, HOST-17, REG-2, REG-8, DRV-FEAT-4: elements and tables that would end beyond 2^64; what ends there
/// is an element like any other.
#[test]
fn ranges_beyond_2_64_refused() {
    for (addr, len) in [(u64::MAX, 2), (u64::MAX - 255, 512), (u64::MAX, u32::MAX)] {
        let kind = ChainErrorKind::RangeOverflow { addr: DriverAddr(addr), len };
        check_either(&[readable(addr, len)], &[], kind);
        check_either(&[readable(1, 1), writable(addr, len)], &[(1, 1, false)], kind);
    }
    for (addr, len) in [(u64::MAX - 14, 16), (u64::MAX, 64)] {
        let (mut fixture, mut hand) = start(4, INDIRECT);
        let kind = ChainErrorKind::RangeOverflow { addr: DriverAddr(addr), len };
        check_malformed(&mut fixture, &mut hand, &[table(addr, len)], &[], kind);
    }
    check_table(
        &[readable(u64::MAX, 1), writable(u64::MAX - 15, 16)],
        &[(u64::MAX, 1, false), (u64::MAX - 15, 16, true)],
    );
}

/// HOST-11, HOST-12, DRV-FEAT-4: tables that are not there, or not all, or not for reading.
#[test]
fn table_in_bad_memory_refused() {
    let entries = [readable(1, 1), readable(2, 2), readable(3, 3)];
    let found = [(1, 1, false), (2, 2, false)];
    for (offset, len, whole) in [(0, 48, 0), (16, 16, 1), (32, 16, 2), (40, 1, 2)] {
        for write_only in [false, true] {
            let (mut fixture, mut hand) = start(4, INDIRECT);
            write_table(&hand.raw, SPACE, &entries);
            let (addr, access) = (DriverAddr(SPACE + offset), Access::Read);
            let error = if write_only {
                fixture.mem.restrict(range(addr.0, len), Access::Write);
                TranslateError::Denied { addr, access }
            } else {
                fixture.mem.unmap(range(addr.0, len));
                TranslateError::Unmapped { addr }
            };
            let kind = ChainErrorKind::Memory(error);
            check_malformed(&mut fixture, &mut hand, &[table(SPACE, 48)], &found[..whole], kind);
        }
    }
}

/// HOST-27: a table that was written for a split queue. It is read as one of this queue, in which `next` is what the
/// flags are, so that WRITE is bit 1 of it; nothing leads anywhere else, and all entries are found.
#[test]
fn table_in_layout_of_split_queue_misread_and_bounded() {
    let (mut fixture, mut hand) = start(4, INDIRECT);
    let split = |len, flags, next| split::Descriptor { addr: DriverAddr(0x1000), len, flags, next };
    let entries = [split(1, 1, 1), split(2, 3, 0xfffd), split(3, 3, 3), split(4, 2, 0xffff)];
    for (offset, entry) in (0..).step_by(16).zip(entries) {
        hand.raw.view().poke(DriverAddr(SPACE + offset), &entry.to_bytes());
    }
    hand.offer(0, &[table(SPACE, 64)]);
    let found = vec![(0x1000, 1, false), (0x1000, 2, false), (0x1000, 3, true), (0x1000, 4, true)];
    assert_eq!(walk_next(&mut fixture.queue), (found, None));
}

/// HOST-28, HOST-29, REG-6, REG-7: as many malformed lists as there is room for, then as many good ones, over and over.
/// Each is fetched once and returned once.
#[test]
fn malformed_lists_do_not_use_up_ring() {
    let (mut fixture, mut hand) = start(6, 0);
    for round in 0..20 {
        let first = hand.next;
        (0..3).for_each(|id| _ = hand.offer(id, &[writable(1, 1), readable(2, 2)]));
        for id in 0..3 {
            let error = walk_next(&mut fixture.queue).1.unwrap();
            assert_eq!(error.id, id, "round {round}");
        }
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(fixture.notifications.take(), 3);
        (0..3).for_each(|id| hand.check_used(first + 2 * u32::from(id), id, 0));
        (0..6).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        (0..6).for_each(|_| assert_eq!(walk_next(&mut fixture.queue), (vec![(1, 1, false)], None)));
        assert_eq!((fixture.queue.in_flight(), fixture.notifications.take()), (0, 6));
    }
}
