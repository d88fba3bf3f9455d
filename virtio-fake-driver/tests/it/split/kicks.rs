//! Whether the driver kicks (FD-8), against a model on positions that never wrap.

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{DriverChain, SplitDriver, SplitOptions};

use super::device::{Puppet, with_puppet};

/// Makes `count` chains available, which the device uses at once.
fn pass(driver: &mut SplitDriver, device: &mut Puppet, count: u64) {
    for _ in 0..count {
        driver.add(&DriverChain::new().readable(b"1")).unwrap();
        let head = device.fetch();
        device.put(head, 0);
        device.publish();
        driver.reap().unwrap().unwrap();
    }
}

/// DRV-ANOT-3, FD-8
#[test]
fn with_event_idx_it_kicks_if_the_event_is_among_the_new_entries() {
    for start in [0, 1, 0x7ffe, 0xfff9, 0xffff_u16] {
        for event in (0..24_u16).map(|offset| start.wrapping_add(offset).wrapping_sub(4)) {
            for window in 1..5 {
                let options = SplitOptions { features: EVENT_IDX, start: Some(start), scramble: None };
                let (mut driver, mut device) = with_puppet(options);
                device.set_avail_event(event);
                device.set_used_flags(1); // of no meaning
                let (mut position, mut kicks) = (u64::from(start), 0);
                for _ in 0..4 {
                    pass(&mut driver, &mut device, window);
                    let due = (position..position + window).any(|entry| entry % 0x1_0000 == u64::from(event));
                    assert_eq!(driver.needs_kick(), due, "event {event}, entries from {position}, {window} of them");
                    position += window;
                    kicks += usize::from(due);
                }
                assert_eq!((driver.kicks(), driver.suppressed_kicks()), (kicks, 4 - kicks));
            }
        }
    }
}

/// EVA-3, EVA-13
#[test]
fn with_event_idx_every_event_is_among_2_to_the_16_entries() {
    let (mut driver, mut device) = with_puppet(SplitOptions { features: EVENT_IDX, ..Default::default() });
    device.set_avail_event(0x1234);
    pass(&mut driver, &mut device, 0x1_0000);
    assert!(driver.needs_kick());
    pass(&mut driver, &mut device, 0x1234);
    assert!(!driver.needs_kick());
    pass(&mut driver, &mut device, 1);
    assert!(driver.needs_kick());
    pass(&mut driver, &mut device, 0xffff);
    assert!(!driver.needs_kick());
}

/// DRV-ANOT-2, FD-8
#[test]
fn without_event_idx_it_kicks_unless_the_flag_is_set() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    for (flags, due) in [(0, true), (1, false), (0xfffe, true), (0xffff, false)] {
        device.set_used_flags(flags);
        for event in [driver.raw().available_index(), 7] {
            device.set_avail_event(event); // of no meaning
            pass(&mut driver, &mut device, 2);
            assert_eq!(driver.needs_kick(), due, "flags {flags:#x}");
        }
    }
    assert_eq!((driver.kicks(), driver.suppressed_kicks()), (4, 4));
}

#[test]
fn nothing_new_is_no_kick_and_none_suppressed() {
    let (mut driver, _) = with_puppet(SplitOptions::default());
    assert!(!driver.needs_kick());
    driver.stage(&DriverChain::new().readable(b"1")).unwrap();
    assert!(!driver.needs_kick(), "not published");
    driver.publish();
    assert!(driver.needs_kick());
    assert!(!driver.needs_kick());
    assert_eq!((driver.kicks(), driver.suppressed_kicks()), (1, 0));
}
