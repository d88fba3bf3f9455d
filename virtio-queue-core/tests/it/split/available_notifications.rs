//! Notifications by the driver: how the device asks for them, and that none is lost.

use virtio_fake_driver::{DriverChain, MemEvent};
use virtio_queue_core::Armed;

use crate::support::split::{Fixture, fixture, offer};
use crate::support::{EVENT_IDX, logged, readable, smoke};

/// A queue of 8 whose first descriptor is a chain.
fn start(features: u64) -> Fixture {
    let fixture = fixture(8, features);
    fixture.driver.raw().set_descriptor(0, readable(1, 1));
    fixture
}

/// Fetches and drops chains until there are none.
fn drain(fixture: &mut Fixture) -> usize {
    let mut count = 0;
    while let Some(chain) = fixture.queue.next_chain().unwrap() {
        drop(chain);
        count += 1;
    }
    count
}

/// SPLIT-ANOT-1, SPLIT-ANOT-2, BAR-2, BAR-12: without EVENT_IDX the flags are 1 to suppress and 0 to enable, and
/// enabling is the store, then one look at the index.
#[test]
fn suppress_and_enable_write_flags_without_event_idx() {
    let mut fixture = start(0);
    let (raw, areas) = (fixture.driver.raw().clone(), *fixture.driver.areas());
    for _ in 0..3 {
        let ((), log) = logged(&fixture.mem, || fixture.queue.suppress_notifications());
        assert_eq!((raw.used_flags(), log), (1, vec![MemEvent::Written(areas.used_flags())]));
        let (armed, log) = logged(&fixture.mem, || fixture.queue.enable_notifications());
        assert_eq!((armed, raw.used_flags()), (Ok(Armed::Waiting), 0));
        assert_eq!(log, [MemEvent::Written(areas.used_flags()), MemEvent::Read(areas.available_index())]);
    }
}

/// SPLIT-ANOT-3, SPLIT-ANOT-4, EVA-14: with EVENT_IDX the flags stay as they are. Enabling names the entry that is
/// fetched next; suppressing is to name none any more.
#[test]
fn suppress_and_enable_write_event_with_event_idx() {
    let mut fixture = start(EVENT_IDX);
    let (raw, areas) = (fixture.driver.raw().clone(), *fixture.driver.areas());
    for next in 0..20 {
        let ((), log) = logged(&fixture.mem, || fixture.queue.suppress_notifications());
        assert_eq!(log, []);
        let (armed, log) = logged(&fixture.mem, || fixture.queue.enable_notifications());
        assert_eq!((armed, raw.avail_event(), raw.used_flags()), (Ok(Armed::Waiting), next, 0));
        assert_eq!(log, [MemEvent::Written(areas.avail_event()), MemEvent::Read(areas.available_index())]);
        fixture.queue.suppress_notifications();
        offer(&raw, &[0]);
        assert_eq!(drain(&mut fixture), 1);
        assert_eq!(raw.avail_event(), next, "nobody asked for the next one");
    }
}

/// SPLIT-ANOT-1, SPLIT-ANOT-3, SPLIT-ANOT-8: over a long run with everything in it, the flags are never anything
/// but 0 and 1, with EVENT_IDX never anything but 0; without it, the event field is not touched.
#[test]
fn suppression_fields_have_no_other_values() {
    for features in [0, EVENT_IDX] {
        let mut fixture = start(features);
        let raw = fixture.driver.raw().clone();
        if features == 0 {
            raw.view().poke(raw.areas().avail_event().start(), &[0xef, 0xbe]);
        }
        fixture.mem.start_log();
        let mut seen = Vec::new();
        for round in 0..1000 {
            match round % 5 {
                0 => fixture.queue.suppress_notifications(),
                3 => drop(fixture.queue.enable_notifications().unwrap()),
                _ => {
                    smoke_one(&mut fixture, round % 4);
                }
            }
            seen.push(raw.used_flags());
        }
        seen.sort_unstable();
        seen.dedup();
        let event = MemEvent::Written(raw.areas().avail_event());
        let log = fixture.mem.take_log();
        if features == 0 {
            assert_eq!(seen, [0, 1]);
            assert_eq!(raw.avail_event(), 0xbeef);
            assert!(!log.contains(&event));
        } else {
            assert_eq!(seen, [0]);
            assert!(log.contains(&event));
        }
    }
}

fn smoke_one(fixture: &mut Fixture, count: usize) {
    offer(fixture.driver.raw(), &vec![0; count]);
    assert_eq!(drain(fixture), count);
}

/// SPLIT-ANOT-7, BAR-2: the driver makes a chain available after the device has asked, and before the device has looked
/// again. Perhaps the driver did not see the request. Enabling finds the chain.
#[test]
fn enable_finds_what_came_before_second_look() {
    for features in [0, EVENT_IDX] {
        let mut fixture = start(features);
        let raw = fixture.driver.raw().clone();
        let asked = if features == EVENT_IDX { raw.areas().avail_event() } else { raw.areas().used_flags() };
        fixture.queue.suppress_notifications();
        let driver = raw.clone();
        fixture.mem.on_event(move |_, event| {
            if event == MemEvent::Written(asked) && driver.available_index() == 0 {
                offer(&driver, &[0]);
            }
        });
        assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::MoreAvailable));
        assert_eq!(drain(&mut fixture), 1);
        assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
    }
}

/// SPLIT-ANOT-7: what was there before is found as well, also if it was seen and not fetched.
#[test]
fn enable_finds_what_is_there() {
    for features in [0, EVENT_IDX] {
        let mut fixture = start(features);
        let raw = fixture.driver.raw().clone();
        offer(&raw, &[0, 0, 0]);
        for left in [3, 2, 1] {
            for _ in 0..2 {
                assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::MoreAvailable), "{left}");
            }
            let _ = fixture.queue.next_chain().unwrap().unwrap().into_token();
        }
        assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
        assert_eq!(raw.avail_event(), if features == EVENT_IDX { 3 } else { 0 });
    }
}

/// SPLIT-ANOT-6, BAR-2: a poll that finds nothing asks for the next entry, and looks once more.
#[test]
fn poll_finds_what_came_while_it_asked() {
    let mut fixture = start(EVENT_IDX);
    let raw = fixture.driver.raw().clone();
    offer(&raw, &[0]);
    drop(fixture.queue.next_chain().unwrap().unwrap());
    let (driver, asked) = (raw.clone(), raw.areas().avail_event());
    fixture.mem.on_event(move |_, event| {
        if event == MemEvent::Written(asked) && driver.available_index() == 1 {
            offer(&driver, &[0]);
        }
    });
    assert!(fixture.queue.next_chain().unwrap().is_some());
    assert_eq!(raw.avail_event(), 1);
    assert!(fixture.queue.next_chain().unwrap().is_none());
    assert_eq!(raw.avail_event(), 2);
}

/// SPLIT-ANOT-6, SPLIT-ANOT-9, AMB-15: a device that never suppresses and fetches only when it is kicked never starves
/// its driver, over more buffers than an index can count.
#[test]
fn queue_that_never_suppresses_is_always_kicked() {
    for (features, count) in [(0, 5000), (EVENT_IDX, 70_000)] {
        let mut fixture = fixture(8, features);
        let (mut added, mut served) = (0, 0);
        while added < count {
            for _ in 0..added % 8 + 1 {
                fixture.driver.stage(&DriverChain::new().writable(1)).unwrap();
            }
            fixture.driver.publish();
            added += added % 8 + 1;
            assert!(fixture.driver.needs_kick(), "the device waits, and {added} were added");
            served += drain(&mut fixture);
            fixture.driver.reap_all().unwrap();
        }
        assert_eq!(served, added);
        assert_eq!(fixture.driver.suppressed_kicks(), 0);
    }
}

/// SPLIT-ANOT-4: with EVENT_IDX one kick is enough for a device that has not looked yet; the driver is spared the
/// others.
#[test]
fn busy_queue_is_kicked_once_with_event_idx() {
    let mut fixture = fixture(8, EVENT_IDX);
    for _ in 0..100 {
        for n in 0..8 {
            fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
            assert_eq!(fixture.driver.needs_kick(), n == 0);
        }
        assert_eq!(drain(&mut fixture), 8);
        fixture.driver.reap_all().unwrap();
    }
}

/// SPLIT-ANOT-2, SPLIT-ANOT-6, EVA-14: a device that polls with notifications suppressed is left in peace, but for one
/// kick in 2^16 with EVENT_IDX; when it enables them again, the next buffer is kicked for.
#[test]
fn suppressed_queue_is_not_kicked_until_enabled() {
    for (features, count) in [(0, 1000), (EVENT_IDX, 65_537)] {
        let mut fixture = fixture(8, features);
        let mut kicks = 0;
        fixture.queue.suppress_notifications();
        for _ in 0..count {
            fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
            kicks += usize::from(fixture.driver.needs_kick());
            assert_eq!(drain(&mut fixture), 1);
            fixture.driver.reap_all().unwrap();
        }
        // The first entry was asked for when the queue began, and is passed twice.
        assert_eq!(kicks, if features == EVENT_IDX { 2 } else { 0 });
        assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        assert!(fixture.driver.needs_kick());
    }
}

/// SPLIT-ANOT-5, GEN-11, HOST-25: kicks without a buffer, on a queue that waits and on one that has suppressed them.
#[test]
fn spurious_kicks_are_harmless() {
    for features in [0, EVENT_IDX] {
        let mut fixture = fixture(8, features);
        smoke(&mut fixture, 10);
        for _ in 0..1000 {
            assert_eq!(drain(&mut fixture), 0);
            fixture.queue.suppress_notifications();
            assert_eq!(drain(&mut fixture), 0);
            assert_eq!(fixture.queue.enable_notifications(), Ok(Armed::Waiting));
        }
        assert_eq!(fixture.notifications.count(), 0);
        smoke(&mut fixture, 10);
    }
}
