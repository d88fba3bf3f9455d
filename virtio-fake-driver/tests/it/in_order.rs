//! Devices that use buffers in order, with one report for many (FD-3, FD-6).

use virtio_fake_driver::features::{IN_ORDER, INDIRECT_DESC};
use virtio_fake_driver::{DeviceViolation, DriverChain, DriverOptions, PackedDriver, SplitDriver, UsedBuffer};
use virtio_mem_traits::DriverAddr;

use crate::packed;
use crate::split::Puppet;
use crate::support::heap;

const OPTIONS: DriverOptions = DriverOptions { features: IN_ORDER | INDIRECT_DESC, start: None, scramble: Some(4) };

fn summary(used: &[UsedBuffer]) -> Vec<(u16, u32)> {
    used.iter().map(|used| (used.id, used.len)).collect()
}

/// FD-3, DRV-DESC-3, DRV-IND-5
#[test]
fn split_descriptors_are_taken_in_the_order_of_the_ring() {
    let mut driver = SplitDriver::new(heap(), 8, OPTIONS);
    let mut device = Puppet::new(&driver, 0);
    let mut next = 0;
    for round in 0..50 {
        let chain = DriverChain::new().writable_cut(1 + round % 5, &vec![1; (round % 5) as usize]);
        let id = driver.add(&chain).unwrap();
        assert_eq!(u32::from(id), next % 8);
        for offset in 0..round % 5 {
            let descriptor = driver.raw().descriptor(u16::try_from((next + offset) % 8).unwrap());
            assert_eq!(u32::from(descriptor.next), (next + offset + 1) % 8);
        }
        next += 1 + round % 5;
        let head = device.fetch();
        device.put(head, 0);
        device.publish();
        driver.reap().unwrap().unwrap();
    }
    let id = driver.add(&DriverChain::new().writable_cut(4, &[1; 3]).indirect()).unwrap();
    let table = driver.raw().descriptor(id).addr;
    let nexts = [0, 1, 2].map(|entry| driver.view().peek(DriverAddr(table.0 + 16 * entry + 14), 2));
    assert_eq!(nexts, [[1, 0], [2, 0], [3, 0]]);
}

/// SPLIT-ORD-2 to 6, FD-6
#[test]
fn split_element_stands_for_those_before_it() {
    for batches in [vec![1, 1, 1, 1, 1], vec![5], vec![2, 3], vec![4, 1], vec![1, 3, 1]] {
        let mut driver = SplitDriver::new(heap(), 8, DriverOptions { start: Some(0xfffd), ..OPTIONS });
        let mut device = Puppet::new(&driver, 0xfffd);
        let ids: Vec<u16> = (1..=5).map(|len| driver.add(&DriverChain::new().writable(len * 10)).unwrap()).collect();
        let (mut expected, mut done) = (Vec::new(), 0);
        for batch in batches {
            let (last, skipped) = ids[done..done + batch].split_last().unwrap();
            expected
                .extend(skipped.iter().zip(done..).map(|(id, place)| (*id, 10 * (u32::try_from(place).unwrap() + 1))));
            expected.push((*last, 3));
            device.put((*last).into(), 3);
            device.skip(batch - 1);
            done += batch;
        }
        device.publish();
        assert_eq!(summary(&driver.reap_all().unwrap()), expected);
        assert_eq!((driver.in_flight(), driver.free_descriptors()), (0, 8));
    }
}

/// SPLIT-ORD-1
#[test]
fn split_buffer_before_its_turn_is_a_violation() {
    let mut driver = SplitDriver::new(heap(), 8, OPTIONS);
    let mut device = Puppet::new(&driver, 0);
    let ids = [(); 3].map(|()| driver.add(&DriverChain::new().writable(1)).unwrap());
    device.put(ids[2].into(), 0);
    device.skip(1);
    device.publish();
    assert_eq!(driver.reap(), Err(DeviceViolation::OutOfOrder { id: ids[2].into(), skipped: 1 }));
}

/// PACK-INO-2 to 4, FD-6
#[test]
fn packed_descriptor_stands_for_those_before_it() {
    for start in 0..22 {
        for batches in [vec![1, 1, 1, 1], vec![4], vec![2, 2], vec![3, 1], vec![1, 2, 1]] {
            let (mut driver, mut device) = packed::with_puppet(11, start, OPTIONS);
            let lists: Vec<_> = [3, 1, 4, 2]
                .map(|slots| {
                    driver.add(&DriverChain::new().writable_cut(slots, &vec![1; slots as usize])).unwrap();
                    device.fetch()
                })
                .into();
            let (mut expected, mut done) = (Vec::new(), 0);
            for batch in batches {
                let (last, skipped) = lists[done..done + batch].split_last().unwrap();
                expected.extend(skipped.iter().map(|list| (list.id, u32::try_from(list.slots).unwrap())));
                expected.push((last.id, 0));
                let slots = lists[done..done + batch].iter().map(|list| list.slots).sum();
                device.put(packed::Fetched { id: last.id, slots }, 0);
                done += batch;
            }
            assert!(driver.enable_interrupts_after(9));
            assert_eq!(summary(&driver.reap_all().unwrap()), expected);
            assert_eq!((driver.in_flight(), driver.free_descriptors()), (0, 11));
            assert_eq!(driver.notification_data(0).position, device.off_wrap(device.next_used()));
        }
    }
}

#[test]
fn rest_of_a_batch_counts_as_used() {
    let chains = [3, 1, 4].map(|slots| DriverChain::new().writable_cut(slots, &vec![1; slots as usize]));
    for start in 0..22 {
        let (mut driver, mut device) = packed::with_puppet(11, start, OPTIONS);
        let lists = chains.each_ref().map(|chain| {
            driver.add(chain).unwrap();
            device.fetch()
        });
        device.put(packed::Fetched { id: lists[1].id, slots: 4 }, 0);
        let position = device.off_wrap(device.next_used());
        for used_already in [true, true, false] {
            assert_eq!((driver.used_position(), driver.enable_interrupts()), (position, used_already));
            assert_eq!(driver.reap().unwrap().is_some(), used_already);
        }
        assert_eq!((driver.in_flight(), driver.available_position()), (1, device.off_wrap(start + 8)));
    }
}

#[test]
fn packed_driver_asks_for_what_comes_after_a_batch() {
    let mut driver = PackedDriver::new(heap(), 4, DriverOptions { features: IN_ORDER | 1 << 29, ..OPTIONS });
    let mut device = packed::Puppet::new(&driver, 0);
    for _ in 0..3 {
        driver.add(&DriverChain::new().writable(1)).unwrap();
    }
    let last = [(); 3].map(|()| device.fetch())[2];
    device.put(packed::Fetched { id: last.id, slots: 3 }, 1);
    assert_eq!(driver.reap_all().unwrap().len(), 3);
    assert_eq!(driver.raw().driver_events().off_wrap, 0x8003);
}
