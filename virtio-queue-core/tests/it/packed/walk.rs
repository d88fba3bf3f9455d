//! Walking along lists of a packed ring and along indirect tables: what is found.

use virtio_fake_driver::packed::Descriptor;
use virtio_mem_traits::{Access, DriverAddr};
use virtio_queue_core::{ChainError, ChainErrorKind, QueueLimits};

use crate::support::packed::{BOTH, options, start, with_chain_len, with_flags, with_options};
use crate::support::{EVENT_IDX, INDIRECT, Plain, SPACE, range, readable, table, walk_next, writable, write_table};

/// Makes a table of these entries available, and checks what is found in it.
#[track_caller]
pub(super) fn check_table(entries: &[Descriptor], found: &[Plain]) {
    let (mut fixture, mut hand) = start(4, INDIRECT);
    write_table(&hand.raw, SPACE, entries);
    let position = hand.offer(9, &[table(SPACE, 16 * entries.len() as u32)]);
    assert_eq!(walk_next(&mut fixture.queue), (found.to_vec(), None));
    hand.check_used(position, 9, 0);
    assert!(fixture.queue.next_chain().unwrap().is_none());
}

/// PACK-IND-1, PACK-IND-2, PACK-IND-3, AMB-7, AMB-8, DRV-PIND-2, REG-1, PACK-USED-3: a walk takes all entries of
/// a table in their order. It uses only the flag WRITE. NEXT, INDIRECT and the ids have no effect.
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
    for (bit, flags) in (1..32).flat_map(|bit| (0..64).map(move |flags| (bit, flags))) {
        let len = 1 + (u32::MAX << bit);
        let found = [(1, len.into(), flags & Descriptor::WRITE != 0)];
        check_table(&[Descriptor { addr: DriverAddr(1), len, id: 0, flags }], &found);
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
