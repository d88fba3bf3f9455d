//! Event suppression by the device: how it asks to be told of descriptors, and that none is lost.

use core::cell::Cell;
use std::rc::Rc;

use virtio_fake_driver::MemEvent;
use virtio_fake_driver::packed::EventSuppression;
use virtio_queue_core::Armed;
use virtio_ring::DriverNotification;

use super::used_notifications::use_lists;
use crate::support::packed::{off_wrap, place, start};
use crate::support::{EVENT_IDX, INDIRECT, fetch, logged, readable};

/// PACK-EVT-3, PACK-EVT-4, PACK-EVT-5, PACK-EVT-8, PACK-EVT-11, EVA-14, EVA-15, BAR-6, BAR-10: to enable is one store
/// of 32 bits and then one look at the next slot. With EVENT_IDX the slot is named that is fetched next, with its wrap
/// counter, however far behind the used position is. To suppress is one store.
#[test]
fn suppress_and_enable_write_one_word() {
    for features in [0, EVENT_IDX] {
        for size in [1, 2, 5] {
            for behind in 0..size {
                let (mut fixture, mut hand) = start(size, features);
                let mut tokens = Vec::new();
                for position in 0..4 * u32::from(size) {
                    let (raw, areas) = (hand.raw.clone(), *hand.raw.areas());
                    let ((), log) = logged(&fixture.mem, || fixture.queue.suppress_notifications());
                    assert_eq!(log, [MemEvent::Written(areas.device_events())]);
                    assert_eq!(raw.device_events().flags, EventSuppression::DISABLE);
                    let (armed, log) = logged(&fixture.mem, || fixture.queue.enable_notifications());
                    assert_eq!(armed, Ok(Armed::Waiting));
                    let (slot, _) = place(size, position);
                    assert_eq!(
                        log,
                        [MemEvent::Written(areas.device_events()), MemEvent::Read(areas.id_and_flags(slot))]
                    );
                    let written = raw.device_events();
                    if features == EVENT_IDX {
                        let expected = (EventSuppression::DESC, off_wrap(size, position));
                        assert_eq!((written.flags, written.off_wrap), expected, "size {size}, {behind} behind");
                        assert!(written.off_wrap & 0x7fff < size);
                    } else {
                        assert_eq!(written.flags, EventSuppression::ENABLE);
                    }
                    hand.offer(0, &[readable(1, 1)]);
                    tokens.push(fetch(&mut fixture.queue));
                    if tokens.len() > behind.into() {
                        fixture.queue.complete(tokens.remove(0), 0).unwrap();
                    }
                }
            }
        }
    }
}

/// PACK-EVT-3, PACK-EVT-4, PACK-EVT-5, PACK-EVT-11: over a long run with everything in it, the device writes no other
/// words than these, whoever writes there meanwhile.
#[test]
fn device_area_has_no_other_values() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, mut hand) = start(5, features);
        let areas = *hand.raw.areas();
        let (writes, raw) = (Rc::new(Cell::new(0)), hand.raw.clone());
        let count = Rc::clone(&writes);
        fixture.mem.on_event(move |_, event| {
            if event == MemEvent::Written(areas.device_events()) {
                let EventSuppression { off_wrap, flags } = raw.device_events();
                match flags {
                    EventSuppression::ENABLE => assert_eq!((features, off_wrap), (0, 0)),
                    EventSuppression::DISABLE => assert_eq!(off_wrap, 0),
                    EventSuppression::DESC => assert!(features == EVENT_IDX && off_wrap & 0x7fff < 5),
                    _ => panic!("{flags:#x}"),
                }
                raw.view().poke(areas.device_events().start(), &[0xff; 4]);
                count.set(count.get() + 1);
            }
        });
        for round in 0..2000 {
            match round % 7 {
                0 => fixture.queue.suppress_notifications(),
                3 | 5 => drop(fixture.queue.enable_notifications().unwrap()),
                n => _ = use_lists(&mut fixture, &mut hand, &vec![1; n % 4 + 1]),
            }
            assert!(fixture.queue.next_chain().unwrap().is_none());
        }
        assert!(writes.get() > 800, "{}", writes.get());
    }
}

/// PACK-EVT-8: while notifications are suppressed, a poll does not ask for any.
#[test]
fn suppressed_until_enabled() {
    for features in [0, EVENT_IDX] {
        let (mut fixture, mut hand) = start(3, features);
        fixture.queue.suppress_notifications();
        for _ in 0..10 {
            use_lists(&mut fixture, &mut hand, &[1]);
            assert!(fixture.queue.next_chain().unwrap().is_none());
            assert_eq!(hand.raw.device_events().flags, EventSuppression::DISABLE);
        }
        assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
        assert_ne!(hand.raw.device_events().flags, EventSuppression::DISABLE);
    }
}

/// PACK-EVT-7, BAR-6: the driver makes a chain available after the device has asked, and before the device has looked
/// again. Perhaps the driver did not see the request. Enabling finds the chain.
#[test]
fn enable_finds_what_came_before_second_look() {
    for features in [0, EVENT_IDX] {
        for start_at in 0..6 {
            let (mut fixture, mut hand) = start(3, features);
            (0..start_at).for_each(|_| _ = use_lists(&mut fixture, &mut hand, &[1]));
            fixture.queue.suppress_notifications();
            let (asked, mut driver) = (hand.raw.areas().device_events(), Some(hand.clone()));
            fixture.mem.on_event(move |_, event| {
                let late = if event == MemEvent::Written(asked) { driver.take() } else { None };
                if let Some(mut hand) = late {
                    hand.offer(6, &[readable(1, 1), readable(1, 1)]);
                }
            });
            assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::MoreAvailable));
            assert_eq!(fixture.queue.next_chain().unwrap().unwrap().id(), 6);
            assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
        }
    }
}

/// PACK-EVT-7, BAR-6: the same while a poll asks for the descriptor after those that it has fetched.
#[test]
fn poll_finds_what_came_before_second_look() {
    for start_at in 0..6 {
        let (mut fixture, mut hand) = start(3, EVENT_IDX);
        (0..start_at).for_each(|_| _ = use_lists(&mut fixture, &mut hand, &[1]));
        assert!(fixture.queue.next_chain().unwrap().is_none());
        use_lists(&mut fixture, &mut hand, &[1]);
        let (asked, mut driver) = (hand.raw.areas().device_events(), Some(hand.clone()));
        fixture.mem.on_event(move |_, event| {
            let late = if event == MemEvent::Written(asked) { driver.take() } else { None };
            if let Some(mut hand) = late {
                hand.offer(6, &[readable(1, 1)]);
            }
        });
        assert_eq!(fixture.queue.next_chain().unwrap().map(|chain| chain.id()), Some(6));
        assert!(fixture.queue.next_chain().unwrap().is_none());
        assert_eq!(hand.raw.device_events().off_wrap, off_wrap(3, start_at + 2));
    }
}

/// NOTIF-6, HOST-24, DRV-PDESC-3, DRV-PDESC-4, DRV-MAY-3, NOTIF-5: whatever a kick says, out of the ring, out of date
/// or for no queue, and however often: what is in the ring decides alone.
#[test]
fn kick_says_anything_and_ring_decides() {
    let (mut fixture, mut hand) = start(5, INDIRECT);
    for hint in 0..=u16::MAX {
        let [low, high] = hint.to_le_bytes();
        let kick = DriverNotification::from_le_bytes32([0xff, 0xff, low, high]);
        assert_eq!((kick.queue, kick.next.unwrap().packed().bits()), (0xffff, hint));
        // All that there is to do with it: to look.
        for _ in 0..2 {
            assert!(fixture.queue.next_chain().unwrap().is_none(), "{hint:#x}");
        }
        if hint % 64 == 0 {
            hand.offer(hint, &[readable(1, 1)]);
            assert_eq!(fixture.queue.next_chain().unwrap().map(|chain| chain.id()), Some(hint));
        }
    }
}
