//! The fixture, and what tests of a device do with it.

use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::split::Descriptor;
use virtio_fake_driver::{
    AnyFixture, AnyFixtureOptions, AnyRaw, DriverChain, Fixture, FixtureOptions, MemEvent, Packed, PackedFixture,
    PackedFixtureOptions, QueueFormat, Split, SplitFixture, SplitFixtureOptions, packed,
};
use virtio_queue_core::{Chain, ChainErrorKind, ConfigError, FatalError, QueueLimits};

use crate::support::{answer_to, serve};

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

fn check_full<F: QueueFormat>(size: u16) {
    let mut fixture = Fixture::<F>::new(size);
    for _ in 0..size {
        fixture.driver.stage(&DriverChain::new().readable(b"1")).unwrap();
    }
    fixture.driver.publish();
    assert!(fixture.driver.needs_kick());
    assert_eq!(serve(&mut fixture.queue), Ok(size.into()));
    assert_eq!(fixture.driver.reap_all().unwrap().len(), usize::from(size));
}

/// LAY-3, LAY-8
#[test]
fn every_size_is_there() {
    for size in (0..16).map(|shift| 1 << shift) {
        check_full::<Split>(size);
    }
    for size in [1, 2, 3, 5, 7, 255, 256, 257, 32767, 32768] {
        check_full::<Packed>(size);
    }
}

#[test]
fn format_of_a_fixture_of_any_follows_from_the_features() {
    let mut fixture = AnyFixture::new(8);
    fixture.driver.add(&DriverChain::new().readable(b"1")).unwrap();
    assert!(matches!(fixture.driver.raw(), AnyRaw::Split(raw) if raw.available_index() == 1));
    let options = AnyFixtureOptions { size: 7, features: RING_PACKED, ..Default::default() };
    let mut fixture = options.build().unwrap();
    fixture.driver.add(&DriverChain::new().readable(b"1")).unwrap();
    assert!(matches!(fixture.driver.raw(), AnyRaw::Packed(raw) if raw.descriptor(0).flags == 0x80));
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
    assert_eq!(chain.walk().count(), 2);
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

/// DRV-DESC-2, FD-13
#[test]
fn raw_queue_makes_a_loop() {
    let mut fixture = SplitFixture::new(4);
    let raw = fixture.driver.raw();
    raw.set_descriptor(2, Descriptor { flags: Descriptor::NEXT, next: 2, ..Descriptor::default() });
    raw.set_available_entry(0, 2);
    raw.set_available_index(1);
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    let error = chain.walk().find_map(Result::err).unwrap();
    assert_eq!(error.kind, ChainErrorKind::TooManyElements { limit: 4 });
}

/// PACK-USED-2, PACK-USED-4 to 7, LAY-9: the rest of the ring stays as it is.
#[test]
fn packed_log_shows_what_a_completion_writes() {
    let mut fixture = PackedFixture::new(3);
    let areas = *fixture.driver.areas();
    for (written, flags) in [(0, 0x8080), (2, 0x0002)] {
        fixture.driver.add(&DriverChain::new().readable(b"1").writable(1).writable(1)).unwrap();
        let before = [0, 1, 2].map(|slot| fixture.driver.raw().descriptor(slot));
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        fixture.mem.start_log();
        chain.return_unchecked(written).unwrap();
        let used = MemEvent::Written(areas.used(0));
        assert_eq!(fixture.mem.take_log(), [used, MemEvent::Read(areas.driver_events())]);
        let used = packed::Descriptor { len: written, id: 0, flags, ..before[0] };
        assert_eq!([0, 1, 2].map(|slot| fixture.driver.raw().descriptor(slot)), [used, before[1], before[2]]);
        fixture.driver.reap().unwrap().unwrap();
    }
}

/// DRV-PSG-1
#[test]
fn raw_packed_queue_makes_a_list_without_an_end() {
    let mut fixture = PackedFixture::new(3);
    for slot in 0..3 {
        let flags = packed::Descriptor::NEXT | packed::Descriptor::AVAIL;
        fixture.driver.raw().set_descriptor(slot, packed::Descriptor { flags, ..Default::default() });
    }
    assert_eq!(fixture.queue.next_chain().map(drop), Err(FatalError::EndlessList { size: 3 }));
}

/// DRV-PIND-2, PACK-IND-1, PACK-IND-2: in a table, the device goes by WRITE alone.
#[test]
fn flags_of_no_meaning_in_a_packed_table_change_nothing() {
    let options = PackedFixtureOptions { size: 3, features: INDIRECT_DESC, ..Default::default() };
    let mut fixture = options.build().unwrap();
    for flags in [0, 1, 4, 5, 0x80, 0x8000, 0xfffd] {
        let chain = DriverChain::new().readable(b"ab").writable(2).writable(7).indirect().table_flags(flags);
        fixture.driver.stage_unchecked(&chain).unwrap();
        fixture.driver.publish();
        assert_eq!(serve(&mut fixture.queue), Ok(1));
        assert_eq!(fixture.driver.reap().unwrap().unwrap().written(), answer_to(&chain), "flags {flags:#x}");
    }
}

/// Checks that the device gets those chains, to each of which something is wrong, and can return them.
fn check_unchecked<F: QueueFormat>(chains: &[DriverChain]) {
    let options = FixtureOptions::<F> { size: 2, features: INDIRECT_DESC, ..Default::default() };
    let mut fixture = options.build().unwrap();
    for chain in chains {
        fixture.driver.stage_unchecked(chain).unwrap();
        fixture.driver.publish();
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        assert!(chain.walk().any(|element| element.is_err()));
        drop(chain);
        assert_eq!(fixture.driver.reap().unwrap().unwrap().len, 0);
    }
}

/// DRV-FRM-1, DRV-IND-3, DRV-PSG-2, DRV-PSG-1, DRV-PIND-4, FD-13
#[test]
fn unchecked_chains_reach_the_device() {
    let wrong_order = DriverChain::new().writable(1).readable(b"1");
    let too_long = DriverChain::new().writable_cut(3, &[1; 3]).indirect();
    let mixed = DriverChain::new().writable(1).writable(1).indirect_after(1);
    check_unchecked::<Split>(&[wrong_order.clone(), too_long.clone()]);
    check_unchecked::<Packed>(&[wrong_order, too_long, mixed]);
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
