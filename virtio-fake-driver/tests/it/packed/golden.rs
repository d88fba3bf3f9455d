//! The driver against literal bytes (FD-12, FD-14).

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::packed::{Descriptor, EventSuppression, PackedAreas};
use virtio_fake_driver::{AddressPool, DriverChain, DriverView, PackedDriver, PackedOptions};
use virtio_mem_traits::DriverAddr;

use crate::support::{heap, range};

const RING: DriverAddr = DriverAddr(0x1010);
const DRIVER: DriverAddr = DriverAddr(0x1104);
const DEVICE: DriverAddr = DriverAddr(0x120c);

/// Returns a driver of a queue of 3, whose buffers begin at 0x2001.
fn driver(options: PackedOptions) -> (PackedDriver, DriverView) {
    let heap = heap();
    let view = DriverView::new(heap.clone());
    view.poke(DriverAddr(0x1000), &[0xee; 0x300]);
    let areas = PackedAreas { size: 3, descriptor_area: RING, driver_area: DRIVER, device_area: DEVICE };
    (PackedDriver::with_areas(heap, areas, AddressPool::new(range(0x2001, 0x1000)), options), view)
}

/// LAY-10, FD-1
#[test]
fn new_driver_zeroes_the_areas_and_nothing_else() {
    let (_, view) = driver(PackedOptions::default());
    assert_eq!(view.peek(DriverAddr(0x100f), 50), [&[0xee][..], &[0; 48], &[0xee]].concat());
    assert_eq!(view.peek(DriverAddr(0x1103), 6), [0xee, 0, 0, 0, 0, 0xee]);
    assert_eq!(view.peek(DriverAddr(0x120b), 6), [0xee, 0, 0, 0, 0, 0xee]);
}

#[test]
fn restored_driver_finds_all_slots_used() {
    for (start, bits) in [(0x8000, [0, 0, 0]), (0x8001, [1, 0, 0]), (0x0000, [1, 1, 1]), (0x0002, [0, 0, 1])] {
        let (mut driver, view) = driver(PackedOptions { start: Some(start), ..Default::default() });
        for (slot, bit) in (0..).zip(bits) {
            assert_eq!(view.peek(DriverAddr(RING.0 + 16 * slot + 14), 2), [bit << 7; 2], "{start:#x}, slot {slot}");
        }
        assert_eq!(driver.reap(), Ok(None));
    }
}

/// PACK-USED-2, FD-4
#[test]
fn list_has_its_id_in_the_last_descriptor() {
    let (mut driver, view) = driver(PackedOptions::default());
    assert_eq!(driver.add(&DriverChain::new().readable(b"abc").writable(5)), Ok(0));
    let first = [0x01, 0x20, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0x81, 0];
    let second = [0x04, 0x20, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0x82, 0];
    assert_eq!(view.peek(RING, 48), [first, second, [0; 16]].concat());
    assert_eq!(view.peek(DriverAddr(0x2001), 3), b"abc");
}

/// PACK-WRAP-7, FD-4
#[test]
fn list_goes_over_the_end_of_the_ring_with_flipped_bits() {
    for (start, before, after) in [(0x8002, 0x0080_u16, 0x8000_u16), (0x0002, 0x8000, 0x0080)] {
        let (mut driver, _) = driver(PackedOptions { start: Some(start), ..Default::default() });
        driver.add(&DriverChain::new().readable(b"abc").writable(5).writable(6)).unwrap();
        let flags = [2, 0, 1].map(|slot| driver.raw().descriptor(slot).flags);
        assert_eq!(flags, [before | 1, after | 3, after | 2]);
        assert_eq!([2, 0, 1].map(|slot| driver.raw().descriptor(slot).id), [0xffff, 0xffff, 0]);
        assert_eq!([2, 0, 1].map(|slot| driver.raw().descriptor(slot).len), [3, 5, 6]);
    }
}

/// PACK-IND-6, LAY-11
#[test]
fn indirect_table_has_no_links_and_may_be_at_an_odd_address() {
    let (mut driver, view) = driver(PackedOptions { features: INDIRECT_DESC, ..Default::default() });
    let chain = DriverChain::new().readable(b"xyz").writable(2).indirect().table_misaligned_by(1);
    assert_eq!(driver.add(&chain), Ok(0));
    let reference = [0x11, 0x20, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0x84, 0];
    assert_eq!(view.peek(RING, 32), [reference, [0; 16]].concat());
    let first = [0x01, 0x20, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 0, 0];
    let second = [0x04, 0x20, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0xfe, 0xff, 2, 0];
    assert_eq!(view.peek(DriverAddr(0x2011), 32), [first, second].concat());
}

/// DRV-MAY-1, PACK-SG-6, FD-4, DRV-PBAR-1
#[test]
fn batch_is_published_by_one_store_of_flags() {
    let (mut driver, view) = driver(PackedOptions { start: Some(0x8002), ..Default::default() });
    driver.stage(&DriverChain::new().readable(b"1").readable(b"2")).unwrap();
    driver.stage(&DriverChain::new().readable(b"3")).unwrap();
    assert_eq!(driver.in_flight(), 0);
    let before = view.peek(RING, 48);
    assert_eq!(before[46..], [0, 0], "the flags of slot 2");
    assert_eq!((&before[14..16], &before[30..32]), (&[0, 0x80][..], &[0, 0x80][..]));
    driver.publish();
    assert_eq!(driver.in_flight(), 2);
    assert_eq!(view.peek(RING, 48), [&before[..46], &[0x81, 0]].concat());
    driver.publish();
    assert_eq!(view.peek(RING, 46), before[..46]);
}

/// FD-12
#[test]
fn used_descriptors_are_read_in_their_order() {
    let (mut driver, view) = driver(PackedOptions { features: EVENT_IDX, start: Some(0x0002), scramble: None });
    assert_eq!(view.peek(DRIVER, 4), [2, 0, 2, 0]);
    driver.add(&DriverChain::new().readable(b"1").readable(b"2")).unwrap();
    driver.add(&DriverChain::new().writable(3)).unwrap();
    view.poke(DriverAddr(0x2003), b"ok");
    view.poke(DriverAddr(RING.0 + 2 * 16 + 8), &[2, 0, 0, 0, 1, 0, 2, 0]);
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.len, used.written()), (1, 2, &b"ok"[..]));
    assert!(used.rest_is_untouched());
    assert_eq!(view.peek(DRIVER, 4), [0, 0x80, 2, 0]);
    assert_eq!(driver.reap(), Ok(None));
    view.poke(DriverAddr(RING.0 + 8), &[9, 0, 0, 0, 0, 0, 0x80, 0x80]);
    let used = driver.reap().unwrap().unwrap();
    assert_eq!((used.id, used.len), (0, 0), "without the flag, the length has no meaning (PACK-USED-5)");
    assert_eq!(view.peek(DRIVER, 4), [2, 0x80, 2, 0]);
    assert_eq!(driver.reap(), Ok(None));
}

#[test]
fn raw_descriptor_goes_anywhere_and_comes_back() {
    let (driver, view) = driver(PackedOptions::default());
    let descriptor =
        Descriptor { addr: DriverAddr(0x0102_0304_0506_0708), len: 0x090a_0b0c, id: 0x7654, flags: 0xfff9 };
    let bytes = [8, 7, 6, 5, 4, 3, 2, 1, 0xc, 0xb, 0xa, 9, 0x54, 0x76, 0xf9, 0xff];
    driver.raw().set_descriptor(2, descriptor);
    assert_eq!(view.peek(DriverAddr(0x1030), 16), bytes);
    assert_eq!(driver.raw().descriptor(2), descriptor);
    driver.raw().set_descriptor_at(DriverAddr(0x2003), descriptor);
    assert_eq!(view.peek(DriverAddr(0x2003), 16), bytes);
    driver.raw().set_driver_events(EventSuppression { off_wrap: 0x8765, flags: 0x4321 });
    assert_eq!(view.peek(DRIVER, 4), [0x65, 0x87, 0x21, 0x43]);
    view.poke(DEVICE, &[1, 2, 3, 4]);
    assert_eq!(driver.raw().device_events(), EventSuppression { off_wrap: 0x0201, flags: 0x0403 });
}

#[test]
fn areas_are_aligned_no_better_than_they_have_to_be() {
    for size in [1, 2, 3, 255, 256, 257, 32767, 32768] {
        let areas = PackedAreas::alloc(size, &mut AddressPool::new(range(0x3333, 1 << 20))).unwrap();
        assert_eq!(areas.descriptor_area.0 % 32, 16);
        assert_eq!(areas.driver_area.0 % 8, 4);
        assert_eq!(areas.device_area.0 % 8, 4);
    }
    let areas = PackedAreas::alloc(32768, &mut AddressPool::new(range(0, 1 << 20))).unwrap();
    let lens = [areas.descriptors().len(), areas.driver_events().len(), areas.device_events().len()];
    assert_eq!(lens, [524_288, 4, 4]);
}
