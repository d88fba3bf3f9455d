//! Walking along lists of a packed ring and along indirect tables: what is found, and what is refused.

use virtio_fake_driver::MemEvent;
use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::split;
use virtio_mem_traits::{Access, DriverAddr, TranslateError};
use virtio_queue_core::{ChainError, ChainErrorKind, QueueLimits};

use crate::packed_support::{
    BOTH, Fixture, Hand, options, readable, start, table, with_flags, with_options, writable, write_table,
};
use crate::support::{self, EVENT_IDX, INDIRECT, Plain, SPACE, logged, range, walk_next};

/// A queue whose chains may have other than as many elements as there are slots.
fn with_chain_len(size: u16, chain_len: u32) -> (Fixture, Hand) {
    let limits = QueueLimits { chain_len: Some(chain_len), ..QueueLimits::default() };
    with_options(&virtio_fake_driver::PackedFixtureOptions { limits, ..options(size, INDIRECT) })
}

/// Makes a table of these entries available, and checks what is found in it.
#[track_caller]
fn check_table(entries: &[Descriptor], found: &[Plain]) {
    let (mut fixture, mut hand) = start(4, INDIRECT);
    write_table(&hand.raw, SPACE, entries);
    let position = hand.offer(9, &[table(SPACE, 16 * entries.len() as u32)]);
    assert_eq!(walk_next(&mut fixture.queue), (found.to_vec(), None));
    hand.check_used(position, 9, 0);
    assert!(fixture.queue.next_chain().unwrap().is_none());
}

/// PACK-IND-1, PACK-IND-2, PACK-IND-3, AMB-7, AMB-8, DRV-PIND-2, REG-1, PACK-USED-3: a table is all of its entries in
/// their order, and of their flags WRITE counts alone. NEXT ends nothing and leads nowhere, INDIRECT nests nothing, ids
/// are nobody's.
#[test]
fn flags_in_table_ignored_but_for_write() {
    let found = [(1, 1, false), (2, 2, false), (3, 3, true), (4, 4, true)];
    for others in (0..=u16::MAX).filter(|flags| flags & Descriptor::WRITE == 0).step_by(7).chain([0xfffd, 1, 4, 5]) {
        for at in 0..4 {
            let mut entries = [readable(1, 1), readable(2, 2), writable(3, 3), writable(4, 4)];
            entries[at] = Descriptor { id: others, ..with_flags(entries[at], others) };
            check_table(&entries, &found);
        }
    }
    for others in [Descriptor::NEXT, Descriptor::INDIRECT, 5, BOTH, 0xfffd] {
        let entries = [readable(1, 1), readable(2, 2), writable(3, 3), writable(4, 4)];
        check_table(&entries.map(|entry| with_flags(entry, others)), &found);
    }
}

/// PACK-IND-4, PACK-IND-5, LAY-11, PACK-IND-6, FEAT-5: a table may begin at any address, is only read, and whether
/// WRITE is set where it is referred to means nothing. Byte by byte, it is laid out like the ring, with flags at offset
/// 14.
#[test]
fn table_anywhere_read_only() {
    for offset in 0..17 {
        for write in [0, Descriptor::WRITE] {
            let (mut fixture, mut hand) = start(2, INDIRECT | EVENT_IDX);
            let bytes = [
                [8, 7, 6, 5, 4, 3, 2, 1, 0x10, 0, 0, 0, 0xff, 0xff, 0, 0],
                [0, 0, 0, 0, 0, 0, 0, 0x80, 1, 1, 0, 0, 2, 0, 2, 0],
            ];
            hand.raw.view().poke(DriverAddr(SPACE + offset), &bytes.concat());
            fixture.mem.restrict(range(SPACE, 0x100), Access::Read);
            let position = hand.offer(3, &[with_flags(table(SPACE + offset, 32), write)]);
            let found = vec![(0x0102_0304_0506_0708, 0x10, false), (0x8000_0000_0000_0000, 0x101, true)];
            assert_eq!(walk_next(&mut fixture.queue), (found, None));
            hand.check_used(position, 3, 0);
            assert_eq!(hand.raw.view().peek(DriverAddr(SPACE + offset), 32), bytes.concat());
        }
    }
}

/// PACK-SG-5, FEAT-5, REG-15: direct lists and tables take turns, each with all of its elements.
#[test]
fn direct_lists_and_tables_alternate() {
    let (mut fixture, mut hand) = start(5, INDIRECT);
    write_table(&hand.raw, SPACE, &[readable(7, 7), writable(8, 8), writable(9, 9)]);
    for _ in 0..20 {
        hand.offer(1, &[readable(1, 1), writable(2, 2), writable(3, 3)]);
        hand.offer(2, &[table(SPACE, 48)]);
        assert_eq!(walk_next(&mut fixture.queue), (vec![(1, 1, false), (2, 2, true), (3, 3, true)], None));
        assert_eq!(walk_next(&mut fixture.queue), (vec![(7, 7, false), (8, 8, true), (9, 9, true)], None));
    }
}

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
        let touched = |event: &MemEvent| matches!(event, MemEvent::Translate { range, .. } | MemEvent::Read(range) if range.start().0 == SPACE);
        assert!(!fixture.mem.take_log().iter().any(touched), "{len}");
    }
}

/// HOST-8, REG-4, AMB-2, AMB-3, DRV-PSG-1, PACK-SG-2: a device may allow longer tables than the ring. 65,536 entries
/// are as many as a table can have, and none of them is lost; the descriptor that refers to them is none of them.
#[test]
fn table_longer_than_ring_allowed_by_limit() {
    for (len, limit, refused) in
        [(2, 2, false), (3, 2, true), (1 << 16, 1 << 16, false), ((1 << 16) + 1, 1 << 20, true)]
    {
        let limits = QueueLimits { chain_len: Some(limit), ..QueueLimits::default() };
        let options = virtio_fake_driver::PackedFixtureOptions { limits, memory_len: 1 << 21, ..options(1, INDIRECT) };
        let (mut fixture, mut hand) = with_options(&options);
        let entries: Vec<_> = (0..len).map(|n| readable(n, 1)).collect();
        write_table(&hand.raw, SPACE, &entries);
        hand.offer(0, &[table(SPACE, 16 * len as u32)]);
        let (elements, error) = walk_next(&mut fixture.queue);
        if refused {
            let kind = ChainErrorKind::TableLen { len: 16 * len as u32 };
            assert_eq!((elements, error), (vec![], Some(ChainError { id: 0, kind })));
        } else {
            assert!(elements.into_iter().eq((0..len).map(|n| (n, 1, false))));
            assert_eq!(error, None);
        }
    }
}

/// AMB-2, LAY-11: the end of the ring means nothing in a table, also in one that is read entry by entry for its
/// alignment.
#[test]
fn table_longer_than_ring_anywhere_read_to_its_end() {
    for offset in [0, 1] {
        let (mut fixture, mut hand) = with_chain_len(2, 5);
        let entries: Vec<_> = (0..5).map(|n| readable(n, 1)).collect();
        write_table(&hand.raw, SPACE + offset, &entries);
        hand.offer(0, &[table(SPACE + offset, 16 * 5)]);
        assert_eq!(walk_next(&mut fixture.queue), ((0..5).map(|n| (n, 1, false)).collect(), None));
    }
}

/// PACK-SG-2, DRV-PSG-1, FRAME-2: a list that is longer than the device allows, but ends, is refused as a chain: its
/// slots are skipped. Elements without bytes count.
#[test]
fn list_longer_than_limit_refused() {
    for limit in 0..4 {
        for len in [0, 1] {
            let (mut fixture, mut hand) = with_chain_len(5, limit.max(1));
            let list = vec![readable(1, len); limit.max(1) as usize + 1];
            let found = vec![(1, 1, false); if len == 0 { 0 } else { limit.max(1) as usize }];
            let kind = ChainErrorKind::TooManyElements { limit: limit.max(1) };
            check_malformed(&mut fixture, &mut hand, &list, &found, kind);
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

/// AMB-4, HOST-14: elements without bytes are left out, wherever they are and whatever their address.
#[test]
fn elements_without_bytes_left_out() {
    let list = [readable(u64::MAX, 0), readable(1, 1), writable(0, 0), writable(2, 2), writable(u64::MAX, 0)];
    check_table(&list[1..], &[(1, 1, false), (2, 2, true)]);
    let (mut fixture, mut hand) = start(5, 0);
    for _ in 0..4 {
        hand.offer(0, &list);
        assert_eq!(walk_next(&mut fixture.queue), (vec![(1, 1, false), (2, 2, true)], None));
        hand.offer(0, &[readable(3, 0)]);
        assert_eq!(walk_next(&mut fixture.queue), (vec![], None));
    }
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

/// HOST-27: the other way round, the id is what the flags are, and the flags are where the chain goes on.
#[test]
fn table_in_layout_of_packed_queue_misread_and_bounded() {
    let packed = |len, id, flags| Descriptor { addr: DriverAddr(0x1000), len, id, flags };
    for (entries, found, error) in [
        ([packed(1, 1, 2), packed(2, 0, 0), packed(3, 2, 0)], vec![(0x1000, 1, false), (0x1000, 3, true)], None),
        (
            [packed(1, 1, 0x8000), packed(2, 0, 0), packed(3, 0, 0)],
            vec![(0x1000, 1, false)],
            Some(ChainErrorKind::NextOutOfRange { next: virtio_ring::split::DescriptorIndex(0x8000) }),
        ),
        (
            [packed(1, 1, 1), packed(2, 1, 0), packed(3, 0, 0)],
            vec![(0x1000, 1, false), (0x1000, 2, false), (0x1000, 1, false), (0x1000, 2, false)],
            Some(ChainErrorKind::TooManyElements { limit: 4 }),
        ),
    ] {
        let mut fixture = support::fixture(4, INDIRECT);
        for (offset, entry) in (0..).step_by(16).zip(entries) {
            fixture.driver.view().poke(DriverAddr(SPACE + offset), &entry.to_bytes());
        }
        support::write_direct(fixture.driver.raw(), &[support::table(SPACE, 48)]);
        support::offer(fixture.driver.raw(), &[0]);
        assert_eq!(walk_next(&mut fixture.queue), (found, error.map(|kind| ChainError { id: 0, kind })));
    }
}

/// HOST-20, DRV-CLEAN-1: whatever a table turns into between two walks, each walk reads each entry once, and checks
/// what it has read.
#[test]
fn table_changed_between_walks_checked_by_each() {
    let (mut fixture, mut hand) = start(4, INDIRECT);
    write_table(&hand.raw, SPACE, &[readable(1, 1), writable(2, 2)]);
    hand.offer(0, &[table(SPACE, 32)]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let (found, log) = logged(&fixture.mem, || support::walk_once(&chain, support::Way::Fold));
    assert_eq!(found, (vec![(1, 1, false), (2, 2, true)], None));
    let slot = MemEvent::Read(hand.raw.areas().descriptor(0));
    assert_eq!(log, [slot, MemEvent::Read(range(SPACE, 16)), MemEvent::Read(range(SPACE + 16, 16))]);
    write_table(&hand.raw, SPACE, &[writable(1, 1), readable(2, 2)]);
    let kind = ChainErrorKind::ReadableAfterWritable { addr: DriverAddr(2) };
    assert_eq!(crate::support::walk(&chain), (vec![(1, 1, true)], Some(ChainError { id: 0, kind })));
    drop(chain);
    hand.check_used(0, 0, 0);
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
