//! Queues that go on from a vhost-user base, or from positions with chains in flight between them.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED, VERSION_1};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{
    AdoptError, Armed, FatalError, FromConfig, Head, Queue, QueueLimits, Refused, RestoreError, ReturnError,
    RingFeatures, SavedQueue,
};
use virtio_util::NotificationCounter;

use crate::support::{accesses, fetch};

type Mem = Rc<TestMem>;
type TestQueue<F> = Queue<<F as QueueFormat>::Ring<Mem>, Arc<NotificationCounter>>;

struct Setup<F: QueueFormat> {
    driver: Driver<F>,
    mem: Mem,
    notifications: Arc<NotificationCounter>,
}

impl<F: QueueFormat> Setup<F> {
    fn new(features: u64, start: Option<u16>) -> Self {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
        let options = DriverOptions { features, start, ..Default::default() };
        let driver = Driver::new(Arc::clone(&heap), 8, options);
        Self { driver, mem: Rc::new(TestMem::new(heap)), notifications: Arc::default() }
    }

    fn ring(&self) -> F::Ring<Mem> {
        FromConfig::from_config(&self.driver.queue_config(QueueLimits::default()), Rc::clone(&self.mem)).unwrap()
    }

    fn restore(&self, saved: &SavedQueue) -> Result<(TestQueue<F>, Armed), RestoreError> {
        Queue::restore(self.ring(), Arc::clone(&self.notifications), saved)
    }

    fn features(&self) -> RingFeatures {
        RingFeatures::from_negotiated(self.driver.features() | VERSION_1).unwrap()
    }

    fn saved_at(&self, base: u32) -> SavedQueue {
        SavedQueue::from_vring_base(base, self.features()).unwrap()
    }
}

/// BASE-1, BASE-2, HOST-30: the used index of a split ring is in its memory: with base 10 and used index 7, the next
/// element goes to slot 7 and the index becomes 8. It is read once. What lies between is not in flight.
#[test]
fn split_base_takes_used_index_from_memory() {
    let mut setup = Setup::<Split>::new(EVENT_IDX, Some(7));
    let (mut queue, _) = setup.restore(&setup.saved_at(7)).unwrap();
    for len in 1..=3 {
        setup.driver.add(&DriverChain::new().writable(len)).unwrap();
        let _ = fetch(&mut queue);
    }
    drop(queue);
    setup.mem.start_log();
    let (mut queue, _) = setup.restore(&setup.saved_at(10)).unwrap();
    let index = setup.driver.areas().used_index();
    let reads = accesses(&setup.mem.take_log())
        .into_iter()
        .filter(|access| format!("{access:?}").contains(&format!("{index}")));
    assert_eq!(reads.count(), 1, "the used index is read once");
    assert_eq!((queue.in_flight(), queue.save().next_used()), (0, Some(7)));
    let id = setup.driver.add(&DriverChain::new().writable(4)).unwrap();
    let token = fetch(&mut queue);
    assert_eq!(token.id(), id);
    queue.complete(token, 4).unwrap();
    let raw = setup.driver.raw();
    assert_eq!((raw.used_index(), raw.used_element(7).id, raw.used_element(7).len), (8, id.into(), 4));
    // It can be drained, saved and restored again: the three lost buffers are not in flight.
    let saved = queue.drain().suspend().unwrap().save();
    assert_eq!((saved.next_available(), saved.next_used(), saved.vring_base()), (11, Some(8), 11));
    assert_eq!(setup.restore(&saved).unwrap().0.save(), saved);
}

/// BASE-1, HOST-30: a base that is more than a queue size ahead of the used index, or behind it.
#[test]
fn split_base_far_from_used_index_refused() {
    let setup = Setup::<Split>::new(0, Some(7));
    for available in [6_u16, 16, 0, 0x8007, 0xffff] {
        let refused = setup.restore(&setup.saved_at(available.into())).map(drop);
        assert_eq!(refused, Err(RestoreError::Lost { available, used: 7, size: 8 }));
        assert_eq!(setup.notifications.count(), 0);
    }
    let message = RestoreError::Lost { available: 16, used: 7, size: 8 }.to_string();
    assert_eq!(message, "available position 0x10 must be at most 8 buffers ahead of used position 0x7");
}

/// HOST-13: the used index cannot be read.
#[test]
fn split_base_with_used_index_out_of_reach_refused() {
    let setup = Setup::<Split>::new(0, None);
    let (ring, saved) = (setup.ring(), setup.saved_at(0));
    setup.mem.unmap(setup.driver.areas().used_index());
    let refused = Queue::restore(ring, Arc::clone(&setup.notifications), &saved).map(drop);
    assert!(matches!(refused, Err(RestoreError::Ring(FatalError::Area(_)))), "{refused:?}");
}

/// BASE-3: front ends say 0 of a new packed ring. The flag USED in one descriptor tells it from a ring that was used
/// from end to end.
#[test]
fn packed_base_of_0_is_a_new_ring_if_nothing_was_used() {
    let mut setup = Setup::<Packed>::new(0, None);
    let saved = setup.saved_at(0);
    let (mut queue, _) = setup.restore(&saved).unwrap();
    for round in 0..8 {
        assert_eq!(queue.save().vring_base(), 0x8000_8000 + 0x0001_0001 * round);
        setup.driver.add(&DriverChain::new().writable(1)).unwrap();
        queue.next_chain().unwrap().unwrap().return_written(1).unwrap();
        assert!(setup.driver.reap().unwrap().is_some());
    }
    // From end to end: 0 means what it says.
    assert_eq!(queue.save().vring_base(), 0);
    let (mut queue, armed) = setup.restore(&saved).unwrap();
    assert_eq!((armed, queue.save().vring_base()), (Armed::Waiting, 0));
    let id = setup.driver.add(&DriverChain::new().writable(1)).unwrap();
    assert_eq!(fetch(&mut queue).id(), id);
}

/// BASE-2: chains are fetched by one queue, which dies, and completed in any order by the next one.
fn check_adopted<F: QueueFormat>(features: u64) {
    for start in [0_u16, 5, 0xfffe] {
        let start = if features & RING_PACKED != 0 { start & 7 | 0x8000 } else { start };
        let mut setup = Setup::<F>::new(features, Some(start));
        let (mut queue, _) = setup.restore(&SavedQueue::at(start, start, setup.features())).unwrap();
        let ids = [1, 2, 3].map(|len| setup.driver.add(&DriverChain::new().writable(len)).unwrap());
        for _ in ids {
            let _ = fetch(&mut queue);
        }
        let positions = queue.save();
        drop(queue);
        let (mut queue, _) = setup.restore(&positions).unwrap();
        assert_eq!(queue.in_flight(), 0);
        let [first, second, third] = ids.map(|id| queue.adopt(Head::new(id, 0, 1)).unwrap());
        assert_eq!((queue.in_flight(), first.id()), (3, ids[0]));
        for (token, written) in [(second, 2), (third, 3), (first, 1)] {
            queue.complete(token, written).unwrap();
        }
        let used: Vec<_> = setup.driver.reap_all().unwrap().iter().map(|used| (used.id, used.len)).collect();
        assert_eq!(used, [(ids[1], 2), (ids[2], 3), (ids[0], 1)]);
        let saved = queue.drain().suspend().unwrap().save();
        assert_eq!(Some(saved.next_available()), saved.next_used());
    }
}

/// BASE-2
#[test]
fn chains_of_an_earlier_life_are_completed() {
    for features in [0, EVENT_IDX] {
        check_adopted::<Split>(features);
        check_adopted::<Packed>(features | RING_PACKED);
        check_adopted::<Any>(features);
        check_adopted::<Any>(features | RING_PACKED);
    }
}

/// HOST-1, HOST-3, HOST-30: heads that the ring does not have, lists that are too long, and more than was lost: what
/// was recorded is as little to be trusted as a driver.
#[test]
fn chain_that_cannot_be_in_flight_is_not_adopted() {
    let (size, setup) = (8, Setup::<Split>::new(0, Some(3)));
    let (mut queue, _) = setup.restore(&SavedQueue::at(3, 0, setup.features())).unwrap();
    for (id, slots) in [(8, 1), (0xffff, 1), (0, 0), (0, 2)] {
        let refused = queue.adopt(Head::new(id, 0, slots)).map(drop);
        assert_eq!(refused, Err(AdoptError::Head { id, slots, in_flight: 0, size }));
    }
    for _ in 0..3 {
        let _ = queue.adopt(Head::new(3, 0, 1)).unwrap();
    }
    let refused = queue.adopt(Head::new(3, 0, 1)).map(drop);
    assert_eq!(refused, Err(AdoptError::Head { id: 3, slots: 1, in_flight: 3, size }));

    let setup = Setup::<Packed>::new(0, None);
    let (mut queue, _) = setup.restore(&SavedQueue::at(0x8006, 0x8000, setup.features())).unwrap();
    for (id, slots) in [(0, 0), (0, 7), (7, 0xffff)] {
        assert!(queue.adopt(Head::new(id, 0, slots)).is_err());
    }
    let _ = queue.adopt(Head::new(0xffff, 0, 5)).unwrap();
    let refused = queue.adopt(Head::new(1, 0, 2)).map(drop);
    assert_eq!(refused, Err(AdoptError::Head { id: 1, slots: 2, in_flight: 5, size }));
    assert!(queue.adopt(Head::new(1, 0, 1)).is_ok());
    // A new ring has nothing from an earlier life.
    let (mut queue, _) = setup.restore(&setup.saved_at(0x8000_8000)).unwrap();
    assert!(queue.adopt(Head::new(1, 0, 1)).is_err());
}

/// HOST-3, HOST-4, INV-5: behind a gap of lost buffers, the driver makes as many available as the ring is long, and all
/// of the gap is adopted: no more than the ring is long is ever in flight.
#[test]
fn adopted_chains_leave_no_room_for_more_than_the_ring() {
    for lost in [1_u16, 4, 8] {
        let setup = Setup::<Split>::new(0, Some(0));
        let raw = setup.driver.raw().clone();
        raw.view().poke(setup.driver.areas().available_index().start(), &(8 + lost).to_le_bytes());
        let refused = setup.restore(&SavedQueue::at(lost, 0, setup.features())).map(drop);
        let fault = FatalError::Oversubscribed { available: 8, in_flight: lost, size: 8 };
        assert_eq!(refused, Err(RestoreError::Ring(fault)));
        setup.notifications.take();
    }
    // A packed ring that is all available, as far as its flags go.
    let mut setup = Setup::<Packed>::new(0, None);
    let ids = [(); 8].map(|()| setup.driver.add(&DriverChain::new().writable(1)).unwrap());
    let (mut queue, _) = setup.restore(&SavedQueue::at(0x8004, 0x8000, setup.features())).unwrap();
    for id in &ids[..4] {
        let _ = queue.adopt(Head::new(*id, 0, 1)).unwrap();
    }
    for _ in 0..4 {
        let _ = fetch(&mut queue);
    }
    assert_eq!(queue.in_flight(), 8);
    for slot in 0..4 {
        // The first lap again, with the flags of the second.
        let flags = setup.driver.areas().descriptor(slot).start().0 + 14;
        setup.driver.raw().view().poke(DriverAddr(flags), &(1_u16 << 15).to_le_bytes());
    }
    let fault = FatalError::Oversubscribed { available: 1, in_flight: 8, size: 8 };
    assert_eq!(queue.next_chain().map(drop), Err(fault));
}

/// BACK-1: A, B and C were fetched and B was used by a queue that is gone, over the descriptor of A. A is not put back.
#[test]
fn adopted_chain_that_was_written_over_is_not_put_back() {
    let mut setup = Setup::<Packed>::new(0, None);
    let (mut queue, _) = setup.restore(&setup.saved_at(0x8000_8000)).unwrap();
    let [a, b, c] = [10, 11, 12].map(|len| setup.driver.add(&DriverChain::new().writable(len)).unwrap());
    let [_, second, _] = [(); 3].map(|()| fetch(&mut queue));
    queue.complete(second, 0).unwrap();
    assert_eq!(setup.driver.reap().unwrap().unwrap().id, b);
    let saved = queue.save();
    drop(queue);
    let (mut queue, _) = setup.restore(&saved).unwrap();
    let [first, third] = [a, c].map(|id| queue.adopt(Head::new(id, 0, 1)).unwrap());
    queue.unfetch(third).unwrap();
    let Refused { chain: first, error } = queue.unfetch(first).unwrap_err();
    assert_eq!(error, ReturnError::NotLast { id: a });
    assert_eq!(fetch(&mut queue).id(), c);
    queue.complete(first, 0).unwrap();
    assert_eq!(setup.driver.reap().unwrap().unwrap().id, a);
}
