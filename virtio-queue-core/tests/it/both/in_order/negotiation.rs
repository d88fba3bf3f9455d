//! What becomes of the order where it was not negotiated, or cannot be kept.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, RING_PACKED};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{
    AnyQueue, Armed, ConfigError, DriverNotify, FromConfig, InOrderRing, KeepsDescriptors, OrderSlot, OrderStorage,
    OrderedRing, PackedQueue, Queue, QueueConfig, QueueLimits, Ring, RingFeatures, SplitQueue,
};

use super::{Few, Many, Mem, chain, writes};
use crate::support::{fetch, logged, walk};

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {}
}

/// Runs the same through an ordered ring that has not negotiated it, and through the ring as it is: every access is the
/// same.
fn check_plain<F: QueueFormat>(features: u64) {
    let run = |ordered: bool| {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
        let mut driver = Driver::<F>::new(Arc::clone(&heap), 16, DriverOptions { features, ..Default::default() });
        let mem = Rc::new(TestMem::new(heap));
        let config = driver.queue_config(QueueLimits::default());
        mem.start_log();
        let order = if ordered {
            // No room at all: none is needed.
            let queue = Queue::<InOrderRing<F::Ring<Mem>, [OrderSlot; 0]>, _>::new(&config, Rc::clone(&mem), Silent);
            disorder(&mut driver, queue.unwrap())
        } else {
            disorder(&mut driver, Queue::<F::Ring<Mem>, _>::new(&config, Rc::clone(&mem), Silent).unwrap())
        };
        (order, mem.take_log())
    };
    let (plain, ordered) = (run(false), run(true));
    assert_eq!(plain.0, [2, 0, 1].repeat(9));
    assert_eq!(plain, ordered);
}

/// Returns three chains at a time in disorder, and then in which order the driver found them used.
fn disorder<F: QueueFormat, R: Ring>(driver: &mut Driver<F>, mut queue: Queue<R, Silent>) -> Vec<usize> {
    let mut found = Vec::new();
    for _ in 0..9 {
        let ids = [(); 3].map(|()| driver.add(&chain(2)).unwrap());
        let [a, b, c] = [(); 3].map(|()| fetch(&mut queue));
        queue.suppress_notifications();
        for (token, len) in [(c, 2), (a, 2), (b, 1)] {
            queue.complete(token, len).unwrap();
        }
        assert_eq!(queue.enable_notifications(), Ok(Armed::Waiting));
        let used = driver.reap_all().unwrap();
        found.extend(used.iter().map(|used| ids.iter().position(|id| *id == used.id).unwrap()));
    }
    found
}

/// GEN-8, FEAT-14: a ring that could keep the order, and has not promised to, does what the ring in it does.
#[test]
fn order_not_negotiated_is_plain_ring() {
    for features in [0, EVENT_IDX] {
        check_plain::<Split>(features);
        check_plain::<Packed>(features);
        check_plain::<Any>(features);
        check_plain::<Any>(features | RING_PACKED);
    }
}

/// Returns three chains in disorder to a ring that keeps the order although nobody asked for it, and looks at each once
/// more.
fn check_always<F: QueueFormat>(features: u64, reports: usize)
where
    OrderedRing<F::Ring<Mem>, Few>: KeepsDescriptors + FromConfig + Ring<Mem = Mem>,
{
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
    let mut driver = Driver::<F>::new(Arc::clone(&heap), 8, DriverOptions { features, ..Default::default() });
    let mem = Rc::new(TestMem::new(heap));
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = Queue::<OrderedRing<F::Ring<Mem>, Few>, _>::new(&config, Rc::clone(&mem), Silent).unwrap();
    for _ in 0..20 {
        let ids = [1, 2, 3].map(|len| driver.add(&DriverChain::new().writable_cut(len, &[1])).unwrap());
        let mut tokens = ids.map(|_| Some(fetch(&mut queue)));
        for (at, len) in [(2, 3), (1, 2)] {
            let ((), log) = logged(&mem, || queue.complete(tokens[at].take().unwrap(), len).unwrap());
            assert_eq!(log, []);
        }
        // Nobody has written over the one that is still in flight.
        let chain = queue.chain(tokens[0].take().unwrap()).unwrap();
        assert_eq!(walk(&chain).0.iter().map(|element| element.1).sum::<u64>(), 1);
        let ((), log) = logged(&mem, || chain.return_written(1).unwrap());
        assert_eq!(writes(log).len(), reports, "a report for each");
        let used = driver.reap_all().unwrap();
        assert!(used.iter().map(|used| (used.id, used.len)).eq(ids.into_iter().zip(1..)));
    }
}

/// SPLIT-ORD-7, SPLIT-ORD-1, PACK-INO-1, GEN-8: a ring that keeps the order although IN_ORDER was not negotiated has no
/// batches: the driver knows nothing of them. The chains in flight can be walked at any time.
#[test]
fn order_kept_without_being_asked_for_has_no_batches() {
    for features in [0, EVENT_IDX] {
        check_always::<Split>(features, 3 + 1);
        check_always::<Packed>(features, 3);
        check_always::<Any>(features, 3 + 1);
        check_always::<Any>(features | RING_PACKED, 3);
    }
    // Whether or not it was negotiated, there has to be room.
    let (config, mem) = config_for::<Packed>(9, 0);
    let made = OrderedRing::<PackedRing<Mem>, Few>::from_config(&config, mem);
    assert_eq!(made.err(), Some(ConfigError::SizeOverLimit { size: 9, limit: 8 }));
}

/// The configuration of a queue, and memory for it.
fn config_for<F: QueueFormat>(size: u16, features: u64) -> (QueueConfig, Mem) {
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 20).unwrap());
    let driver = Driver::<F>::new(Arc::clone(&heap), size, DriverOptions { features, ..Default::default() });
    let mem = Rc::new(TestMem::new(heap));
    mem.start_log();
    (driver.queue_config(QueueLimits::default()), mem)
}

fn check_room<F: QueueFormat, S: OrderStorage>(size: u16, limit: Option<u16>) {
    let (config, mem) = config_for::<F>(size, IN_ORDER);
    let made = InOrderRing::<F::Ring<Mem>, S>::from_config(&config, Rc::clone(&mem));
    assert_eq!(made.err(), limit.map(|limit| ConfigError::SizeOverLimit { size, limit }));
    // Without the promise there is no need for room.
    let (config, mem) = config_for::<F>(size, 0);
    assert!(InOrderRing::<F::Ring<Mem>, S>::from_config(&config, mem).is_ok());
}

/// DRV-CFG-4: a queue that is larger than there is room for is refused, and one that is just as large is not.
#[test]
fn queue_larger_than_storage_refused() {
    for size in [1, 4, 8] {
        check_room::<Split, Few>(size, None);
        check_room::<Packed, Few>(size, None);
    }
    for size in [16, 32768] {
        check_room::<Split, Few>(size, Some(8));
        check_room::<Any, Few>(size, Some(8));
        check_room::<Split, Many>(size, None);
    }
    for size in [9, 32768] {
        check_room::<Packed, Few>(size, Some(8));
        check_room::<Packed, Many>(size, None);
    }
    check_room::<Split, [OrderSlot; 0]>(1, Some(0));
    check_room::<Packed, [OrderSlot; 40000]>(32768, None);
    assert_eq!(<[OrderSlot; 70000]>::CAPACITY, u16::MAX);
}

/// FEAT-14: a ring that cannot keep the order does not run where it was promised, and nothing is accessed.
#[test]
fn order_refused_by_rings_that_do_not_keep_it() {
    let refused = Some(ConfigError::Features(RingFeatures::IN_ORDER));
    let (config, mem) = config_for::<Split>(8, IN_ORDER);
    assert_eq!(SplitQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(AnyQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(mem.take_log(), []);
    let (config, mem) = config_for::<Packed>(8, IN_ORDER);
    assert_eq!(PackedQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(AnyQueue::new(&config, Rc::clone(&mem), Silent).err(), refused);
    assert_eq!(mem.take_log(), []);
}
