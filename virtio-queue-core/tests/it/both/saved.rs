//! Queues that are saved and made again elsewhere, at any position, and states that no queue can be in.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED, VERSION_1};
use virtio_fake_driver::{Any, Driver, DriverChain, DriverOptions, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::{Armed, FatalError, FromConfig, Queue, QueueLimits, RestoreError, RingFeatures, SavedQueue};
use virtio_util::NotificationCounter;

use crate::support::{accesses, fetch, logged, reply, serve};

type Mem = Rc<TestMem>;

/// A driver that begins at a position, and memory.
struct Setup<F: QueueFormat> {
    driver: Driver<F>,
    mem: Mem,
    notifications: Arc<NotificationCounter>,
}

type TestQueue<F> = Queue<<F as QueueFormat>::Ring<Mem>, Arc<NotificationCounter>>;

impl<F: QueueFormat> Setup<F> {
    fn new(size: u16, features: u64, start: Option<u16>) -> Self {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 20).unwrap());
        let driver = Driver::<F>::new(Arc::clone(&heap), size, DriverOptions { features, start, ..Default::default() });
        Self { driver, mem: Rc::new(TestMem::new(heap)), notifications: Arc::default() }
    }

    fn restore(&self, saved: &SavedQueue) -> Result<(TestQueue<F>, Armed), RestoreError> {
        let config = self.driver.queue_config(QueueLimits::default());
        let ring = FromConfig::from_config(&config, Rc::clone(&self.mem)).unwrap();
        Queue::restore(ring, Arc::clone(&self.notifications), saved)
    }

    /// Checks that a state is refused with that error, that no byte is accessed, and that nobody is notified.
    #[track_caller]
    fn check_refused(&self, saved: &SavedQueue, error: RestoreError) {
        self.mem.start_log();
        assert_eq!(self.restore(saved).map(|_| ()), Err(error), "{saved:?}");
        let log = accesses(&self.mem.take_log());
        assert_eq!((log, self.notifications.count()), (vec![], 0));
    }

    /// Sends chains through, one of them as long as the ring, with a kick and an interrupt for each.
    #[track_caller]
    fn check_runs(&mut self, queue: &mut TestQueue<F>, chains: usize) {
        let len = u32::from(self.driver.size()).min(9);
        let whole = DriverChain::new().readable(b"?").writable_cut(len - 1, &vec![1; len as usize - 1]);
        for chain in [DriverChain::new().readable(b"ping").writable(9), whole].iter().cycle().take(chains) {
            let chain = if usize::from(self.driver.size()) < chain.descriptors() {
                &DriverChain::new().writable(1)
            } else {
                chain
            };
            assert!(queue.next_chain().unwrap().is_none());
            let id = self.driver.add(chain).unwrap();
            assert!(self.driver.needs_kick());
            let fetched = queue.next_chain().unwrap().unwrap();
            assert_eq!(fetched.id(), id);
            let written = serve(&fetched);
            fetched.return_written(written).unwrap();
            assert_eq!(self.notifications.take(), 1);
            let used = self.driver.reap().unwrap().unwrap();
            assert_eq!((used.id, used.written()), (id, &reply(&chain.readable_bytes(), chain.writable_len())[..]));
        }
    }
}

fn features(packed: bool) -> RingFeatures {
    RingFeatures::from_negotiated(VERSION_1 | if packed { RING_PACKED } else { 0 }).unwrap()
}

/// What was saved of a queue without chains in flight.
fn at(position: u16, packed: bool) -> SavedQueue {
    SavedQueue::at(position, position, features(packed))
}

fn from_base(base: u32, packed: bool) -> Result<SavedQueue, RestoreError> {
    SavedQueue::from_vring_base(base, features(packed))
}

/// Makes a queue at a position, uses it, saves it and makes it again elsewhere, a few times.
fn check_at<F: QueueFormat>(size: u16, features: u64, start: u16, saved: SavedQueue) {
    let mut setup = Setup::<F>::new(size, features, Some(start));
    let (mut queue, armed) = setup.restore(&saved).unwrap();
    assert_eq!((armed, queue.in_flight()), (Armed::Waiting, 0));
    assert_eq!(setup.notifications.take(), 1, "what it was not told of may have been lost on the way");
    for round in 0..5 {
        setup.check_runs(&mut queue, round);
        let packed = setup.driver.features() & RING_PACKED != 0;
        let position = setup.driver.notification_data(0).position;
        let (saved, log) = logged(&setup.mem, || queue.drain().suspend().unwrap().save());
        assert_eq!(log, []);
        assert_eq!(saved, at(position, packed));
        // What vhost-user calls the base of a vring, there and back.
        let base = saved.vring_base();
        assert_eq!(base, if packed { u32::from(position) << 16 } else { 0 } | u32::from(position));
        let again = from_base(base, packed).unwrap();
        assert_eq!(again.vring_base(), base);
        let saved = if round == 3 { again } else { saved };
        // Something is made available while there is no queue.
        let late = round % 2 == 1;
        if late {
            setup.driver.add(&DriverChain::new().writable(1)).unwrap();
            let _ = setup.driver.needs_kick();
        }
        let armed;
        (queue, armed) = setup.restore(&saved).unwrap();
        assert_eq!((armed, setup.notifications.take()), (if late { Armed::MoreAvailable } else { Armed::Waiting }, 1));
        if late {
            let token = fetch(&mut queue);
            queue.complete(token, 1).unwrap();
            assert_eq!((setup.driver.reap().unwrap().unwrap().len, setup.notifications.take()), (1, 1));
        }
    }
}

/// SUSP-6, EVA-12, EVA-15, FD-14: a split queue is saved and restored near every place where an index wraps.
#[test]
fn split_queue_restored_at_any_index() {
    for features in [0, EVENT_IDX] {
        for size in [1, 2, 8, 256] {
            for start in [0, 1, size - 1, size, size + 1, 0x7fff, 0x8000, 0xfff0, 0xfffd, 0xfffe, 0xffff] {
                let saved = from_base(start.into(), false).unwrap();
                check_at::<Split>(size, features, start, saved);
                check_at::<Any>(size, features, start, saved);
            }
        }
    }
}

/// SUSP-6, EVA-12, EVA-15, PACK-WRAP-4, FD-14: a packed queue at every slot of small rings and near the ends of large
/// ones, with either wrap counter.
#[test]
fn packed_queue_restored_at_any_slot() {
    for features in [0, EVENT_IDX] {
        for size in [1, 2, 3, 5, 256, 32767, 32768] {
            let slots: Vec<u16> = (0..size).filter(|slot| *slot < 5 || slot + 4 > size).collect();
            for start in slots.into_iter().flat_map(|slot| [slot, slot | 0x8000]) {
                let saved = from_base(u32::from(start) << 16 | u32::from(start), true).unwrap();
                check_at::<Packed>(size, features, start, saved);
                if size < 10 {
                    check_at::<Any>(size, features | RING_PACKED, start, saved);
                }
            }
        }
    }
}

/// HOST-30: the base of a split queue has 16 bits. Every one of them is an index; with more it is none.
#[test]
fn split_base_with_more_than_16_bits_refused() {
    for bit in 16..32 {
        let base = 1 << bit | 3;
        assert_eq!(from_base(base, false), Err(RestoreError::Base { base }));
        assert!(from_base(base, true).is_ok());
    }
    let message = RestoreError::Base { base: 0x1_0000 }.to_string();
    assert_eq!(message, "the base 0x10000 is not an index of a split ring: it must be at most 0xffff");
}

/// HOST-30: the used position is ahead of the available one, or further behind than the ring is long.
#[test]
fn positions_too_far_apart_refused() {
    let size = 8;
    let split = Setup::<Split>::new(size, 0, None);
    for (available, used) in [(0_u16, 1_u16), (9, 0), (0x8000, 0), (0, 0x8000), (0xfff0, 0xfff1)] {
        let saved = SavedQueue::at(available, used, features(false));
        split.check_refused(&saved, RestoreError::Lost { available, used, size });
    }
    let packed = Setup::<Packed>::new(size, 0, None);
    for (available, used) in [(0_u16, 1_u16), (0x8000, 0x8001), (0x8001, 0), (1, 0x8000)] {
        let saved = SavedQueue::at(available, used, features(true));
        packed.check_refused(&saved, RestoreError::Lost { available, used, size });
    }
}

/// HOST-30: what was saved of one format is refused by a ring of the other.
#[test]
fn other_format_refused() {
    let (split, packed) = (at(0, false), at(0x8000, true));
    Setup::<Split>::new(8, 0, None).check_refused(&packed, RestoreError::Format(packed));
    Setup::<Packed>::new(8, 0, None).check_refused(&split, RestoreError::Format(split));
    Setup::<Any>::new(8, 0, None).check_refused(&packed, RestoreError::Format(packed));
    Setup::<Any>::new(8, RING_PACKED, None).check_refused(&split, RestoreError::Format(split));
}

/// HOST-30: of all positions there are, a packed queue takes those that its ring has, with either wrap counter.
#[test]
fn slots_outside_of_ring_refused() {
    for size in [1, 3, 256, 32767] {
        let setup = Setup::<Packed>::new(size, EVENT_IDX, None);
        for position in (0..=u16::MAX).filter(|position| position % 61 == 0 || (position & 0x7fff).abs_diff(size) < 3) {
            let saved = at(position, true);
            if position == 0 {
                // The beginning of a ring that was never used: see the tests of vring bases.
            } else if position & 0x7fff < size {
                let (queue, _) = setup.restore(&saved).unwrap();
                assert_eq!(queue.drain().suspend().unwrap().save(), saved);
                setup.notifications.take();
            } else {
                setup.check_refused(&saved, RestoreError::Position { saved, size });
            }
        }
    }
}

/// HOST-3, HOST-30: the driver's index is further from the saved one than the ring is long: the ring cannot go on, and
/// nobody is notified.
#[test]
fn index_far_from_saved_one_refused() {
    for far in [9, 0x100, 0x8000, 0xffff_u16] {
        let setup = Setup::<Split>::new(8, 0, Some(far));
        let refused = setup.restore(&at(0, false)).map(|_| ());
        let fault = FatalError::Oversubscribed { available: far, in_flight: 0, size: 8 };
        assert_eq!(refused, Err(RestoreError::Ring(fault)));
        assert_eq!(setup.notifications.count(), 0);
    }
}

/// AMB-16: a restored queue tells the driver what it wants, whatever the memory said on the way.
#[test]
fn restore_writes_device_area() {
    for features in [0, EVENT_IDX] {
        let mut setup = Setup::<Packed>::new(5, features, Some(3));
        let raw = setup.driver.raw().clone();
        raw.view().poke(raw.areas().device_events().start(), &[1; 4]);
        let (mut queue, _) = setup.restore(&at(3, true)).unwrap();
        let expected = if features == 0 { [0, 0, 0, 0] } else { [3, 0, 2, 0] };
        assert_eq!(raw.view().peek(raw.areas().device_events().start(), 4), expected);
        setup.notifications.take();
        setup.check_runs(&mut queue, 9);
    }
    let mut setup = Setup::<Split>::new(8, 0, Some(3));
    setup.driver.raw().view().poke(setup.driver.areas().used_flags().start(), &[1, 0]);
    let (mut queue, _) = setup.restore(&at(3, false)).unwrap();
    assert_eq!(setup.driver.raw().used_flags(), 0);
    setup.notifications.take();
    setup.check_runs(&mut queue, 9);
}
