//! Making chains available.

use virtio_fake_driver::features::INDIRECT_DESC;
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{AddError, DriverChain, SplitDriver, SplitOptions};
use virtio_mem_traits::DriverAddr;

use super::device::with_puppet;
use crate::support::{heap, panic_of, range};

const INDIRECT: SplitOptions = SplitOptions { features: INDIRECT_DESC, start: None, scramble: None };

#[test]
fn full_queue_refuses_and_takes_nothing() {
    let (mut driver, mut device) = with_puppet(SplitOptions::default());
    let three = DriverChain::new().writable(1).writable(1).writable(1);
    driver.add(&three).unwrap();
    driver.add(&three).unwrap();
    for _ in 0..3 {
        assert_eq!(driver.add(&three), Err(AddError::NoDescriptors { needed: 3, free: 2 }));
    }
    assert_eq!(driver.in_flight(), 2);
    let head = device.fetch();
    device.put(head, 0);
    device.publish();
    driver.reap().unwrap().unwrap();
    assert_eq!(driver.free_descriptors(), 5);
    driver.add(&three).unwrap();
}

#[test]
fn full_pool_refuses_and_takes_nothing() {
    let (mut driver, _) = with_puppet(SplitOptions::default());
    let free = driver.pool().clone();
    let chain = DriverChain::new().readable([0; 0x1000]).writable(0x8000);
    assert_eq!(driver.add(&chain), Err(AddError::NoMemory { len: 0x8000 }));
    assert_eq!(driver.free_descriptors(), 8);
    assert_eq!(format!("{:?}", driver.pool()), format!("{free:?}"));
}

/// SPLIT-IND-10
#[test]
fn queue_has_room_for_as_many_indirect_chains_as_descriptors() {
    let (mut driver, _) = with_puppet(INDIRECT);
    let chain = DriverChain::new().readable_cut(b"12345678", &[1; 8]).indirect();
    for id in 0..8 {
        assert_eq!(driver.add(&chain), Ok(id));
    }
    assert_eq!(driver.add(&chain), Err(AddError::NoDescriptors { needed: 1, free: 0 }));
}

#[test]
fn elements_and_tables_go_where_the_test_wants_them() {
    let (mut driver, _) = with_puppet(INDIRECT);
    let place = driver.pool().alloc(100, 1).unwrap().start();
    let chain = DriverChain::new().readable(b"here").at(place).writable(1).indirect();
    let table = DriverAddr(place.0 + 37);
    driver.add(&chain.table_at(table)).unwrap();
    assert_eq!(driver.raw().view().peek(place, 4), b"here");
    let expected = Descriptor { addr: place, len: 4, flags: Descriptor::NEXT, next: 1 };
    assert_eq!(driver.raw().view().peek(table, 16), expected.to_bytes());
    assert_eq!(driver.raw().descriptor(0).addr, table);
}

#[test]
fn empty_element_may_be_where_nothing_is() {
    let (mut driver, _) = with_puppet(SplitOptions::default());
    driver.add(&DriverChain::new().writable(0).at(DriverAddr(u64::MAX))).unwrap();
    assert_eq!(driver.raw().descriptor(0).addr, DriverAddr(u64::MAX));
}

/// Checks that `chain` is taken when nobody asks for the rules, and refused otherwise because of `rule`.
fn check_refused(options: SplitOptions, chain: &DriverChain, rule: &str) {
    let message = panic_of(|| with_puppet(options).0.add(chain));
    assert!(message.contains(rule), "{message}");
    assert_eq!(with_puppet(options).0.stage_unchecked(chain), Ok(0));
}

#[test]
fn chain_that_breaks_a_rule_is_refused() {
    let nine = DriverChain::new().writable_cut(9, &[1; 9]).indirect();
    check_refused(INDIRECT, &nine, "DRV-IND-3");
    check_refused(SplitOptions::default(), &DriverChain::new().writable(1).indirect(), "DRV-IND-1");
    check_refused(SplitOptions::default(), &DriverChain::new().writable(1).readable(b"1"), "DRV-FRM-1");
}

#[test]
fn descriptors_are_taken_in_order_unless_scrambled() {
    let one = DriverChain::new().writable(1);
    let heads = |scramble| {
        let (mut driver, mut device) = with_puppet(SplitOptions { scramble, ..Default::default() });
        let mut heads: Vec<u16> = (0..8).map(|_| driver.add(&one).unwrap()).collect();
        for _ in 0..8 {
            let head = device.fetch();
            device.put(head, 0);
        }
        device.publish();
        driver.reap_all().unwrap();
        heads.extend((0..8).map(|_| driver.add(&one).unwrap()));
        heads
    };
    assert_eq!(heads(None), [0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(heads(Some(1)), heads(Some(1)));
    assert_ne!(heads(Some(1)), heads(Some(2)));
    assert_ne!(heads(Some(1)), heads(None));
}

/// SPLIT-IND-3
#[test]
fn scrambled_table_begins_with_entry_0_and_reaches_all() {
    let mut orders = Vec::new();
    for seed in 0..8 {
        let options = SplitOptions { scramble: Some(seed), ..INDIRECT };
        let mut driver = SplitDriver::new(heap(), 8, options);
        let table = driver.pool().alloc(8 * 16, 1).unwrap();
        let head =
            driver.add(&DriverChain::new().readable_cut(b"12345678", &[1; 8]).indirect().table_at(table.start()));
        assert_eq!(driver.raw().descriptor(head.unwrap()).len, 128);
        let view = driver.raw().view();
        let (mut next, mut read, mut order) = (0, Vec::new(), Vec::new());
        for _ in 0..8 {
            let bytes = view.peek(DriverAddr(table.start().0 + 16 * u64::from(next)), 16);
            let descriptor = Descriptor::from_bytes(bytes.try_into().unwrap());
            read.extend(view.peek(descriptor.addr, 1));
            order.push(next);
            next = descriptor.next;
        }
        assert_eq!(read, b"12345678");
        assert_eq!(next, u16::MAX);
        orders.push(order);
    }
    orders.sort_unstable();
    orders.dedup();
    assert!(orders.len() > 4);
}

#[test]
fn pool_range_is_what_the_queue_leaves() {
    let mut driver = SplitDriver::new(heap(), 8, SplitOptions::default());
    let areas = *driver.areas();
    while let Some(taken) = driver.pool().alloc(1, 1) {
        for area in [areas.descriptors(), areas.available_ring(), areas.used_ring()] {
            assert_eq!(area.offset_of(taken.start()), None);
        }
        assert!(range(0x1000, 0x4000).offset_of(taken.start()).is_some());
    }
}
