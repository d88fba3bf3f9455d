//! The fixture, and what tests of a device do with it.

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{DriverChain, MemEvent, SplitFixture, SplitFixtureOptions};
use virtio_queue_core::{ChainErrorKind, ConfigError, QueueLimits};

use crate::device::serve;

#[test]
fn driver_goes_on_while_a_chain_is_held() {
    let SplitFixture { mut queue, mut driver, notifications, .. } = SplitFixture::new(4);
    let first = driver.add(&DriverChain::new().readable(b"1")).unwrap();
    let chain = queue.next_chain().unwrap().unwrap();
    let second = driver.add(&DriverChain::new().readable(b"2")).unwrap();
    drop(chain);
    assert_eq!(driver.reap().unwrap().unwrap().id, first);
    assert_eq!(queue.next_chain().unwrap().unwrap().id(), second);
    assert_eq!(notifications.count(), 2);
}

#[test]
fn every_size_is_there() {
    for size in (0..16).map(|shift| 1 << shift) {
        let mut fixture = SplitFixture::new(size);
        for _ in 0..size {
            fixture.driver.stage(&DriverChain::new().readable(b"1")).unwrap();
        }
        fixture.driver.publish();
        assert!(fixture.driver.needs_kick());
        assert_eq!(serve(&mut fixture.queue), Ok(size.into()));
        assert_eq!(fixture.driver.reap_all().unwrap().len(), usize::from(size));
    }
}

#[test]
fn limit_of_the_device_is_an_error() {
    let limits = QueueLimits { queue_size: 4, ..QueueLimits::default() };
    let options = SplitFixtureOptions { size: 8, limits, ..Default::default() };
    assert_eq!(options.build().map(drop), Err(ConfigError::SizeOverLimit { size: 8, limit: 4 }));
}

/// HOST-20: each field is read once, by one access of its own width.
#[test]
fn log_shows_what_a_fetch_reads() {
    let options = SplitFixtureOptions { size: 8, features: EVENT_IDX, ..Default::default() };
    let mut fixture = options.build().unwrap();
    fixture.driver.add(&DriverChain::new().readable(b"1").writable(1)).unwrap();
    let areas = *fixture.driver.areas();
    fixture.mem.start_log();
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(chain.elements().count(), 2);
    let reads = [areas.available_index(), areas.available_entry(0), areas.descriptor(0), areas.descriptor(1)];
    assert_eq!(fixture.mem.take_log(), reads.map(MemEvent::Read));
    drop(chain);
    let expected = [
        MemEvent::Written(areas.used_element(0)),
        MemEvent::Written(areas.used_index()),
        MemEvent::Read(areas.used_event()),
    ];
    assert_eq!(fixture.mem.take_log(), expected);
}

/// DRV-DESC-2
#[test]
fn raw_queue_makes_a_loop() {
    let mut fixture = SplitFixture::new(4);
    let raw = fixture.driver.raw();
    raw.set_descriptor(2, Descriptor { flags: Descriptor::NEXT, next: 2, ..Descriptor::default() });
    raw.set_available_entry(0, 2);
    raw.set_available_index(1);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let error = chain.elements().find_map(Result::err).unwrap();
    assert_eq!(error.kind, ChainErrorKind::TooManyElements { limit: 4 });
}

/// DRV-FRM-1, DRV-IND-3
#[test]
fn unchecked_chains_reach_the_device() {
    let options = SplitFixtureOptions { size: 2, features: INDIRECT_DESC, ..Default::default() };
    let mut fixture = options.build().unwrap();
    let wrong_order = DriverChain::new().writable(1).readable(b"1");
    let too_long = DriverChain::new().writable_cut(3, &[1; 3]).indirect();
    for chain in [wrong_order, too_long] {
        fixture.driver.stage_unchecked(&chain).unwrap();
        fixture.driver.publish();
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        assert!(chain.elements().any(|element| element.is_err()));
        drop(chain);
        assert_eq!(fixture.driver.reap().unwrap().unwrap().len, 0);
    }
}

/// HOST-20: the driver changes the entry between the device's reads of the index and of the entry.
#[test]
fn driver_changes_memory_between_two_reads() {
    let mut fixture = SplitFixture::new(4);
    fixture.driver.add(&DriverChain::new().readable(b"1")).unwrap();
    let raw = fixture.driver.raw().clone();
    fixture.mem.on_read(1, move |_| raw.set_available_entry(0, 3));
    assert_eq!(fixture.queue.next_chain().unwrap().unwrap().id(), 3);
}
