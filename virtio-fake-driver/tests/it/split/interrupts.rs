//! What the driver asks of the device (FD-9), as a device that goes by the letter understands it.

use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::{DriverChain, SplitDriver, SplitOptions};

use super::device::{Puppet, with_puppet};

const STARTS: [u16; 4] = [0, 5, 0xfffc, 0xffff];

/// Returns a driver with 8 chains available.
fn busy(features: u64, start: u16) -> (SplitDriver, Puppet) {
    let (mut driver, device) = with_puppet(SplitOptions { features, start: Some(start), scramble: None });
    for _ in 0..8 {
        driver.add(&DriverChain::new().readable(b"1")).unwrap();
    }
    (driver, device)
}

/// Uses one chain, and returns whether the driver is to be interrupted for it: without EVENT_IDX unless its flags say
/// otherwise, with it if `used_event` is the element's index (SPLIT-UNOT-2 to 6).
fn use_one(driver: &SplitDriver, device: &mut Puppet) -> bool {
    let (head, index) = (device.fetch(), device.next_used());
    device.put(head, 0);
    device.publish();
    if driver.features() & EVENT_IDX == 0 {
        driver.raw().available_flags() == 0
    } else {
        assert_eq!(driver.raw().available_flags(), 0, "the flags stay 0 (DRV-UNOT-2)");
        driver.raw().used_event() == index
    }
}

#[test]
fn new_driver_is_interrupted_for_each_buffer_that_it_waits_for() {
    for (features, start) in [0, EVENT_IDX].into_iter().flat_map(|features| STARTS.map(|start| (features, start))) {
        let (mut driver, mut device) = busy(features, start);
        for _ in 0..8 {
            assert!(use_one(&driver, &mut device));
            assert_eq!(driver.reap_all().unwrap().len(), 1);
        }
    }
}

#[test]
fn with_event_idx_one_interrupt_is_for_all_until_it_reaps() {
    let (mut driver, mut device) = busy(EVENT_IDX, 0xfffe);
    assert_eq!([(); 4].map(|()| use_one(&driver, &mut device)), [true, false, false, false]);
    driver.reap_all().unwrap();
    assert_eq!([(); 4].map(|()| use_one(&driver, &mut device)), [true, false, false, false]);
}

/// FD-9
#[test]
fn disabled_interrupts_do_not_come() {
    for (features, start) in [0, EVENT_IDX].into_iter().flat_map(|features| STARTS.map(|start| (features, start))) {
        let (mut driver, mut device) = busy(features, start);
        driver.disable_interrupts();
        for _ in 0..4 {
            assert!(!use_one(&driver, &mut device));
            driver.reap().unwrap().unwrap();
        }
        assert!(!driver.enable_interrupts());
        assert!(use_one(&driver, &mut device));
    }
}

/// DRV-MAY-2, FD-9
#[test]
fn enabling_tells_what_is_used_already() {
    for (features, start) in [0, EVENT_IDX].into_iter().flat_map(|features| STARTS.map(|start| (features, start))) {
        let (mut driver, mut device) = busy(features, start);
        driver.disable_interrupts();
        use_one(&driver, &mut device);
        assert!(driver.enable_interrupts());
        driver.reap().unwrap().unwrap();
        assert!(!driver.enable_interrupts());
    }
}

/// FD-9
#[test]
fn delayed_interrupt_comes_with_the_buffer_that_was_asked_for() {
    for start in STARTS {
        for more in 0..8 {
            let (mut driver, mut device) = busy(EVENT_IDX, start);
            driver.disable_interrupts();
            assert!(!driver.enable_interrupts_after(more));
            for nth in 0..8 {
                assert_eq!(use_one(&driver, &mut device), nth == more, "start {start}, buffer {nth} of {more} more");
            }
        }
    }
}

#[test]
fn delayed_interrupt_is_not_brought_forward_by_reaping() {
    let (mut driver, mut device) = busy(EVENT_IDX, 0xfffe);
    assert!(!driver.enable_interrupts_after(3));
    for nth in 0..8 {
        assert_eq!(use_one(&driver, &mut device), nth == 3);
        driver.reap().unwrap().unwrap();
    }
}

#[test]
fn enabling_with_delay_tells_if_as_many_are_used_already() {
    for features in [0, EVENT_IDX] {
        for used in 0..8 {
            for more in 0..8 {
                let (mut driver, mut device) = busy(features, 0xfffd);
                driver.disable_interrupts();
                for _ in 0..used {
                    use_one(&driver, &mut device);
                }
                assert_eq!(driver.enable_interrupts_after(more), used > more, "{used} used, {more} more");
            }
        }
    }
}
