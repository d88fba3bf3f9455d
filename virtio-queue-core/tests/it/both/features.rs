//! Sets of features and sizes of every kind: each runs, and changes no more than it has to.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions, MemEvent, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{
    AnyRing, FromConfig, InOrderRing, OrderSlot, Queue, QueueLimits, Ring, SUPPORTED_RING_FEATURES,
};
use virtio_util::NotificationCounter;

use crate::support::{for_each_format, one_chain, serve, start, traffic, walk};

type Mem = Rc<TestMem>;
type Ordered<R> = InOrderRing<R, Vec<OrderSlot>>;

/// All sets of what a device may offer, but for the format and the order.
fn feature_sets() -> Vec<u64> {
    let optional = SUPPORTED_RING_FEATURES.bits() & !(VERSION_1 | RING_PACKED | IN_ORDER);
    let bits: Vec<u64> = (0..64).map(|bit| 1 << bit).filter(|bit| optional & bit != 0).collect();
    let union = |set: usize| (0..bits.len()).filter(|n| set >> n & 1 != 0).map(|n| bits[n]).sum();
    (0..1 << bits.len()).map(union).collect()
}

/// Sends a few chains through a queue on any ring, and back.
fn check_smoke<F: QueueFormat, R: Ring<Mem = Rc<TestMem>> + FromConfig>(size: u16, features: u64, count: usize) {
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), if size > 256 { 1 << 20 } else { 1 << 15 }).unwrap());
    let options = DriverOptions { features, ..Default::default() };
    let mut driver = Driver::<F>::new(Arc::clone(&heap), size, options);
    let (mem, notifications) = (Rc::new(TestMem::new(heap)), NotificationCounter::new());
    let mut queue = Queue::<R, _>::new(&driver.queue_config(QueueLimits::default()), mem, &notifications).unwrap();
    assert_eq!(queue.size(), size);
    for chain in traffic(&driver, 1, 8, 64).take(count) {
        one_chain(&mut queue, &mut driver, &notifications, &chain);
    }
    // One that takes all of the ring.
    let elements = usize::from(size.min(1000));
    let whole = (0..elements).fold(DriverChain::new(), |chain, _| chain.writable(1));
    for _ in 0..3 {
        driver.add(&whole).unwrap();
        let fetched = queue.next_chain().unwrap().unwrap();
        assert_eq!(walk(&fetched).0.len(), elements);
        drop(fetched);
        assert_eq!(driver.reap_all().unwrap().len(), 1);
    }
}

/// FEAT-2, FEAT-3, FEAT-4, FEAT-5, FEAT-6, FEAT-9, FEAT-10, FEAT-13, FEAT-14, FEAT-15, FEAT-17, FEAT-18, FEAT-19,
/// FEAT-20, DRV-FEAT-6, GEN-12, AMB-22: every subset of what may be offered runs, in both formats and in order or not:
/// no feature requires another, or is missed.
#[test]
fn every_subset_of_features_runs() {
    let sets = feature_sets();
    assert_eq!(sets.len(), 256);
    for features in sets {
        for size in [1, 2, 8] {
            check_smoke::<Split, <Split as QueueFormat>::Ring<Mem>>(size, features, 5);
            check_smoke::<Packed, <Packed as QueueFormat>::Ring<Mem>>(size, features, 5);
            check_smoke::<Any, AnyRing<Mem>>(size, features, 5);
            check_smoke::<Any, AnyRing<Mem>>(size, features | RING_PACKED, 5);
            check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features, 5);
            check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features | RING_PACKED, 5);
            check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features | IN_ORDER, 5);
            check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features | IN_ORDER | RING_PACKED, 5);
        }
    }
}

/// LAY-8, LAY-3, REG-1, AMB-22, GEN-12: sizes of every kind, with every feature that changes what a ring looks like.
#[test]
fn every_size_runs() {
    for features in [0, INDIRECT_DESC, EVENT_IDX, INDIRECT_DESC | EVENT_IDX] {
        for size in [1, 2, 3, 5, 7, 255, 256, 257, 32767, 32768] {
            check_smoke::<Packed, <Packed as QueueFormat>::Ring<Mem>>(size, features, 20);
            check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features | RING_PACKED | IN_ORDER, 20);
            if size.is_power_of_two() {
                check_smoke::<Split, <Split as QueueFormat>::Ring<Mem>>(size, features, 20);
                check_smoke::<Any, Ordered<AnyRing<Mem>>>(size, features | IN_ORDER, 20);
            }
        }
    }
}

/// BAR-11, FEAT-15: with ORDER_PLATFORM and ACCESS_PLATFORM every access is as without them, and in the same order.
#[test]
fn platform_features_change_no_access() {
    fn run<F: QueueFormat>(features: u64) -> Vec<MemEvent> {
        let mut fixture = start::<F>(8, features);
        fixture.mem.start_log();
        for len in 1..30 {
            fixture.driver.add(&DriverChain::new().readable(b"?").writable(len)).unwrap();
            let chain = fixture.queue.next_chain().unwrap().unwrap();
            let written = serve(&chain);
            chain.return_written(written).unwrap();
            fixture.driver.reap_all().unwrap();
            assert!(fixture.queue.next_chain().unwrap().is_none());
        }
        fixture.mem.take_log()
    }
    fn check<F: QueueFormat>(features: u64) {
        let plain = run::<F>(features);
        assert!(plain.len() > 100);
        for platform in [1 << 33, 1 << 36, 1 << 33 | 1 << 36] {
            assert_eq!(run::<F>(features | platform), plain);
        }
    }
    for_each_format!(check(EVENT_IDX));
}
