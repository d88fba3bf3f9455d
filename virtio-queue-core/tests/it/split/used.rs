//! The used ring, byte by byte: what is written, in which order, and what is not.

use std::rc::Rc;

use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{MemEvent, TestMem, Traffic, TrafficLimits};
use virtio_mem_traits::{Access, DriverAddr, DriverRange};
use virtio_queue_core::{Chain, ReturnError};

use crate::support::split::{
    Fixture, fixture, fixture_with_chain_len, in_line, linked, offer, options, used, used_since, write_direct,
};
use crate::support::{
    EVENT_IDX, INDIRECT, RING_SETS, SPACE, accesses, logged, range, readable, table, walk, walk_next, writable,
    write_hello, write_table,
};

/// Makes a queue of 4 with a writable element of 0x100 bytes at descriptor `n`, at `SPACE + 0x100 * n`.
fn with_buffers(features: u64) -> (Fixture, RawSplit) {
    let fixture = fixture(4, features);
    let raw = fixture.driver.raw().clone();
    write_direct(&raw, &[0, 1, 2, 3].map(|n| writable(SPACE + 0x100 * n, 0x100)));
    (fixture, raw)
}

/// SPLIT-USED-5, SPLIT-USED-7, END-1: the bytes, little-endian on every host: the index after the flags, then the
/// elements, each an id and a length, and nothing around them.
#[test]
fn used_ring_bytes_are_these() {
    let (mut fixture, raw) = with_buffers(0);
    let ring = raw.areas().used_ring();
    raw.view().poke(ring.start(), &[0xee; 38]);
    offer(&raw, &[3, 1]);
    fixture.queue.next_chain().unwrap().unwrap().return_written(0x0100).unwrap();
    fixture.queue.next_chain().unwrap().unwrap().return_written(0x21).unwrap();
    let mut expected = [0xee; 38];
    expected[2..20].copy_from_slice(&[2, 0, 3, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0x21, 0, 0, 0]);
    assert_eq!(raw.view().peek(ring.start(), 38), expected);
}

/// SPLIT-USED-1, BAR-4, GEN-7: first the buffer, then the element that tells of it, then the index, then nothing of the
/// ring any more.
#[test]
fn buffer_written_before_element_before_index() {
    let (mut fixture, raw) = with_buffers(0);
    offer(&raw, &[2]);
    let ((), log) = logged(&fixture.mem, || write_hello(&mut fixture.queue));
    let areas = raw.areas();
    let writes: Vec<_> = log.iter().copied().filter(|event| matches!(event, MemEvent::Written(_))).collect();
    let expected = [range(SPACE + 0x200, 5), areas.used_element(0), areas.used_index()].map(MemEvent::Written);
    assert_eq!(writes, expected);
    assert_eq!(log[log.len() - 2..], [expected[2], MemEvent::Read(areas.available_flags())]);
    assert_eq!(used_since(&raw, 0), [used(2, 5)]);
    assert_eq!(raw.view().peek(range(SPACE + 0x200, 5).start(), 5), *b"hello");
}

/// SPLIT-USED-11, SPLIT-UNOT-7: a burst of k chains is k elements, one store of the index, and one look at whether the
/// driver wants to know. Until then nothing is published.
#[test]
fn burst_publishes_once() {
    for features in [0, EVENT_IDX] {
        for count in 1..=4 {
            let (mut fixture, raw) = with_buffers(features);
            let heads: Vec<u16> = (0..count).rev().collect();
            offer(&raw, &heads);
            let mut burst = fixture.queue.burst();
            let put = || {
                for _ in 0..count {
                    burst.next_chain().unwrap().unwrap().return_written(9).unwrap();
                }
            };
            let ((), log) = logged(&fixture.mem, put);
            let writes: Vec<_> = log.into_iter().filter(|event| matches!(event, MemEvent::Written(_))).collect();
            let areas = raw.areas();
            let elements: Vec<_> = (0..count).map(|slot| MemEvent::Written(areas.used_element(slot))).collect();
            assert_eq!(writes, elements);
            assert_eq!((raw.used_index(), fixture.notifications.count()), (0, 0));

            let (finished, log) = logged(&fixture.mem, || burst.finish());
            assert_eq!(finished, Ok(()));
            let wish = if features == EVENT_IDX { areas.used_event() } else { areas.available_flags() };
            assert_eq!(log, [MemEvent::Written(areas.used_index()), MemEvent::Read(wish)]);
            assert_eq!(fixture.notifications.count(), 1);
            let expected: Vec<_> = heads.iter().map(|head| used((*head).into(), 9)).collect();
            assert_eq!(used_since(&raw, 0), expected);
        }
    }
}

/// SPLIT-USED-11: a drop ends a burst as well, a flush goes on, and a burst without chains does nothing at all.
#[test]
fn burst_dropped_flushed_or_empty() {
    let (mut fixture, raw) = with_buffers(0);
    let ((), log) = logged(&fixture.mem, || drop(fixture.queue.burst()));
    assert_eq!(log, []);
    let (finished, log) = logged(&fixture.mem, || fixture.queue.burst().finish());
    assert_eq!((finished, log), (Ok(()), Vec::new()));

    offer(&raw, &[0, 1, 2]);
    let mut burst = fixture.queue.burst();
    drop(burst.next_chain().unwrap());
    burst.flush().unwrap();
    assert_eq!((raw.used_index(), fixture.notifications.count()), (1, 1));
    let (flushed, log) = logged(&fixture.mem, || burst.flush());
    assert_eq!((flushed, log), (Ok(()), Vec::new()), "nothing is new");
    drop(burst.next_chain().unwrap());
    drop(burst.next_chain().unwrap());
    assert_eq!((raw.used_index(), fixture.notifications.count()), (1, 1));
    drop(burst);
    assert_eq!((raw.used_index(), fixture.notifications.count()), (3, 2));
}

/// SPLIT-USED-7: the index passes 2^16, and stands for slots as before.
#[test]
fn used_index_wraps() {
    let (mut fixture, raw) = with_buffers(0);
    for index in 0..70_000_u32 {
        let head = (index % 3) as u16;
        offer(&raw, &[head]);
        fixture.queue.next_chain().unwrap().unwrap().return_written(index % 0x101).unwrap();
        assert_eq!(raw.used_index(), (index + 1) as u16);
        assert_eq!(raw.used_element((index % 4) as u16), used(head.into(), index % 0x101));
    }
}

/// SPLIT-USED-8, HOST-23: whatever the driver writes into the used ring, the device goes on as if it had not, and never
/// looks.
#[test]
fn used_ring_scribbled_over_never_matters() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, raw) = with_buffers(features);
        let ring = raw.areas().used_ring();
        fixture.mem.start_log();
        for round in 0..200_u16 {
            raw.view().poke(ring.start(), &[round as u8 ^ 0x5a; 38]);
            let _ = fixture.queue.enable_notifications().unwrap();
            offer(&raw, &[round % 4]);
            fixture.queue.next_chain().unwrap().unwrap().return_written(round.into()).unwrap();
            raw.view().poke(ring.start(), &[0xff, 0xff]);
            assert_eq!(raw.used_index(), round + 1);
            assert_eq!(raw.used_element(round % 4), used((round % 4).into(), round.into()));
        }
        let reads_ring =
            |event: &MemEvent| matches!(event, MemEvent::Read(read) if ring.offset_of(read.start()).is_some());
        assert!(!fixture.mem.take_log().iter().any(reads_ring));
    }
}

/// SPLIT-USED-6: a chain that is dropped, walked or not, is returned with nothing written.
#[test]
fn dropped_chain_returned_with_0() {
    let (mut fixture, raw) = with_buffers(0);
    offer(&raw, &[1, 2]);
    drop(fixture.queue.next_chain().unwrap());
    let _ = walk(&fixture.queue.next_chain().unwrap().unwrap());
    assert_eq!(used_since(&raw, 0), [used(1, 0), used(2, 0)]);
    assert_eq!(fixture.notifications.count(), 2);
}

/// SPLIT-USED-3, SPLIT-USED-6, SPLIT-USED-10: only writable bytes count, all of them up to the last, whether or not
/// they were looked at. One more is refused, with nothing written anywhere, and the chain goes on as before.
#[test]
fn return_of_more_than_writable_refused() {
    let chain = [readable(1, 100), readable(2, 0), writable(3, 7), writable(4, 0), writable(5, 30)];
    for direct in [0, 1, 3] {
        for walked in 0..=3 {
            let mut fixture = fixture_with_chain_len(4, INDIRECT, Some(5));
            let raw = fixture.driver.raw().clone();
            write_table(&raw, SPACE, &in_line(0, &chain[direct..]));
            let mut own = chain[..direct].to_vec();
            own.push(table(SPACE, 16 * (5 - direct as u32)));
            write_direct(&raw, &in_line(0, &own));
            offer(&raw, &[0, 0]);

            let mut chain = fixture.queue.next_chain().unwrap().unwrap();
            let before: Vec<_> = chain.walk().take(walked).collect();
            fixture.mem.start_log();
            for written in [38, 39, 137, u32::MAX] {
                let refused = chain.try_return_written(written).unwrap_err();
                assert_eq!(refused.error, ReturnError::TooLong { written, writable: 37 });
                chain = refused.chain;
            }
            let writes = |event: &MemEvent| matches!(event, MemEvent::Written(_));
            assert!(!fixture.mem.take_log().iter().any(writes));
            assert_eq!((raw.used_index(), fixture.notifications.count()), (0, 0));

            let (elements, error) = walk(&chain);
            assert_eq!((before.len(), elements.len(), error), (walked, 3, None));
            chain.return_written(37).unwrap();
            assert_eq!(used_since(&raw, 0), [used(0, 37)]);

            fixture.queue.next_chain().unwrap().unwrap().return_written(36).unwrap();
            assert_eq!(used_since(&raw, 1), [used(0, 36)]);
        }
    }
}

/// SPLIT-USED-10, HOST-29: of a malformed chain, what comes before the error can have been written.
#[test]
fn return_of_malformed_chain_counts_up_to_its_error() {
    for walked in [false, true] {
        let (mut fixture, raw) = with_buffers(0);
        raw.set_descriptor(0, linked(writable(SPACE, 8), 4));
        offer(&raw, &[0]);
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        if walked {
            assert!(walk(&chain).1.is_some());
        }
        let refused = chain.try_return_written(9).unwrap_err();
        assert_eq!(refused.error, ReturnError::TooLong { written: 9, writable: 8 });
        refused.chain.return_written(8).unwrap();
        assert_eq!(used_since(&raw, 0), [used(0, 8)]);
    }
}

/// SPLIT-USED-10: refused in a burst, and with nothing writable at all; the chain is returned with nothing written.
#[test]
fn refused_chain_returned_with_0() {
    let (mut fixture, raw) = with_buffers(0);
    raw.set_descriptor(0, readable(SPACE, 8));
    offer(&raw, &[0]);
    let mut burst = fixture.queue.burst();
    let error = burst.next_chain().unwrap().unwrap().return_written(1).unwrap_err();
    assert_eq!(error, ReturnError::TooLong { written: 1, writable: 0 });
    drop(burst);
    assert_eq!(used_since(&raw, 0), [used(0, 0)]);
    assert_eq!(fixture.queue.in_flight(), 0);
}

/// SPLIT-DESC-7: a chain of 2^32 writable bytes can say that 2^32 - 1 were written.
#[test]
fn chain_of_4_gib_returned_with_largest_length() {
    let (mut fixture, raw) = with_buffers(0);
    write_direct(&raw, &in_line(0, &[writable(0, 1 << 31), writable(0, 1 << 31)]));
    offer(&raw, &[0]);
    fixture.queue.next_chain().unwrap().unwrap().return_written(u32::MAX).unwrap();
    assert_eq!(used_since(&raw, 0), [used(0, u32::MAX)]);
}

/// SPLIT-USED-3: who vouches for what was written is not asked to prove it.
#[test]
fn return_unchecked_takes_the_callers_word() {
    let (mut fixture, raw) = with_buffers(0);
    offer(&raw, &[0, 1]);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let (returned, log) = logged(&fixture.mem, || chain.return_unchecked(0x100).map_err(|refused| refused.error));
    assert_eq!(returned, Ok(()));
    assert!(!log.contains(&MemEvent::Read(raw.areas().descriptor(0))), "nobody has to look at the chain");
    assert_eq!(used_since(&raw, 0), [used(0, 0x100)]);
    assert_eq!(fixture.queue.in_flight(), 0);
}

/// INV-6, INV-7, LAY-5, SPLIT-DESC-1, SPLIT-DESC-2, SPLIT-DESC-3, SPLIT-AVAIL-1, SPLIT-IND-8, FEAT-12: of all memory,
/// the queue writes its used ring, and reads its table, the available ring and indirect tables. Nothing else is even
/// mapped.
#[test]
fn accesses_stay_where_they_belong() {
    for features in RING_SETS {
        let fixture = options(8, features).build_on(|heap, driver| {
            let (mem, areas) = (Rc::new(TestMem::new(heap)), driver.areas());
            mem.unmap(range(0, 1 << 40));
            let readable = [areas.descriptors(), areas.available_ring(), range(SPACE, 0x100)];
            readable.iter().for_each(|area| mem.restrict(*area, Access::Read));
            mem.restrict(areas.used_ring(), Access::Write);
            mem
        });
        let mut fixture = fixture.unwrap();
        let areas = *fixture.driver.areas();
        fixture.mem.start_log();
        let limits = TrafficLimits { elements: 8, bytes: 64, indirect: features & INDIRECT != 0 };
        for chain in Traffic::new(5, limits).take(300) {
            let id = fixture.driver.add(&chain.table_at(DriverAddr(SPACE))).unwrap();
            assert_eq!(walk_next(&mut fixture.queue).1, None);
            let buffer = fixture.driver.reap().unwrap().unwrap();
            assert_eq!((buffer.id, buffer.len, buffer.rest_is_untouched()), (id, 0, true));
        }
        let is_in = |part: &DriverRange, area: DriverRange| {
            area.offset_of(part.start()).is_some_and(|offset| area.slice(offset, part.len()).is_some())
        };
        for event in accesses(&fixture.mem.take_log()) {
            let (part, allowed) = match event {
                MemEvent::Written(part) => (part, vec![areas.used_ring()]),
                MemEvent::Read(part) | MemEvent::Translate { range: part, .. } => {
                    (part, vec![areas.descriptors(), areas.available_ring(), range(SPACE, 0x100)])
                }
            };
            assert!(allowed.iter().any(|area| is_in(&part, *area)), "{event:?}");
        }
    }
}
