//! Fetching from a packed ring: what is available, in what order, and what is read to find it.

use std::collections::HashSet;
use std::rc::Rc;

use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{MemEvent, TestMem};
use virtio_queue_core::{ChainError, ChainErrorKind};

use crate::support::packed::{BOTH, Hand, available, off_wrap, options, place, reads, start, used, with_flags};
use crate::support::{
    EVENT_IDX, INDIRECT, Plain, Way, accesses, fetch, logged, readable, table, walk, walk_next, walk_once, writable,
};

/// A list of `len` readable elements of one byte each, and what a walk finds of it.
fn list_of(len: u16) -> (Vec<Descriptor>, Vec<Plain>) {
    let list = (0..len).map(|n| readable(u64::from(n) * 3, 1)).collect();
    (list, (0..len).map(|n| (u64::from(n) * 3, 1, false)).collect())
}

/// PACK-WRAP-6, INV-2, GEN-11, PACK-EVT-10, DRV-PDESC-4, BAR-12, HOST-25, LAY-10: whoever kicks for nothing causes one
/// read of 32 bits, the Buffer ID and the flags of the next slot, and no write.
#[test]
fn poll_of_empty_ring_reads_id_and_flags_once() {
    for features in [0, INDIRECT, EVENT_IDX] {
        for position in 0..10 {
            let (mut fixture, mut hand) = start(5, features);
            for _ in 0..position {
                hand.offer(1, &[readable(1, 1)]);
                drop(fixture.queue.next_chain().unwrap().unwrap());
            }
            fixture.notifications.take();
            // The first poll may ask to be notified of the next one.
            assert!(fixture.queue.next_chain().unwrap().is_none());
            let first = hand.raw.areas().id_and_flags(hand.place(position).0);
            for _ in 0..1000 {
                let (fetched, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap().is_some());
                assert_eq!((fetched, log), (false, reads([first])));
            }
            assert_eq!((first.len(), fixture.notifications.count()), (4, 0));
        }
    }
}

/// BAR-6: with EVENT_IDX, a queue that has run dry asks for the next descriptor and looks once more, as the driver may
/// not have seen it ask. Afterwards it has asked already.
#[test]
fn first_poll_of_dry_ring_asks_for_next_descriptor() {
    let (mut fixture, mut hand) = start(5, EVENT_IDX);
    let (list, _) = list_of(3);
    hand.offer(1, &list);
    let _in_flight = fetch(&mut fixture.queue);
    let areas = *hand.raw.areas();
    let (first, events) = (areas.id_and_flags(3), areas.device_events());
    let (_, log) = logged(&fixture.mem, || assert!(fixture.queue.next_chain().unwrap().is_none()));
    assert_eq!(log, [MemEvent::Read(first), MemEvent::Written(events), MemEvent::Read(first)]);
    assert_eq!(hand.raw.device_events().off_wrap, off_wrap(5, 3));
    let (_, log) = logged(&fixture.mem, || assert!(fixture.queue.next_chain().unwrap().is_none()));
    assert_eq!(log, reads([first]));
}

/// PACK-WRAP-2, PACK-WRAP-5, PACK-DESC-3, HOST-18: the truth table of AVAIL, USED and the wrap counter, with everything
/// else that can be in the flags. What is not available is not fetched; what is, is fetched once.
#[test]
fn flags_of_every_value_are_available_or_not() {
    let (mut fixture, hand) = start(3, 0);
    let (mut position, mut seen) = (0, HashSet::new());
    // Twice all of them, in an order in which neighbours have nothing in common.
    for flags in (0..1 << 17).map(|n: u32| n.wrapping_mul(0x9e37_79b1) as u16) {
        let (slot, wrap) = hand.place(position);
        let (after, wrap_after) = hand.place(position + 1);
        hand.raw.set_descriptor(after, with_flags(readable(2, 2), flags & !Descriptor::NEXT & !available(wrap_after)));
        hand.raw.set_descriptor(slot, with_flags(readable(1, 1), flags));
        let (avail, used) = (flags & Descriptor::AVAIL != 0, flags & Descriptor::USED != 0);
        let fetched = fixture.queue.next_chain().unwrap().map(drop).is_some();
        assert_eq!(fetched, avail == wrap && used != wrap, "{flags:#x} with {wrap}");
        seen.insert((flags & (BOTH | Descriptor::NEXT), wrap, fetched));
        if fetched {
            hand.check_used(position, 0xbad, 0);
            position += if flags & Descriptor::NEXT != 0 { 2 } else { 1 };
        }
    }
    assert_eq!(seen.len(), 16, "each of the 8 cases, with and without NEXT, and one outcome for each");
}

/// BAR-5, PACK-SG-6, PACK-SG-7, PACK-USED-2: without a kick, the first flags before anything else, and in the same
/// access the Buffer ID, then as much of the others as tells where the list ends and who it is, each once; a walk then
/// reads each descriptor once.
#[test]
fn fetch_and_walk_read_in_order() {
    for len in 1..=5 {
        let (mut fixture, mut hand) = start(5, 0);
        let (list, elements) = list_of(len);
        hand.offer(77, &list);
        let areas = *hand.raw.areas();
        let mem = Rc::clone(&fixture.mem);
        let (chain, log) = logged(&mem, || fixture.queue.next_chain().unwrap().unwrap());
        let expected: Vec<_> = (0..len).map(|slot| MemEvent::Read(areas.id_and_flags(slot))).collect();
        assert_eq!((chain.id(), log), (77, expected));
        let (found, log) = logged(&mem, || walk_once(&chain, Way::Fold));
        assert_eq!(found, (elements, None));
        let walked: Vec<_> = (0..len).map(|slot| MemEvent::Read(areas.descriptor(slot))).collect();
        assert_eq!(log, walked);
    }
}

/// PACK-WRAP-1, PACK-WRAP-4, PACK-WRAP-5, PACK-WRAP-8, PACK-SG-1, PACK-SG-3, PACK-SG-4, PACK-USED-1, PACK-USED-2,
/// PACK-DESC-3, REG-1, REG-2, AMB-12, AMB-22, USER-3: lists of every length from every slot, over the end and as long
/// as the ring, in rings of every small size. Both counters flip where the end is passed, by skipping too; what is left
/// of earlier laps in skipped slots is nobody's list; the skipped slots stay as the driver wrote them.
#[test]
fn lists_of_every_length_go_round() {
    for size in 1..=8 {
        for len in 1..=size {
            for singles in 0..=u32::from(size) {
                let (mut fixture, mut hand) = start(size, 0);
                for round in 0..4 * u32::from(size) {
                    let len = if round < singles { 1 } else { len };
                    let (list, elements) = list_of(len);
                    let position = hand.offer(round as u16 ^ 0x5a5a, &list);
                    let before: Vec<_> = (0..size).map(|slot| hand.raw.descriptor(slot)).collect();
                    let chain = fixture.queue.next_chain().unwrap().expect("the list is available");
                    assert_eq!((chain.id(), walk(&chain)), (round as u16 ^ 0x5a5a, (elements, None)));
                    drop(chain);
                    let (slot, _) = place(size, position);
                    hand.check_used(position, round as u16 ^ 0x5a5a, 0);
                    for other in (0..size).filter(|other| *other != slot) {
                        assert_eq!(hand.raw.descriptor(other), before[usize::from(other)], "{size} {len} {position}");
                    }
                    for _ in 0..2 {
                        assert!(fixture.queue.next_chain().unwrap().is_none(), "{size} {len} {position}");
                    }
                }
            }
        }
    }
}

/// PACK-WRAP-7, HOST-18, DRV-PSG-4, DRV-PBAR-1: where a list goes on, its own AVAIL and USED bits do not matter: as the
/// specification has them, inverted, both, or none.
#[test]
fn flags_inside_of_list_ignored() {
    for size in [3, 4] {
        for bits in [0, Descriptor::AVAIL, Descriptor::USED, BOTH] {
            let (mut fixture, mut hand) = start(size, 0);
            for _ in 0..3 * size {
                let position = hand.next;
                let (list, elements) = list_of(3);
                hand.offer(5, &list);
                for index in [1, 2] {
                    let (slot, _) = hand.place(position + index);
                    let flags = hand.raw.descriptor(slot).flags & !BOTH | bits;
                    hand.raw.set_flags(slot, flags);
                }
                assert_eq!(walk_next(&mut fixture.queue), (elements, None));
                hand.check_used(position, 5, 0);
                // What such a slot says, it says when it is the next one.
                let (slot, wrap) = hand.place(hand.next);
                hand.raw.set_flags(slot, used(!wrap));
            }
        }
    }
}

/// HOST-19, AMB-9, HOST-6: any Buffer ID is as good as any other: out of range, and the same for all that is in flight.
#[test]
fn buffer_ids_echoed() {
    for ids in [[0xffff; 4], [4, 5, 6, 7], [0, 0, 0, 0], [0x8000, 0xffff, 0, 0x8000]] {
        let (mut fixture, mut hand) = start(4, 0);
        for lap in 0..6 {
            let first = hand.next;
            ids.iter().for_each(|id| _ = hand.offer(*id, &[writable(1, 9)]));
            let tokens: Vec<_> = ids.iter().map(|_| fetch(&mut fixture.queue)).collect();
            assert!(tokens.iter().map(|token| token.id()).eq(ids));
            assert!(fixture.queue.next_chain().unwrap().is_none());
            for (token, written) in tokens.into_iter().rev().zip(1 + lap..) {
                fixture.queue.complete(token, written).unwrap();
            }
            for (index, id) in (0..).zip(ids.into_iter().rev()) {
                hand.check_used(first + index, id, 1 + lap + index);
            }
        }
    }
}

/// GEN-9, DRV-INIT-1, PACK-SG-7: what was made available before the queue was there, and what the driver could not kick
/// for.
#[test]
fn lists_pending_at_activation_fetched_without_kick() {
    for features in [0, EVENT_IDX] {
        let fixture = options(5, features).build_on(|heap, driver| {
            let mut hand = Hand::new(driver.raw().clone());
            (0..2).for_each(|id| _ = hand.offer(id, &list_of(2).0));
            Rc::new(TestMem::new(heap))
        });
        let mut fixture = fixture.unwrap();
        for _ in 0..2 {
            assert_eq!(walk_next(&mut fixture.queue), (list_of(2).1, None));
        }
        assert!(fixture.queue.next_chain().unwrap().is_none());
    }
}

/// LAY-10, AMB-16, PACK-EVT-4, BAR-10: a ring of zeros is empty. Activation writes the Device Area, in one piece and
/// whatever is there, reads nothing and leaves the ring as it is.
#[test]
fn activation_writes_device_area_alone() {
    for (features, expected) in [(0, [0, 0, 0, 0]), (EVENT_IDX, [0, 0x80, 2, 0])] {
        let fixture = options(5, features).build_on(|heap, driver| {
            let areas = driver.areas();
            driver.view().poke(areas.device_events().start(), &[0xff; 4]);
            driver.view().poke(areas.descriptors().start(), &[0; 80]);
            let mem = Rc::new(TestMem::new(heap));
            mem.start_log();
            mem
        });
        let mut fixture = fixture.unwrap();
        let areas = *fixture.driver.areas();
        assert_eq!(accesses(&fixture.mem.take_log()), [MemEvent::Written(areas.device_events())]);
        assert_eq!(fixture.driver.view().peek(areas.device_events().start(), 4), expected);
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(fixture.driver.view().peek(areas.descriptors().start(), 80), [0; 80]);
    }
}

/// LAY-8, PACK-WRAP-4, PACK-USED-9: the largest ring, filled to the last slot and emptied, for three laps; and lists as
/// long as all of it.
#[test]
fn largest_ring_filled_completely() {
    let mut fixture = options(1 << 15, 0).build_plain().unwrap();
    let mut hand = Hand::new(fixture.driver.raw().clone());
    for _ in 0..3 {
        let first = hand.next;
        (0..1 << 15).for_each(|id| _ = hand.offer(!id, &[writable(1, 1)]));
        let mut tokens = Vec::new();
        while let Some(chain) = fixture.queue.next_chain().unwrap() {
            tokens.push(chain.into_token());
        }
        assert_eq!(fixture.queue.in_flight(), 1 << 15);
        let mut burst = fixture.queue.burst();
        for token in tokens {
            burst.complete(token, 1).unwrap();
        }
        burst.finish().unwrap();
        (0..1 << 15).for_each(|id| hand.check_used(first + u32::from(id), !id, 1));

        let whole = hand.offer(3, &vec![readable(0, 0); 1 << 15]);
        assert_eq!(walk_next(&mut fixture.queue), (Vec::new(), None));
        hand.check_used(whole, 3, 0);
        assert!(fixture.queue.next_chain().unwrap().is_none());
    }
}

/// HOST-20, DRV-PDESC-2, DRV-CLEAN-1, DRV-PDESC-1: a list that is changed once it was fetched. How long it is and
/// whose, is settled; its elements are what a walk finds, as a list of that length.
#[test]
fn list_changed_after_fetch_keeps_length_and_id() {
    let (mut fixture, mut hand) = start(5, INDIRECT);
    let (list, _) = list_of(3);
    let position = hand.offer(7, &list);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    for slot in 0..5 {
        let more = if slot == 2 { Descriptor::NEXT } else { 0 };
        hand.raw.set_descriptor(slot, with_flags(readable(u64::from(slot), 8), more));
    }
    assert_eq!(walk(&chain), (vec![(0, 8, false), (1, 8, false), (2, 8, false)], None));
    hand.raw.set_descriptor(1, table(0, 16));
    let error = ChainError { id: 7, kind: ChainErrorKind::IndirectWithNext };
    assert_eq!(walk(&chain), (vec![(0, 8, false)], Some(error)));
    drop(chain);
    hand.check_used(position, 7, 0);
    hand.offer(8, &[readable(6, 6)]);
    assert_eq!(walk_next(&mut fixture.queue), (vec![(6, 6, false)], None));
    hand.check_used(3, 8, 0);
}
