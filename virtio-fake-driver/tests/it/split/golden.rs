//! The driver against literal bytes (FD-12, FD-14).

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::split::{Descriptor, SplitAreas};
use virtio_fake_driver::{AddressPool, DriverChain, DriverView, SplitDriver, SplitOptions};
use virtio_mem_traits::DriverAddr;

use crate::support::{heap, range};

const TABLE: DriverAddr = DriverAddr(0x1000);
const AVAILABLE: DriverAddr = DriverAddr(0x1102);
const USED: DriverAddr = DriverAddr(0x1204);

/// Returns a driver of a queue of 4, whose buffers begin at 0x2001.
fn driver(options: SplitOptions) -> (SplitDriver, DriverView) {
    let heap = heap();
    let view = DriverView::new(heap.clone());
    view.poke(TABLE, &[0xee; 0x300]);
    let areas = SplitAreas { size: 4, descriptor_area: TABLE, driver_area: AVAILABLE, device_area: USED };
    (SplitDriver::with_areas(heap, areas, AddressPool::new(range(0x2001, 0x1000)), options), view)
}

/// FD-1
#[test]
fn new_driver_zeroes_the_areas_and_nothing_else() {
    let (_, view) = driver(SplitOptions::default());
    assert_eq!(view.peek(TABLE, 65), [&[0; 64][..], &[0xee]].concat());
    assert_eq!(view.peek(DriverAddr(0x1101), 16), [&[0xee][..], &[0; 14], &[0xee]].concat());
    assert_eq!(view.peek(DriverAddr(0x1203), 40), [&[0xee][..], &[0; 38], &[0xee]].concat());
}

/// FD-2, FD-14
#[test]
fn direct_chain_is_linked_in_the_table_of_the_queue() {
    let (mut driver, view) = driver(SplitOptions::default());
    assert_eq!(driver.add(&DriverChain::new().readable(b"abc").writable(5)), Ok(0));
    let first = [0x01, 0x20, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 1, 0];
    let second = [0x04, 0x20, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0xff, 0xff];
    assert_eq!(view.peek(TABLE, 48), [first, second, [0; 16]].concat());
    assert_eq!(view.peek(AVAILABLE, 14), [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(view.peek(DriverAddr(0x2001), 3), b"abc");
}

/// FD-2
#[test]
fn chain_is_direct_then_indirect_with_the_table_at_an_odd_address() {
    let (mut driver, view) = driver(SplitOptions { features: INDIRECT_DESC, ..Default::default() });
    let chain = DriverChain::new().readable(b"xyz").writable(2).writable(0).indirect_after(1).table_misaligned_by(1);
    assert_eq!(driver.add(&chain), Ok(0));
    let first = [0x01, 0x20, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 1, 0];
    let reference = [0x11, 0x20, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0xff, 0xff];
    assert_eq!(view.peek(TABLE, 32), [first, reference].concat());
    let table_first = [0x04, 0x20, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0];
    let table_second = [0x01, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xff, 0xff];
    assert_eq!(view.peek(DriverAddr(0x2011), 32), [table_first, table_second].concat());
}

/// FD-2, DRV-BAR-1
#[test]
fn batch_is_published_by_one_store_of_the_index() {
    let (mut driver, view) = driver(SplitOptions { start: Some(0xffff), ..Default::default() });
    assert_eq!(view.peek(AVAILABLE, 4), [0, 0, 0xff, 0xff]);
    assert_eq!(driver.stage(&DriverChain::new().readable(b"1")), Ok(0));
    assert_eq!(driver.stage(&DriverChain::new().readable(b"2")), Ok(1));
    assert_eq!(driver.in_flight(), 0);
    assert_eq!(view.peek(AVAILABLE, 14), [0, 0, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    driver.publish();
    assert_eq!(driver.in_flight(), 2);
    assert_eq!(view.peek(AVAILABLE, 4), [0, 0, 1, 0]);
}

/// FD-12, BAR-13
#[test]
fn used_elements_are_read_in_their_order() {
    let (mut driver, view) = driver(SplitOptions { features: EVENT_IDX, start: Some(0xffff), ..Default::default() });
    assert_eq!(view.peek(DriverAddr(0x110e), 2), [0xff, 0xff], "used_event");
    driver.add(&DriverChain::new().readable(b"1")).unwrap();
    driver.add(&DriverChain::new().writable(3)).unwrap();
    view.poke(DriverAddr(0x2002), b"ok");
    view.poke(DriverAddr(0x1204 + 4 + 3 * 8), &[1, 0, 0, 0, 2, 0, 0, 0]);
    view.poke(DriverAddr(0x1204 + 4), &[0, 0, 0, 0, 0, 0, 0, 0]);
    view.poke(DriverAddr(0x1206), &[1, 0]);
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.len, used.written()), (1, 2, &b"ok"[..]));
    assert!(used.rest_is_untouched());
    assert_eq!(view.peek(DriverAddr(0x110e), 2), [0, 0], "used_event");
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.len, used.written()), (0, 0, &b""[..]));
    assert_eq!(view.peek(DriverAddr(0x110e), 2), [1, 0], "used_event");
    assert_eq!(driver.reap(), Ok(None));
}

#[test]
fn raw_descriptor_goes_anywhere_and_comes_back() {
    let (driver, view) = driver(SplitOptions::default());
    let descriptor =
        Descriptor { addr: DriverAddr(0x0102_0304_0506_0708), len: 0x090a_0b0c, flags: 0xfff9, next: 0x7654 };
    let bytes = [8, 7, 6, 5, 4, 3, 2, 1, 0xc, 0xb, 0xa, 9, 0xf9, 0xff, 0x54, 0x76];
    driver.raw().set_descriptor(3, descriptor);
    assert_eq!(view.peek(DriverAddr(0x1030), 16), bytes);
    assert_eq!(driver.raw().descriptor(3), descriptor);
    driver.raw().set_descriptor_at(DriverAddr(0x2003), descriptor);
    assert_eq!(view.peek(DriverAddr(0x2003), 16), bytes);
}

#[test]
fn areas_are_aligned_no_better_than_they_have_to_be() {
    for size in (0..16).map(|shift| 1_u16 << shift) {
        let areas = SplitAreas::alloc(size, &mut AddressPool::new(range(0x3333, 1 << 20))).unwrap();
        assert_eq!(areas.descriptor_area.0 % 32, 16);
        assert_eq!(areas.driver_area.0 % 4, 2);
        assert_eq!(areas.device_area.0 % 8, 4);
    }
    let areas = SplitAreas::alloc(32768, &mut AddressPool::new(range(0, 1 << 20))).unwrap();
    let lens = [areas.descriptors().len(), areas.available_ring().len(), areas.used_ring().len()];
    assert_eq!(lens, [524_288, 65_542, 262_150]);
}
