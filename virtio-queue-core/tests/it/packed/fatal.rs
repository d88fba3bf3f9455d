//! Packed rings that make no sense: the error, once, and then nothing at all.

use std::rc::Rc;

use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{DriverChain, TestMem};
use virtio_mem_traits::{DriverAddr, DriverRange, TranslateError};
use virtio_queue_core::FatalError;

use crate::support::packed::{Fixture, Hand, options, start, with_flags};
use crate::support::{EVENT_IDX, INDIRECT, check_dead, fetch, logged, readable, serve_chains};

/// HOST-5, DRV-PSG-3, DRV-PDESC-1, INV-5, INV-3, GEN-2, DRV-STAT-2: a list that reaches into slots in flight breaks the
/// queue, wherever in the ring that is; one that is as long as the room is not.
#[test]
fn list_over_slots_in_flight_breaks_queue() {
    for size in [1, 2, 5] {
        for advance in 0..2 * size {
            for used in 1..=size {
                for len in 1..=size {
                    let (mut fixture, mut hand) = start(size, EVENT_IDX);
                    for _ in 0..advance {
                        hand.offer(0, &[readable(1, 1)]);
                        drop(fixture.queue.next_chain().unwrap().unwrap());
                    }
                    hand.offer(7, &vec![readable(1, 1); used.into()]);
                    let token = fetch(&mut fixture.queue);
                    hand.offer(9, &vec![readable(1, 1); len.into()]);
                    if used + len <= size {
                        let _in_flight = fetch(&mut fixture.queue);
                        assert_eq!(fixture.queue.in_flight(), used + len);
                        continue;
                    }
                    let fault = FatalError::Oversubscribed { available: len, in_flight: used, size };
                    assert_eq!(fixture.queue.next_chain().unwrap_err(), fault);
                    fixture.notifications.take();
                    check_dead(&mut fixture.queue, &fixture.mem, fault, true, vec![token]);
                    assert_eq!(fixture.notifications.count(), 0);
                }
            }
        }
    }
}

/// HOST-5, INV-2, INV-5: what a burst holds back is in flight for the driver, who cannot have made more available in
/// its place. So a burst ends, and holds back no more than the ring has room for.
#[test]
fn oversubscription_during_burst_breaks_queue() {
    for held in 1..=5 {
        let (mut fixture, mut hand) = start(5, EVENT_IDX);
        (0..held).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        let mut burst = fixture.queue.burst();
        (0..held).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        (held..5).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        (held..5).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        hand.offer(5, &[readable(1, 1)]);
        let fault = FatalError::Oversubscribed { available: 1, in_flight: 5, size: 5 };
        assert_eq!(burst.next_chain().unwrap_err(), fault);
        drop(burst);
        assert!(hand.used_at(0).is_none(), "what was held back is not published");
        assert_eq!(fixture.notifications.count(), 0);
        check_dead(&mut fixture.queue, &fixture.mem, fault, true, Vec::new());
    }
}

/// HOST-4, INV-5: the same where lists are served, with others in flight.
#[test]
fn oversubscription_with_lists_in_flight_breaks_queue_that_serves() {
    for (lists, len, in_flight) in [(4, 1, 5), (2, 2, 4)] {
        let (mut fixture, mut hand) = start(5, 0);
        hand.offer(0, &[readable(1, 1), readable(1, 1)]);
        let token = fixture.queue.next_chain().unwrap().unwrap().into_token();
        (1..=lists).for_each(|id| _ = hand.offer(id, &vec![readable(1, 1); len]));
        let fault = FatalError::Oversubscribed { available: len as u16, in_flight, size: 5 };
        assert_eq!(serve_chains(&mut fixture.queue, usize::MAX, |_| 0), Err(fault));
        assert!(hand.used_at(0).is_none(), "nothing is published");
        check_dead(&mut fixture.queue, &fixture.mem, fault, true, vec![token]);
    }
}

/// DRV-PSG-1, HOST-18, INV-2, INV-3: NEXT in all slots is a list without an end, and nobody knows what comes after it.
/// It is found by looking at each slot once.
#[test]
fn list_without_end_breaks_queue() {
    for size in [1, 2, 3, 8] {
        for start_at in 0..2 * size {
            let (mut fixture, mut hand) = start(size, INDIRECT);
            for _ in 0..start_at {
                hand.offer(0, &[readable(1, 1)]);
                drop(fixture.queue.next_chain().unwrap().unwrap());
            }
            let endless: Vec<_> = (0..size).map(|_| with_flags(readable(1, 0), Descriptor::NEXT)).collect();
            hand.offer(0, &endless);
            let fault = FatalError::EndlessList { size };
            let (error, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap_err());
            assert_eq!((error, log.len()), (fault, usize::from(size)));
            check_dead(&mut fixture.queue, &fixture.mem, fault, true, Vec::new());
        }
    }
}

fn lost(addr: DriverAddr) -> FatalError {
    FatalError::Area(TranslateError::Unmapped { addr }.into())
}

fn torn(part: DriverRange) -> FatalError {
    FatalError::Area(TranslateError::Fragmented { addr: part.start() }.into())
}

/// HOST-13, DRV-RST-1: a part of the ring disappears: where the device looks for a list, where the list goes on, and
/// where a used descriptor belongs. Whoever needs it is told; what the driver waits for is not read then, and nobody is
/// notified.
#[test]
fn ring_lost_while_running_breaks_queue() {
    // Which slot is lost, and whether that is found by a fetch or by a return.
    for (slot, by_fetch) in [(1, true), (2, true), (1, false)] {
        let fixture = options(4, 0).build_on(|heap, driver| {
            let mem = Rc::new(TestMem::new(heap));
            (1..4).for_each(|slot| mem.split_at(driver.areas().descriptor(slot).start()));
            mem
        });
        let mut fixture = fixture.unwrap();
        let areas = *fixture.driver.areas();
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        drop(fixture.queue.next_chain().unwrap());
        assert_eq!(fixture.notifications.take(), 1);
        fixture.driver.add(&DriverChain::new().writable(1).writable(1)).unwrap();
        if by_fetch {
            fixture.mem.unmap(areas.descriptor(slot));
            let fault = lost(areas.id_and_flags(slot).start());
            assert_eq!(fixture.queue.next_chain().unwrap_err(), fault);
            check_dead(&mut fixture.queue, &fixture.mem, fault, true, Vec::new());
        } else {
            let token = fetch(&mut fixture.queue);
            fixture.mem.unmap(areas.descriptor(slot));
            let fault = lost(areas.used(slot).start());
            assert_eq!(fixture.queue.complete(token, 0), Err(fault.into()));
            check_dead(&mut fixture.queue, &fixture.mem, fault, false, Vec::new());
        }
        assert_eq!(fixture.notifications.count(), 0);
    }
}

/// A queue whose ring is in two pieces, the second of which begins at `field` of the descriptor in `slot`.
fn cut(slot: u16, field: u64) -> (Fixture, Hand) {
    let fixture = options(4, EVENT_IDX).build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        mem.split_at(driver.areas().descriptor(slot).after(field).start());
        mem
    });
    let fixture = fixture.unwrap();
    let hand = Hand::new(fixture.driver.raw().clone());
    (fixture, hand)
}

/// HOST-13, INV-3, BAR-8, BAR-9: a ring that is cut where no mapping ends, inside of what is accessed at once: nothing
/// is written of a used descriptor then, and nothing is taken for the id or the flags of an available one.
#[test]
fn ring_cut_inside_of_word_breaks_queue() {
    for (slot, field) in (0..4).flat_map(|slot| (9..16).map(move |field| (slot, field))) {
        let (mut fixture, mut hand) = cut(slot, field);
        for _ in 0..slot {
            hand.offer(0, &[readable(1, 1)]);
            drop(fixture.queue.next_chain().unwrap().unwrap());
        }
        hand.offer(7, &[readable(1, 1)]);
        let (areas, offered) = (*hand.raw.areas(), hand.raw.descriptor(slot));
        if field <= 12 {
            let (fault, token) = (torn(areas.used(slot)), fetch(&mut fixture.queue));
            assert_eq!(fixture.queue.complete(token, 0), Err(fault.into()));
            check_dead(&mut fixture.queue, &fixture.mem, fault, false, Vec::new());
        } else {
            let fault = torn(areas.id_and_flags(slot));
            assert_eq!(fixture.queue.next_chain().unwrap_err(), fault);
            check_dead(&mut fixture.queue, &fixture.mem, fault, true, Vec::new());
        }
        assert_eq!(hand.raw.descriptor(slot), offered);
    }
}

/// HOST-13, INV-3, PACK-MB-1: the same further on in a list, and further on in a burst, of which nothing is published
/// then.
#[test]
fn ring_cut_inside_of_later_word_breaks_queue() {
    for field in 13..16 {
        let (mut fixture, mut hand) = cut(1, field);
        hand.offer(7, &[readable(1, 1), readable(1, 1)]);
        let fault = torn(hand.raw.areas().id_and_flags(1));
        assert_eq!(fixture.queue.next_chain().unwrap_err(), fault);
        check_dead(&mut fixture.queue, &fixture.mem, fault, true, Vec::new());
    }
    for field in 9..13 {
        let (mut fixture, mut hand) = cut(1, field);
        (0..2).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        let [first, second] = [(); 2].map(|()| fetch(&mut fixture.queue));
        let fault = torn(hand.raw.areas().used(1));
        let mut burst = fixture.queue.burst();
        burst.complete(first, 0).unwrap();
        assert_eq!(burst.complete(second, 0), Err(fault.into()));
        assert_eq!(burst.finish(), Err(fault));
        assert!(hand.used_at(0).is_none());
        check_dead(&mut fixture.queue, &fixture.mem, fault, false, Vec::new());
    }
}
