//! Taking buffers back.

use virtio_fake_driver::{DeviceViolation, DriverChain, SplitOptions};

use super::device::with_puppet;

/// FD-7, DRV-USED-1
#[test]
fn only_what_the_device_wrote_is_shown() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    let id = driver.add(&DriverChain::new().readable(b"1").writable_cut(10, &[3, 0])).unwrap();
    let first = driver.raw().descriptor(driver.raw().descriptor(id).next);
    driver.raw().view().poke(first.addr, b"xyz");
    device.put(id.into(), 2);
    device.publish();
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.len, used.written()), (id, 2, &b"xy"[..]));
    assert_eq!(used.untouched(), 0);
    assert!(!used.rest_is_untouched(), "the third byte was written");
}

/// SPLIT-USED-2
#[test]
fn bytes_that_were_claimed_and_not_written_are_counted() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    let id = driver.add(&DriverChain::new().writable(1000)).unwrap();
    driver.raw().view().poke(driver.raw().descriptor(id).addr, &[0; 100]);
    device.put(id.into(), 600);
    device.publish();
    let used = driver.reap().unwrap().unwrap();
    assert!((500..=501).contains(&used.untouched()));
    assert!(used.rest_is_untouched());
}

/// FD-7
#[test]
fn memory_is_poisoned_anew_for_each_chain() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    for _ in 0..20 {
        let id = driver.add(&DriverChain::new().writable(64)).unwrap();
        driver.raw().view().poke(driver.raw().descriptor(id).addr, &[0; 32]);
        device.put(id.into(), 32);
        device.publish();
        let used = driver.reap().unwrap().unwrap();
        assert_eq!(used.written(), [0; 32]);
        assert!(used.rest_is_untouched());
    }
}

#[test]
fn buffers_come_back_in_the_order_of_the_device() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    for _ in 0..8 {
        driver.add(&DriverChain::new().readable(b"1")).unwrap();
    }
    for id in [5, 0, 7, 1, 3, 2, 6, 4] {
        device.put(id, 0);
    }
    device.publish();
    let ids: Vec<u16> = driver.reap_all().unwrap().iter().map(|used| used.id).collect();
    assert_eq!(ids, [5, 0, 7, 1, 3, 2, 6, 4]);
}

/// SPLIT-USED-5
#[test]
fn buffer_that_was_not_available_is_a_violation() {
    for id in [1, 7, 8, 0xffff, 0x1_0000, u32::MAX] {
        let (mut driver, mut device) = with_puppet(SplitOptions::default());
        for _ in 0..2 {
            driver.add(&DriverChain::new().readable(b"1")).unwrap();
        }
        device.put(1, 0);
        device.put(id, 0);
        device.publish();
        assert_eq!(driver.reap().map(|used| used.unwrap().id), Ok(1));
        assert_eq!(driver.reap(), Err(DeviceViolation::UnknownId { id }));
        assert_eq!(driver.reap(), Ok(None));
    }
}

#[test]
fn buffer_that_was_staged_and_not_published_is_a_violation() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    driver.add(&DriverChain::new().readable(b"1")).unwrap();
    let id = driver.stage(&DriverChain::new().readable(b"2")).unwrap().into();
    device.put(id, 0);
    device.publish();
    assert_eq!(driver.reap(), Err(DeviceViolation::UnknownId { id }));
}

/// SPLIT-USED-10
#[test]
fn more_than_there_was_room_for_is_a_violation() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    let id = driver.add(&DriverChain::new().readable(b"1").writable_cut(9, &[4])).unwrap();
    device.put(id.into(), 10);
    device.publish();
    assert_eq!(driver.reap(), Err(DeviceViolation::TooLong { id, len: 10, writable: 9 }));
    assert_eq!(driver.free_descriptors(), 8);
}

/// SPLIT-USED-7
#[test]
fn more_used_than_available_is_a_violation_until_mended() {
    let (mut driver, mut device) = with_puppet(SplitOptions { start: Some(0xfffe), ..Default::default() });
    for _ in 0..3 {
        driver.add(&DriverChain::new().readable(b"1")).unwrap();
    }
    for index in [2, 0xfffd, 0x7fff] {
        device.set_used_index(index);
        let violation = DeviceViolation::TooManyUsed { used: index.wrapping_sub(0xfffe), available: 3 };
        assert_eq!(driver.reap(), Err(violation));
        assert_eq!(driver.reap(), Err(violation));
    }
    for id in 0..3 {
        device.put(id, 0);
    }
    device.publish();
    assert_eq!(driver.reap_all().unwrap().len(), 3);
}
