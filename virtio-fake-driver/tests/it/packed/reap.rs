//! Taking buffers back.

use virtio_fake_driver::{DeviceViolation, DriverChain, PackedOptions};

use super::device::{Fetched, Puppet, list, with_puppet};

/// REG-17, FD-5: a driver that looks at USED alone takes a slot that was skipped for a used one.
#[test]
fn only_both_bits_together_say_that_a_slot_is_used() {
    for start in 0..10 {
        let (mut driver, mut device) = with_puppet(5, start, PackedOptions::default());
        let id = driver.add(&list(1)).unwrap();
        let Fetched { slots, .. } = device.fetch();
        let (used, unused) = if start < 5 { (0x8080, 0) } else { (0, 0x8080) };
        for flags in [unused, 0x80, 0x8000] {
            device.put_raw(id, 0, flags);
            assert_eq!(driver.reap(), Ok(None), "flags {flags:#x} at {start}");
        }
        device.put_raw(id, 0, used | 0x7f7d);
        assert_eq!(driver.reap().unwrap().unwrap().id, id, "all other flags have no meaning");
        assert_eq!(slots, 1);
        assert_eq!(driver.reap(), Ok(None));
    }
}

/// PACK-USED-1, PACK-WRAP-4, FD-5
#[test]
fn list_is_skipped_by_its_own_length_in_any_order() {
    for (start, order) in (0..18).flat_map(|start| [[0, 1, 2], [1, 2, 0], [2, 1, 0]].map(|order| (start, order))) {
        let (mut driver, mut device) = with_puppet(9, start, PackedOptions::default());
        let ids = [4, 1, 3].map(|slots| driver.add(&list(slots)).unwrap());
        let fetched = [(); 3].map(|()| device.fetch());
        for place in order {
            device.put(fetched[place], 0);
            assert_eq!(driver.reap().unwrap().unwrap().id, ids[place]);
            assert_eq!(driver.reap(), Ok(None));
        }
        assert_eq!(driver.free_descriptors(), 9);
    }
}

/// FD-7, DRV-USED-1
#[test]
fn only_what_the_device_wrote_is_shown() {
    let (mut driver, mut device) = with_puppet(4, 7, PackedOptions::default());
    driver.add(&DriverChain::new().readable(b"1").writable_cut(10, &[3, 0])).unwrap();
    driver.view().poke(driver.raw().descriptor(0).addr, b"xyz");
    driver.view().poke(driver.raw().descriptor(2).addr, b"....../");
    let fetched = device.fetch();
    device.put(fetched, 2);
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.len, used.written(), used.untouched()), (2, &b"xy"[..], 0));
    assert_eq!(used.writable(), b"xyz....../");
    assert!(!used.rest_is_untouched());
}

/// SPLIT-USED-5
#[test]
fn buffer_that_was_not_available_is_a_violation_until_mended() {
    for id in [1, 4, 5, 0xffff] {
        let (mut driver, mut device) = with_puppet(5, 0, PackedOptions::default());
        driver.add(&list(2)).unwrap();
        let staged = driver.stage(&list(1)).unwrap();
        assert_eq!(staged, 1);
        let fetched = device.fetch();
        device.put_raw(id, 0, 0x8080);
        for _ in 0..2 {
            assert_eq!(driver.reap(), Err(DeviceViolation::UnknownId { id: id.into() }));
        }
        device.put(fetched, 0);
        assert_eq!(driver.reap().unwrap().unwrap().id, 0);
    }
}

/// SPLIT-USED-10
#[test]
fn more_than_there_was_room_for_is_a_violation() {
    let (mut driver, mut device) = with_puppet(5, 0, PackedOptions::default());
    let id = driver.add(&DriverChain::new().readable(b"1").writable_cut(9, &[4])).unwrap();
    let fetched = device.fetch();
    device.put(fetched, 10);
    assert_eq!(driver.reap(), Err(DeviceViolation::TooLong { id, len: 10, writable: 9 }));
    assert_eq!(driver.free_descriptors(), 5);
}

/// SPLIT-USED-7
#[test]
fn more_used_than_available_is_a_violation() {
    let (mut driver, mut device): (_, Puppet) = with_puppet(5, 4, PackedOptions::default());
    device.put(Fetched { id: 0, slots: 1 }, 0);
    assert_eq!(driver.reap(), Err(DeviceViolation::TooManyUsed { used: 1, available: 0 }));
}
