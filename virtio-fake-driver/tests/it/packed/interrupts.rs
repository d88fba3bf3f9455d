//! What the driver asks of the device (FD-9), as a device that goes by the letter understands it.

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::packed::EventSuppression;
use virtio_fake_driver::{PackedDriver, PackedOptions};

use super::device::{Puppet, list, with_puppet};

/// Returns a driver of a queue of `size` with as many lists of `slots` available as it has room for.
fn busy(features: u64, size: u16, start: u64, slots: u64) -> (PackedDriver, Puppet) {
    let (mut driver, device) = with_puppet(size, start, PackedOptions { features, ..Default::default() });
    while driver.add(&list(slots)).is_ok() {}
    (driver, device)
}

/// Uses one list, and returns whether the driver is to be interrupted for it.
fn use_one(device: &mut Puppet) -> bool {
    let fetched = device.fetch();
    device.put(fetched, 0);
    device.interrupts(fetched)
}

/// Calls `check` with all queues of up to 13, from every position, and lists of every length.
fn for_all(mut check: impl FnMut(u16, u64, u64)) {
    for size in 1..=13 {
        let lap = u64::from(size);
        for start in 0..2 * lap {
            for slots in 1..=lap {
                check(size, start, slots);
            }
        }
    }
}

#[test]
fn new_driver_is_interrupted_for_each_buffer_that_it_waits_for() {
    for features in [0, EVENT_IDX] {
        for_all(|size, start, slots| {
            let (mut driver, mut device) = busy(features, size, start, slots);
            for _ in 0..driver.in_flight() {
                assert!(use_one(&mut device));
                assert_eq!(driver.reap_all().unwrap().len(), 1);
            }
        });
    }
}

#[test]
fn with_event_idx_one_interrupt_is_for_all_until_it_reaps() {
    let (mut driver, mut device) = busy(EVENT_IDX, 9, 7, 1);
    assert_eq!([(); 4].map(|()| use_one(&mut device)), [true, false, false, false]);
    driver.reap_all().unwrap();
    assert_eq!([(); 4].map(|()| use_one(&mut device)), [true, false, false, false]);
}

/// FD-9
#[test]
fn disabled_interrupts_do_not_come() {
    for features in [0, EVENT_IDX] {
        for start in 0..10 {
            let (mut driver, mut device) = busy(features, 5, start, 1);
            driver.disable_interrupts();
            assert_eq!(driver.raw().driver_events().flags, EventSuppression::DISABLE);
            for _ in 0..4 {
                assert!(!use_one(&mut device));
                driver.reap().unwrap().unwrap();
            }
            assert!(!driver.enable_interrupts());
            assert!(use_one(&mut device));
        }
    }
}

/// DRV-MAY-2
#[test]
fn enabling_tells_what_is_used_already() {
    for features in [0, EVENT_IDX] {
        for_all(|size, start, slots| {
            let (mut driver, mut device) = busy(features, size, start, slots);
            driver.disable_interrupts();
            use_one(&mut device);
            assert!(driver.enable_interrupts());
            driver.reap().unwrap().unwrap();
            assert!(!driver.enable_interrupts());
        });
    }
}

/// EVA-9, FD-9: the slot that is asked for may be in the middle of a list.
#[test]
fn delayed_interrupt_comes_with_the_list_that_passes_the_slot() {
    for_all(|size, start, slots| {
        for more in 0..size {
            let (mut driver, mut device) = busy(EVENT_IDX, size, start, slots);
            driver.disable_interrupts();
            assert!(!driver.enable_interrupts_after(more));
            let wanted = start + u64::from(more);
            for _ in 0..driver.in_flight() {
                let before = device.next_used();
                let due = use_one(&mut device);
                assert_eq!(due, (before..device.next_used()).contains(&wanted), "{more} more in a ring of {size}");
            }
        }
    });
}

#[test]
fn delayed_interrupt_is_not_brought_forward_by_reaping() {
    let (mut driver, mut device) = busy(EVENT_IDX, 7, 12, 1);
    assert!(!driver.enable_interrupts_after(3));
    for nth in 0..7 {
        assert_eq!(use_one(&mut device), nth == 3);
        driver.reap().unwrap().unwrap();
    }
}

#[test]
fn enabling_with_delay_tells_if_as_much_is_used_already() {
    for features in [0, EVENT_IDX] {
        for start in 0..14 {
            for (used, more) in (0..4).flat_map(|used| (0..7).map(move |more| (used, more))) {
                let (mut driver, mut device) = busy(features, 7, start, 2);
                driver.add(&list(1)).unwrap();
                driver.disable_interrupts();
                for _ in 0..used {
                    use_one(&mut device);
                }
                assert_eq!(driver.enable_interrupts_after(more), 2 * used > more, "{used} used, {more} more");
            }
        }
    }
}
