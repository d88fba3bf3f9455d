//! Making lists available.

use virtio_fake_driver::features::INDIRECT_DESC;
use virtio_fake_driver::packed::Descriptor;
use virtio_fake_driver::{AddError, DriverChain, PackedOptions};
use virtio_mem_traits::DriverAddr;

use super::device::{Fetched, list, with_puppet};
use crate::support::panic_of;

const INDIRECT: PackedOptions = PackedOptions { features: INDIRECT_DESC, start: None, scramble: None };

#[test]
fn full_ring_refuses_and_takes_nothing() {
    let (mut driver, mut device) = with_puppet(7, 6, PackedOptions::default());
    driver.add(&list(3)).unwrap();
    driver.add(&list(3)).unwrap();
    for _ in 0..3 {
        assert_eq!(driver.add(&list(3)), Err(AddError::NoDescriptors { needed: 3, free: 1 }));
    }
    assert_eq!(driver.in_flight(), 2);
    let fetched = device.fetch();
    device.put(fetched, 0);
    driver.reap().unwrap().unwrap();
    assert_eq!(driver.free_descriptors(), 4);
    driver.add(&list(3)).unwrap();
}

/// PACK-WRAP-2, PACK-WRAP-5: what was not published is not available, wherever the lap ends and whatever was there.
#[test]
fn batch_is_available_all_at_once() {
    for size in 1..=7 {
        let (mut driver, mut device) = with_puppet(size, 0, PackedOptions::default());
        for round in 0..40 {
            let mut expected = Vec::new();
            while let Ok(id) = driver.stage(&list(1 + round % u64::from(size))) {
                expected.push(Fetched { id, slots: 1 + round % u64::from(size) });
            }
            assert_eq!(device.try_fetch(), None);
            driver.publish();
            let fetched: Vec<Fetched> = core::iter::from_fn(|| device.try_fetch()).collect();
            assert_eq!(fetched, expected);
            for list in fetched {
                device.put(list, 0);
                driver.reap().unwrap().unwrap();
            }
        }
    }
}

#[test]
fn elements_and_tables_go_where_the_test_wants_them() {
    let (mut driver, _) = with_puppet(3, 0, INDIRECT);
    let place = driver.pool().alloc(100, 1).unwrap().start();
    let table = DriverAddr(place.0 + 37);
    driver.add(&DriverChain::new().readable(b"here").at(place).writable(1).indirect().table_at(table)).unwrap();
    assert_eq!(driver.view().peek(place, 4), b"here");
    assert_eq!(driver.view().peek(table, 12), Descriptor { addr: place, len: 4, id: 0, flags: 0 }.to_bytes()[..12]);
    assert_eq!(driver.raw().descriptor(0).addr, table);
}

#[test]
fn chain_that_breaks_a_rule_is_refused() {
    let one = || DriverChain::new().writable(1);
    let rules = [
        (INDIRECT, one().readable(b"1"), "DRV-PSG-2"),
        (INDIRECT, list(6), "DRV-PSG-1"),
        (PackedOptions::default(), one().indirect(), "DRV-PIND-1"),
        (INDIRECT, one().writable(1).indirect_after(1), "DRV-PIND-4"),
        (INDIRECT, one().indirect().table_flags(0x80), "DRV-PIND-2"),
    ];
    for (options, chain, rule) in rules {
        let message = panic_of(|| with_puppet(5, 0, options).0.stage(&chain));
        assert!(message.contains(rule), "{message}");
        if chain.descriptors() <= 5 {
            assert_eq!(with_puppet(5, 0, options).0.stage_unchecked(&chain), Ok(0));
        }
    }
}

#[test]
fn mixed_list_is_made_on_request() {
    let (mut driver, _) = with_puppet(5, 0, INDIRECT);
    driver.stage_unchecked(&DriverChain::new().writable(1).writable(1).indirect_after(1)).unwrap();
    driver.publish();
    assert_eq!([0, 1].map(|slot| driver.raw().descriptor(slot).flags), [0x83, 0x84]);
}

/// PACK-IND-2
#[test]
fn flags_of_no_meaning_are_put_into_a_table_on_request() {
    let (mut driver, _) = with_puppet(5, 0, INDIRECT);
    let chain = DriverChain::new().readable(b"1").writable(1).indirect().table_flags(0x8085);
    driver.stage_unchecked(&chain).unwrap();
    driver.publish();
    let table = driver.raw().descriptor(0).addr;
    let flags = [14, 30].map(|offset| driver.view().peek(DriverAddr(table.0 + offset), 2));
    assert_eq!(flags, [[0x85, 0x80], [0x87, 0x80]]);
}

#[test]
fn ids_are_taken_in_order_unless_scrambled() {
    let ids = |scramble| {
        let (mut driver, mut device) = with_puppet(9, 0, PackedOptions { scramble, ..Default::default() });
        let mut ids: Vec<u16> = (0..9).map(|_| driver.add(&list(1)).unwrap()).collect();
        for _ in 0..9 {
            let fetched = device.fetch();
            device.put(fetched, 0);
        }
        driver.reap_all().unwrap();
        ids.extend((0..9).map(|_| driver.add(&list(1)).unwrap()));
        ids
    };
    assert_eq!(ids(None), [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(ids(Some(1)), ids(Some(1)));
    assert_ne!(ids(Some(1)), ids(Some(2)));
    assert_ne!(ids(Some(1)), ids(None));
}
