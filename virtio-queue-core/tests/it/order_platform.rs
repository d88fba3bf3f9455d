//! ORDER_PLATFORM, which changes nothing.

use virtio_fake_driver::{DriverChain, FixtureOptions, MemEvent, Packed, QueueFormat, Split};

/// Serves one chain, and returns all that was done with the memory.
fn log_of_one_chain<F: QueueFormat>(features: u64) -> Vec<MemEvent> {
    let mut fixture = FixtureOptions::<F> { size: 8, features, ..Default::default() }.build().unwrap();
    fixture.driver.add(&DriverChain::new().readable(b"a").writable(1)).unwrap();
    fixture.mem.start_log();
    let chain = fixture.queue.next_chain().unwrap().unwrap();
    assert_eq!(chain.walk().count(), 2);
    chain.return_written(1).unwrap();
    assert!(fixture.queue.next_chain().unwrap().is_none());
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 1);
    fixture.mem.take_log()
}

/// BAR-11, FEAT-15: with the feature or without it, the same accesses in the same order.
#[test]
fn order_platform_changes_nothing() {
    const ORDER_PLATFORM: u64 = 1 << 36;
    assert_eq!(log_of_one_chain::<Split>(ORDER_PLATFORM), log_of_one_chain::<Split>(0));
    assert_eq!(log_of_one_chain::<Packed>(ORDER_PLATFORM), log_of_one_chain::<Packed>(0));
}
