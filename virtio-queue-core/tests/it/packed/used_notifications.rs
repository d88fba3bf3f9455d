//! Event suppression by the driver: when it is told that descriptors were used.

use std::sync::Arc;

use virtio_fake_driver::packed::EventSuppression;
use virtio_fake_driver::{MemEvent, PackedFixture};
use virtio_mem_traits::HeapMem;

use crate::support::packed::{Fixture, Hand, off_wrap, options, start};
use crate::support::{EVENT_IDX, fetch, readable, serve_chains};

/// Uses lists of these lengths in one burst, and returns how often the driver was notified.
pub(super) fn use_lists(fixture: &mut Fixture, hand: &mut Hand, lens: &[usize]) -> usize {
    for (id, len) in (0..).zip(lens) {
        hand.offer(id, &vec![readable(1, 1); *len]);
    }
    let mut burst = fixture.queue.burst();
    lens.iter().for_each(|_| drop(burst.next_chain().unwrap().expect("the list is available")));
    burst.finish().unwrap();
    fixture.notifications.take()
}

/// PACK-EVT-1, PACK-EVT-6, HOST-21, AMB-11, AMB-7: the two lowest bits of the flags decide: all notifications, none, or
/// the one for a certain slot if that was negotiated. The reserved value, and a slot without the feature, are taken for
/// all. All other bits, and off_wrap where it has no meaning, are ignored.
#[test]
fn flags_of_every_value_are_a_mode() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, mut hand) = start(3, features);
        for flags in 0..=u16::MAX {
            // The slot that comes next, in this lap and in the other one.
            for ahead in [0, 3] {
                hand.wait_for(flags, off_wrap(3, hand.next + ahead));
                let expected = match flags & 3 {
                    1 => false,
                    2 if features == EVENT_IDX => ahead == 0,
                    _ => true,
                };
                let notified = use_lists(&mut fixture, &mut hand, &[1]);
                assert_eq!(notified, usize::from(expected), "{flags:#x} {ahead}");
            }
        }
    }
}

/// Whether one of the `count` positions from `old` on is the slot that is waited for, in a lap with its wrap counter.
/// As many positions as the ring has pass every slot: that is answered by a notification in any case (EVA-10).
fn expected(size: u16, event: u16, old: u32, count: u32) -> bool {
    count >= u32::from(size) || (old..old + count).any(|position| off_wrap(size, position) == event)
}

/// PACK-EVT-2, PACK-EVT-9, EVA-5, EVA-6, EVA-9, EVA-10, REG-3, AMB-7: lists and batches of every length, from every
/// slot, with an event on every slot of either lap: there is a notification exactly if the event is among the slots
/// that were passed, at the beginning, at the end or in between.
#[test]
fn event_among_slots_passed_notifies() {
    for size in 1..=6_u16 {
        let full = usize::from(size);
        let mut batches: Vec<Vec<usize>> = (1..=full).map(|len| vec![len]).collect();
        batches.extend((2..=full).map(|count| vec![1; count]));
        batches.extend((2..full).map(|len| vec![1, len]));
        batches.extend((2..full).map(|len| vec![len, 1]));
        for batch in batches {
            for start_at in 0..2 * u32::from(size) {
                for event in 0..2 * u32::from(size) {
                    let (mut fixture, mut hand) = start(size, EVENT_IDX);
                    for _ in 0..start_at {
                        use_lists(&mut fixture, &mut hand, &[1]);
                    }
                    hand.wait_for(EventSuppression::DESC, off_wrap(size, event));
                    let count = batch.iter().sum::<usize>() as u32;
                    let notified = use_lists(&mut fixture, &mut hand, &batch);
                    let wanted = expected(size, off_wrap(size, event), start_at, count);
                    assert_eq!(notified, usize::from(wanted), "size {size}, {batch:?} from {start_at}, event {event}");
                }
            }
        }
    }
}

/// PACK-EVT-2, EVA-6, EVA-9, EVA-10, BAR-7: it is the same with one list that is used as soon as it was looked at.
#[test]
fn event_among_slots_of_served_list_notifies() {
    let serve = |fixture: &mut PackedFixture<Arc<HeapMem>>, hand: &mut Hand, len| {
        hand.offer(7, &vec![readable(1, 1); len]);
        let old = hand.next - len as u32;
        assert_eq!(serve_chains(&mut fixture.queue, 1, |_| 5), Ok(1));
        hand.check_used(old, 7, 5);
        fixture.notifications.take()
    };
    for size in 1..=6_u16 {
        for len in 1..=usize::from(size) {
            for start_at in 0..2 * u32::from(size) {
                for event in 0..2 * u32::from(size) {
                    let mut fixture = options(size, EVENT_IDX).build_plain().unwrap();
                    let mut hand = Hand::new(fixture.driver.raw().clone());
                    (0..start_at).for_each(|_| _ = serve(&mut fixture, &mut hand, 1));
                    hand.wait_for(EventSuppression::DESC, off_wrap(size, event));
                    let notified = serve(&mut fixture, &mut hand, len);
                    let wanted = expected(size, off_wrap(size, event), start_at, len as u32);
                    assert_eq!(notified, usize::from(wanted), "size {size}, {len} from {start_at}, event {event}");
                    assert_eq!(serve_chains(&mut fixture.queue, 1, |_| 5), Ok(0));
                }
            }
        }
    }
}

/// PACK-EVT-1, PACK-EVT-6, REG-9: of what was held back before, a list that is served is published last, and in one
/// batch with it.
#[test]
fn served_list_is_published_after_those_held_back() {
    let mut fixture = options(4, EVENT_IDX).build_plain().unwrap();
    let mut hand = Hand::new(fixture.driver.raw().clone());
    (0..3).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
    hand.wait_for(EventSuppression::DESC, off_wrap(4, 0));
    let (ring, state) = fixture.queue.parts_mut();
    let held_back = state.fetch(ring).unwrap().expect("three lists are available");
    let later = state.fetch(ring).unwrap().expect("two lists are available");
    state.complete(ring, held_back, 0).unwrap();
    assert_eq!((hand.used_at(0), fixture.notifications.take()), (None, 0));
    assert_eq!(serve_chains(&mut fixture.queue, 1, |_| 5), Ok(1));
    hand.check_used(0, 0, 0);
    hand.check_used(1, 2, 5);
    assert_eq!(fixture.notifications.take(), 1);
    fixture.queue.complete(later, 0).unwrap();
    hand.check_used(2, 1, 0);
}

/// PACK-EVT-2, EVA-5, EVA-9: while an older list is in flight, the used descriptor of one that is served goes over the
/// end of the ring although the list itself does not.
#[test]
fn event_beyond_end_of_served_list_notifies() {
    for event in 0..8 {
        let mut fixture = options(4, EVENT_IDX).build_plain().unwrap();
        let mut hand = Hand::new(fixture.driver.raw().clone());
        (0..4).for_each(|id| _ = hand.offer(id, &[readable(1, 1)]));
        assert_eq!(serve_chains(&mut fixture.queue, 3, |_| 0), Ok(3));
        let in_flight = fetch(&mut fixture.queue);
        hand.offer(7, &[readable(1, 1), readable(1, 1)]);
        hand.wait_for(EventSuppression::DESC, off_wrap(4, event));
        fixture.notifications.take();
        assert_eq!(serve_chains(&mut fixture.queue, 1, |_| 5), Ok(1));
        hand.check_used(3, 7, 5);
        assert_eq!(fixture.notifications.take(), usize::from(event == 3 || event == 4), "event {event}");
        fixture.queue.complete(in_flight, 0).unwrap();
        hand.check_used(5, 3, 0);
    }
}

/// EVA-6, EVA-11, EVA-12, PACK-EVT-2: a long run in rings of odd sizes, with events ahead, behind and changing, and
/// with the other modes in between: what was used while nobody asked for a slot does not count afterwards.
#[test]
fn events_over_many_laps_are_as_modelled() {
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for size in [1, 2, 3, 7, 255, 256] {
        let (mut fixture, mut hand) = start(size, EVENT_IDX);
        let (mut fired, mut silent) = (0, 0);
        for _ in 0..6000 {
            let old = hand.next;
            let mode = random(6).min(2) as u16;
            let ahead = random(3 * u64::from(size)) as u32;
            let event = off_wrap(size, old + 2 * u32::from(size) - u32::from(size) / 2 + ahead);
            hand.wait_for(mode, event);
            let mut room = usize::from(size);
            let mut batch = Vec::new();
            for _ in 0..=random(3) {
                if room != 0 {
                    let len = 1 + random(room.min(5) as u64) as usize;
                    room -= len;
                    batch.push(len);
                }
            }
            let notified = use_lists(&mut fixture, &mut hand, &batch);
            let wanted = match mode {
                EventSuppression::ENABLE => true,
                EventSuppression::DISABLE => false,
                _ => expected(size, event, old, batch.iter().sum::<usize>() as u32),
            };
            assert_eq!(
                notified,
                usize::from(wanted),
                "size {size}, {batch:?} from {old}, mode {mode}, event {event:#x}"
            );
            *(if wanted { &mut fired } else { &mut silent }) += 1;
        }
        assert!(fired > 500 && silent > 500, "{fired} {silent}");
    }
}

/// EVA-11: the driver wants nothing for three laps, then a slot ahead. What was used before is not counted against it.
#[test]
fn event_after_three_laps_of_silence_waits_for_its_slot() {
    for size in [2, 5, 8] {
        let (mut fixture, mut hand) = start(size, EVENT_IDX);
        hand.wait_for(EventSuppression::DISABLE, 0);
        (0..3 * size).for_each(|_| assert_eq!(use_lists(&mut fixture, &mut hand, &[1]), 0));
        hand.wait_for(EventSuppression::DESC, off_wrap(size, hand.next + 1));
        assert_eq!(use_lists(&mut fixture, &mut hand, &[1]), 0);
        assert_eq!(use_lists(&mut fixture, &mut hand, &[1]), 1);
        assert_eq!(use_lists(&mut fixture, &mut hand, &[1]), 0);
    }
}

/// EVA-16, HOST-21: off_wrap may say anything. For a slot of the ring there is one right answer, and for others none;
/// nothing panics.
#[test]
fn off_wrap_of_every_value_is_answered() {
    for size in [1, 3, 256] {
        let (mut fixture, mut hand) = start(size, EVENT_IDX);
        for event in 0..=u16::MAX {
            let old = hand.next;
            hand.wait_for(EventSuppression::DESC, event);
            let notified = use_lists(&mut fixture, &mut hand, &[1]);
            if event & 0x7fff < size {
                assert_eq!(notified, usize::from(expected(size, event, old, 1)), "{event:#x} at {old}");
            }
        }
        assert!(!fixture.queue.is_broken());
    }
}

/// BAR-7, BAR-10: the driver's structure is read once, in one piece, after the used descriptor was written. A driver
/// that changes its mind right before that is understood.
#[test]
fn driver_that_asks_at_last_moment_is_notified() {
    for (features, flags) in [(0, EventSuppression::ENABLE), (EVENT_IDX, EventSuppression::DESC)] {
        for late in [false, true] {
            let (mut fixture, mut hand) = start(4, features);
            hand.wait_for(EventSuppression::DISABLE, 0xffff);
            hand.offer(0, &[readable(1, 1)]);
            let (driver, asks_at) = (hand.clone(), hand.raw.areas().used(0));
            let events = hand.raw.areas().driver_events();
            fixture.mem.on_event(move |_, event| {
                let now = if late { MemEvent::Read(events) } else { MemEvent::Written(asks_at) };
                if event == now {
                    driver.wait_for(flags, off_wrap(4, 0));
                }
            });
            let token = fetch(&mut fixture.queue);
            fixture.queue.complete(token, 0).unwrap();
            assert_eq!(fixture.notifications.count(), 1);
        }
    }
}
