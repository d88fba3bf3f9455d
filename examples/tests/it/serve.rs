//! Whole queues.

use virtio_examples::blk::{BlockDevice, DeviceId, MemStorage};
use virtio_examples::{Device, Served};
use virtio_fake_driver::{DriverChain, SplitFixture};
use virtio_queue_core::FatalError;

use crate::disk::{IN, OUT, SECTOR, request};

fn device() -> BlockDevice<MemStorage> {
    BlockDevice::new(MemStorage::new(vec![0; 4 * SECTOR]), DeviceId::new("").unwrap())
}

/// Makes so many reads of a sector available.
fn add_reads(fixture: &mut SplitFixture, count: usize) {
    for _ in 0..count {
        fixture.driver.add(&request(IN, 0, [], 512)).unwrap();
    }
}

#[test]
fn the_budget_is_kept_and_says_if_there_may_be_more() {
    let table: [(usize, u32, u32, bool); 7] = [
        (0, 0, 0, true),
        (0, 1, 0, false),
        (5, 0, 0, true),
        (5, 3, 3, true),
        (5, 5, 5, true),
        (5, 6, 5, false),
        (5, u32::MAX, 5, false),
    ];
    for (available, budget, requests, pending) in table {
        let mut fixture = SplitFixture::new(16);
        add_reads(&mut fixture, available);
        let served = device().serve(&mut fixture.queue, budget).unwrap();
        assert_eq!(served, Served { requests, errors: 0, bytes: u64::from(requests) * 512, pending });
        assert_eq!(fixture.driver.reap_all().unwrap().len(), requests as usize);
    }
}

#[test]
fn a_budget_at_a_time_serves_all() {
    let mut fixture = SplitFixture::new(16);
    add_reads(&mut fixture, 7);
    let mut device = device();
    let mut counts = Vec::new();
    loop {
        let served = device.serve(&mut fixture.queue, 3).unwrap();
        counts.push(served.requests);
        if !served.pending {
            break;
        }
    }
    assert_eq!(counts, [3, 3, 1]);
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 7);
}

#[test]
fn the_driver_is_notified_once_of_all() {
    let mut fixture = SplitFixture::new(16);
    add_reads(&mut fixture, 5);
    device().serve(&mut fixture.queue, 100).unwrap();
    assert_eq!(fixture.notifications.count(), 1);
}

#[test]
fn errors_are_counted_and_stop_nothing() {
    let mut fixture = SplitFixture::new(32);
    for chain in [
        request(OUT, 0, [1; SECTOR], 0),
        request(OUT, 4, [1; SECTOR], 0),
        DriverChain::new().readable([1]),
        request(77, 0, [], 0),
        request(IN, 0, [], 1024),
    ] {
        fixture.driver.add(&chain).unwrap();
    }
    let served = device().serve(&mut fixture.queue, 100).unwrap();
    assert_eq!(served, Served { requests: 5, errors: 3, bytes: 512 + 1024, pending: false });
    let lens: Vec<u32> = fixture.driver.reap_all().unwrap().iter().map(|used| used.len).collect();
    assert_eq!(lens, [1, 1, 0, 1, 1025]);
}

#[test]
fn a_broken_queue_is_an_error_each_time() {
    let mut fixture = SplitFixture::new(16);
    add_reads(&mut fixture, 2);
    fixture.driver.raw().set_available_entry(1, 16);
    let mut device = device();
    for _ in 0..2 {
        let error = device.serve(&mut fixture.queue, 100).unwrap_err();
        assert!(matches!(error, FatalError::HeadOutOfRange { size: 16, .. }), "{error}");
    }
}
