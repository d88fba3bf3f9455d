//! Queues that go on in other memory.

use std::sync::Arc;

use virtio_fake_driver::{DriverChain, Fixture, FixtureOptions, QueueFormat};
use virtio_mem_traits::{DriverAddr, HeapMem, TranslateError};
use virtio_queue_core::{AreaError, ConfigError, QueueArea};

use crate::support::{fetch, for_each_format};

fn fixture<F: QueueFormat>(features: u64) -> Fixture<F, Arc<HeapMem>> {
    FixtureOptions { size: 8, features, memory_len: 1 << 16, ..Default::default() }.build_plain().unwrap()
}

/// Goes on in another memory with the same bytes, as after a slot was mapped elsewhere.
fn check_goes_on<F: QueueFormat>(features: u64) {
    let mut fixture = fixture::<F>(features);
    for len in 1..=3 {
        fixture.driver.add(&DriverChain::new().writable(len)).unwrap();
    }
    let token = fetch(&mut fixture.queue);
    fixture.queue.next_chain().unwrap().unwrap().return_written(2).unwrap();
    let positions = fixture.queue.save();
    fixture.queue.replace_mem(Arc::clone(&fixture.mem)).unwrap();
    assert_eq!((fixture.queue.save(), fixture.queue.in_flight()), (positions, 1));
    fixture.queue.complete(token, 1).unwrap();
    fixture.queue.next_chain().unwrap().unwrap().return_written(3).unwrap();
    let lens: Vec<_> = fixture.driver.reap_all().unwrap().iter().map(|used| used.len).collect();
    assert_eq!(lens, [2, 1, 3]);
}

/// KEEP-6
#[test]
fn queue_goes_on_in_other_memory() {
    for_each_format!(check_goes_on(0));
}

/// HOST-13: a ring that is not in the new memory stays where it is.
fn check_stays<F: QueueFormat>(features: u64) {
    let mut fixture = fixture::<F>(features);
    fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
    let elsewhere = Arc::new(HeapMem::new(DriverAddr(0), 0x1000).unwrap());
    let error = fixture.queue.replace_mem(elsewhere).unwrap_err();
    let ConfigError::Area { area: QueueArea::Descriptor, error: AreaError::Translate(error) } = error else {
        panic!("{error:?}");
    };
    assert!(matches!(error, TranslateError::Unmapped { .. }));
    fixture.queue.next_chain().unwrap().unwrap().return_written(1).unwrap();
    assert_eq!(fixture.driver.reap_all().unwrap().len(), 1);
}

#[test]
fn queue_stays_where_its_areas_are() {
    for_each_format!(check_stays(0));
}
