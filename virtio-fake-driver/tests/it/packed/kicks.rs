//! Whether the driver kicks (FD-8), against the arithmetic of EVA-6: the driver itself looks through all new slots.

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{PackedDriver, PackedOptions};

use super::device::{Puppet, list, with_puppet};

const WITH_EVENT_IDX: PackedOptions = PackedOptions { features: EVENT_IDX, start: None, scramble: None };

/// Makes a list of `slots` available, which the device uses at once.
fn pass(driver: &mut PackedDriver, device: &mut Puppet, slots: u64) {
    driver.add(&list(slots)).unwrap();
    let fetched = device.fetch();
    device.put(fetched, 0);
    driver.reap().unwrap().unwrap();
}

/// Checks whether the driver kicks for the slots from `start` to `start + count`, in lists up to `longest`.
fn check(size: u16, start: u64, count: u64, event: u64, longest: u64) {
    let (mut driver, mut device) = with_puppet(size, start, WITH_EVENT_IDX);
    device.set_device_events(device.off_wrap(event), 2);
    for passed in (0..count).step_by(usize::try_from(longest).unwrap()) {
        pass(&mut driver, &mut device, longest.min(count - passed));
    }
    let circle = 2 * u64::from(size);
    let due = (start + count + 2 * circle - event - 1) % circle < count;
    assert_eq!(driver.needs_kick(), due, "size {size}, {count} slots from {start}, event {event}");
    assert_eq!((driver.kicks(), driver.suppressed_kicks()), (due.into(), (!due).into()));
}

/// EVA-5, EVA-6, EVA-9, FD-8
#[test]
fn with_an_event_it_kicks_if_the_slot_is_among_the_new_ones() {
    for size in 1..=13 {
        let lap = u64::from(size);
        for (start, event) in (0..2 * lap).flat_map(|start| (0..2 * lap).map(move |event| (start, event))) {
            for count in 1..=lap {
                check(size, start, count, event, lap);
            }
        }
    }
}

#[test]
fn with_an_event_it_kicks_if_the_slot_is_among_those_of_several_lists() {
    for size in [1, 2, 3, 5] {
        let lap = u64::from(size);
        for (start, event) in (0..2 * lap).flat_map(|start| (0..2 * lap).map(move |event| (start, event))) {
            for count in 1..=2 * lap {
                check(size, start, count, event, 2.min(lap));
            }
        }
    }
}

#[test]
fn with_an_event_it_kicks_in_large_rings_too() {
    for size in [255, 256, 257, 32767, 32768] {
        let lap = u64::from(size);
        for (start, count) in
            [(0, 1), (lap - 1, 1), (lap - 1, 2), (2 * lap - 3, 9), (lap + 7, 3), (lap / 2, lap.min(300))]
        {
            for event in [start + 2 * lap - 1, start, start + count - 1, start + count, start + lap] {
                check(size, start, count, event % (2 * lap), lap);
            }
        }
    }
}

/// PACK-EVT-6, HOST-21, FD-8
#[test]
fn without_an_event_it_kicks_unless_the_device_says_no() {
    for features in [0, EVENT_IDX] {
        let (mut driver, mut device) = with_puppet(5, 3, PackedOptions { features, ..Default::default() });
        for (flags, due) in [(0, true), (1, false), (3, true), (0xfffc, true), (0xfffd, false)] {
            for off_wrap in [0, 0x8004, 0xffff] {
                device.set_device_events(off_wrap, flags);
                pass(&mut driver, &mut device, 2);
                assert_eq!(driver.needs_kick(), due, "flags {flags:#x}");
            }
        }
        assert_eq!((driver.kicks(), driver.suppressed_kicks()), (9, 6));
    }
}

/// PACK-EVT-3: an event is not for a device without the feature; a kick too many does no harm.
#[test]
fn without_event_idx_an_event_is_as_good_as_none() {
    let (mut driver, mut device) = with_puppet(5, 0, PackedOptions::default());
    device.set_device_events(4, 2);
    pass(&mut driver, &mut device, 1);
    assert!(driver.needs_kick());
}

#[test]
fn nothing_new_is_no_kick_and_none_suppressed() {
    let (mut driver, _) = with_puppet(3, 0, PackedOptions::default());
    assert!(!driver.needs_kick());
    driver.stage(&list(2)).unwrap();
    assert!(!driver.needs_kick(), "not published");
    driver.publish();
    assert!(driver.needs_kick());
    assert!(!driver.needs_kick());
    assert_eq!((driver.kicks(), driver.suppressed_kicks()), (1, 0));
}
