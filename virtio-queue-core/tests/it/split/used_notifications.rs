//! Notifications to the driver: when it is told that buffers were used.

use std::collections::HashSet;

use virtio_fake_driver::MemEvent;
use virtio_fake_driver::split::RawSplit;

use crate::support::split::{Fixture, fixture, offer};
use crate::support::{EVENT_IDX, logged, readable};

/// Makes a queue of 8, every descriptor of which is a chain of its own.
fn start(features: u64) -> (Fixture, RawSplit) {
    let fixture = fixture(8, features);
    let raw = fixture.driver.raw().clone();
    (0..8).for_each(|index| raw.set_descriptor(index, readable(1, 1)));
    (fixture, raw)
}

/// Uses `count` buffers in one burst, and returns how often the driver was notified.
fn use_burst(fixture: &mut Fixture, count: usize) -> usize {
    offer(fixture.driver.raw(), &(0..count as u16).collect::<Vec<_>>());
    let mut burst = fixture.queue.burst();
    for _ in 0..count {
        drop(burst.next_chain().unwrap().expect("a chain is available"));
    }
    drop(burst);
    fixture.notifications.take()
}

/// Uses `count` buffers, as many at a time as there is room for, and returns how often the driver was notified.
fn use_many(fixture: &mut Fixture, count: usize) -> usize {
    (0..count).step_by(8).map(|done| use_burst(fixture, (count - done).min(8))).sum()
}

/// SPLIT-UNOT-2, SPLIT-UNOT-3, SPLIT-UNOT-9, DRV-UNOT-1: without EVENT_IDX, bit 0 of the flags decides alone.
#[test]
fn flags_bit_0_suppresses_without_event_idx() {
    let (mut fixture, raw) = start(0);
    for (flags, notified) in [(0, 1), (1, 0), (0xfffe, 1), (0xffff, 0), (2, 1), (3, 0), (0x8000, 1), (0, 1)] {
        raw.set_available_flags(flags);
        for count in [1, 3, 8] {
            assert_eq!(use_burst(&mut fixture, count), notified, "{flags:#x} {count}");
        }
    }
}

/// SPLIT-UNOT-1: without EVENT_IDX `used_event` is never read, and whatever it says makes no difference.
#[test]
fn used_event_ignored_without_event_idx() {
    let (mut fixture, raw) = start(0);
    fixture.mem.start_log();
    for event in 0..300 {
        raw.set_used_event(event);
        raw.set_available_flags(event % 2);
        assert_eq!(use_burst(&mut fixture, 1), usize::from(event % 2 == 0));
    }
    assert!(!fixture.mem.take_log().contains(&MemEvent::Read(raw.areas().used_event())));
}

/// SPLIT-UNOT-4, DRV-UNOT-2: with EVENT_IDX the flags are never read, and whatever they say makes no difference.
#[test]
fn flags_ignored_with_event_idx() {
    let (mut fixture, raw) = start(EVENT_IDX);
    fixture.mem.start_log();
    for index in 0..300 {
        raw.set_available_flags([0, 1, 0xffff, 0xfffe][usize::from(index) % 4]);
        raw.set_used_event(if index % 3 == 0 { index } else { index + 1 });
        assert_eq!(use_burst(&mut fixture, 1), usize::from(index % 3 == 0));
    }
    assert!(!fixture.mem.take_log().contains(&MemEvent::Read(raw.areas().available_flags())));
}

/// SPLIT-UNOT-5, SPLIT-UNOT-6, SPLIT-UNOT-7, EVA-1, EVA-4: one notification if and only if the event is among what was
/// published, wherever in the batch, at every position before and after the index passes 2^16.
#[test]
fn used_event_in_batch_notifies() {
    for start_at in [0, 65_530, 65_535] {
        let (mut fixture, raw) = start(EVENT_IDX);
        raw.set_used_event(0xffff);
        let _ = use_many(&mut fixture, start_at);
        let mut index = start_at as u16;
        for count in (1..=8).chain(1..=8) {
            // Distances to the first of the batch: all that are near, and some that are not.
            let near = (0..=19).map(|n: u16| n.wrapping_sub(9));
            for offset in near.chain([256, 0x7fff, 0x8000, 0x8001, 0xff00]) {
                let event = index.wrapping_add(offset);
                raw.set_used_event(event);
                let published: HashSet<u16> = (0..count).map(|n| index.wrapping_add(n)).collect();
                let hit = published.contains(&event);
                assert_eq!(use_burst(&mut fixture, count.into()), usize::from(hit), "{index} {count} {event}");
                index = index.wrapping_add(count);
            }
        }
    }
}

/// EVA-12, EVA-13: a new queue notifies of its first buffer if the event is 0, as memory begins, then after 2^16 more.
#[test]
fn used_event_0_notifies_once_every_2_16() {
    let (mut fixture, _) = start(EVENT_IDX);
    assert_eq!(use_burst(&mut fixture, 1), 1);
    assert_eq!(use_many(&mut fixture, 65_535), 0);
    assert_eq!(use_burst(&mut fixture, 1), 1);
    assert_eq!(use_many(&mut fixture, 65_535), 0);
    assert_eq!(use_burst(&mut fixture, 8), 1);
}

/// SPLIT-UNOT-6: over a long run of batches there are exactly as many notifications as a model counts.
#[test]
fn notifications_over_long_run_are_as_modelled() {
    let (mut fixture, raw) = start(EVENT_IDX);
    let (mut index, mut notified, mut expected, mut state) = (0_u16, 0, 0, 1_u32);
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        let (count, ahead) = ((state >> 16) % 9, (state >> 20) % 16);
        let event = index.wrapping_add(ahead as u16).wrapping_sub(2);
        raw.set_used_event(event);
        expected += (0..count as u16).filter(|n| index.wrapping_add(*n) == event).count();
        notified += use_burst(&mut fixture, count as usize);
        index = index.wrapping_add(count as u16);
    }
    assert_eq!(notified, expected);
    assert!(expected > 1000);
}

/// SPLIT-UNOT-10, BAR-3, BAR-12, HOST-22: the driver's wish is read once, by 16 bits, after the index was stored. A
/// driver that changes its mind just before is heard.
#[test]
fn wish_read_once_after_index_is_stored() {
    for features in [0, EVENT_IDX] {
        for wanted in [false, true] {
            let (mut fixture, raw) = start(features);
            let areas = *raw.areas();
            let wish = if features == EVENT_IDX { areas.used_event() } else { areas.available_flags() };
            assert_eq!(wish.len(), 2);
            raw.set_available_flags(u16::from(wanted));
            raw.set_used_event(u16::from(wanted));
            offer(&raw, &[0]);
            let chain = fixture.queue.next_chain().unwrap().unwrap();
            let driver = raw.clone();
            fixture.mem.on_read(0, move |_| {
                assert_eq!(driver.used_index(), 1, "the index is stored");
                driver.set_available_flags(u16::from(!wanted));
                driver.set_used_event(u16::from(!wanted));
            });
            let ((), log) = logged(&fixture.mem, || drop(chain));
            let index = MemEvent::Written(areas.used_index());
            assert_eq!(log, [MemEvent::Written(areas.used_element(0)), index, MemEvent::Read(wish)]);
            assert_eq!(fixture.notifications.count(), usize::from(wanted));
        }
    }
}

/// EVA-2, SPLIT-UNOT-7: a batch that was put before others were fetched is one window with them.
#[test]
fn window_reaches_back_to_last_decision() {
    for event in 0..=5 {
        let (mut fixture, raw) = start(EVENT_IDX);
        raw.set_used_event(event);
        offer(&raw, &[0, 1, 2]);
        let mut burst = fixture.queue.burst();
        (0..3).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        offer(&raw, &[3, 4]);
        (0..2).for_each(|_| drop(burst.next_chain().unwrap().unwrap()));
        burst.finish().unwrap();
        assert_eq!(fixture.notifications.count(), usize::from(event < 5), "{event}");
    }
}

/// DRV-MAY-2, SPLIT-UNOT-8: a driver that switches interrupts off while it reaps and looks again after it has switched
/// them on misses nothing, and is spared what it does not want.
#[test]
fn driver_that_switches_interrupts_misses_nothing() {
    use virtio_fake_driver::DriverChain;

    for features in [0, EVENT_IDX] {
        let Fixture { mut queue, mut driver, notifications, .. } = fixture(8, features);
        let (mut reaped, mut interrupts) = (0, 0);
        for round in 0..3000 {
            for _ in 0..round % 8 + 1 {
                driver.add(&DriverChain::new().writable(1)).unwrap();
            }
            while let Some(chain) = queue.next_chain().unwrap() {
                drop(chain);
            }
            assert!(notifications.take() >= 1, "the driver waits");
            interrupts += 1;
            driver.disable_interrupts();
            reaped += driver.reap_all().unwrap().len();
            driver.add(&DriverChain::new().writable(1)).unwrap();
            drop(queue.next_chain().unwrap().unwrap());
            assert_eq!(notifications.take(), 0, "the driver does not want to be disturbed");
            assert!(driver.enable_interrupts(), "a buffer is used already");
            reaped += driver.reap_all().unwrap().len();
        }
        assert_eq!((driver.in_flight(), interrupts), (0, 3000));
        assert_eq!(reaped, 3000 * 9 / 2 + 3000);
    }
}
