//! Random bytes where the driver's structures should be, in a packed ring that keeps the order or does not: bounded
//! work, typed errors, and nothing outside.

use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use virtio_fake_driver::packed::{Descriptor, EventSuppression, PackedAreas, RawPacked};
use virtio_fake_driver::{DriverChain, DriverOptions, MemEvent, PackedDriver, TestMem};
use virtio_mem_traits::{DriverAddr, HeapMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{FatalError, FromConfig, InOrderRing, OrderSlot, PackedQueue, Queue, QueueLimits, Ring, Token};
use virtio_util::NotificationCounter;

use crate::support::packed::{Hand, available, place};
use crate::support::{EVENT_IDX, IN_ORDER, INDIRECT, SPACE, WAYS, fetch, readable, serve_chains, walk_once};

type Mem = Rc<TestMem>;
type Plain = PackedRing<Mem>;
type Ordered = InOrderRing<PackedRing<Mem>, [OrderSlot; 64]>;

/// Addresses that make something happen: the ring itself, tables, the ends of everything.
fn address(rng: &mut Xoshiro256PlusPlus, areas: &PackedAreas) -> u64 {
    let near =
        [0, SPACE, areas.descriptor_area.0, areas.driver_area.0, areas.device_area.0, 0x1010_0000, u64::MAX - 64];
    match rng.random_range(0..8) {
        7 => rng.random(),
        n => near[n].wrapping_add(rng.random_range(0..4) * 8),
    }
}

/// A descriptor that might almost be one. Few Buffer IDs, so that some are the same.
fn descriptor(rng: &mut Xoshiro256PlusPlus, areas: &PackedAreas, flags: u16) -> Descriptor {
    let len = match rng.random_range(0..6) {
        0 => 0,
        1..=3 => 16 * rng.random_range(0..12),
        4 => rng.random_range(0..100),
        _ => rng.random(),
    };
    let addr = DriverAddr(address(rng, areas));
    let id = if rng.random_range(0..3) == 0 { rng.random() } else { rng.random_range(0..3) };
    Descriptor { addr, len, id, flags: flags | rng.random_range(0..8) }
}

/// Spoils some of what the driver may write, with an eye on where the device will look.
fn spoil(rng: &mut Xoshiro256PlusPlus, raw: &RawPacked, next: u32) {
    let areas = raw.areas();
    for _ in 0..rng.random_range(0..8) {
        let entry = DriverAddr(SPACE + 16 * rng.random_range(0..16));
        match rng.random_range(0..20) {
            0..=9 => {
                let (slot, wrap) = place(areas.size, next + rng.random_range(0..4));
                raw.set_descriptor(slot, descriptor(rng, areas, available(wrap)));
            }
            10..=13 => {
                let (slot, wrap) = place(areas.size, next);
                let mut descriptor = descriptor(rng, areas, available(wrap));
                descriptor.flags &= !Descriptor::NEXT;
                raw.set_descriptor(slot, descriptor);
            }
            14..=16 => raw.set_descriptor_at(entry, descriptor(rng, areas, 0)),
            17 => raw.set_driver_events(EventSuppression { off_wrap: rng.random(), flags: rng.random_range(0..4) }),
            18 => raw.set_flags(rng.random_range(0..areas.size), rng.random()),
            _ => {
                let mut bytes = [0; 4];
                rng.fill_bytes(&mut bytes);
                raw.view().poke(areas.device_events().start(), &bytes);
            }
        }
    }
    if rng.random_range(0..40) == 0 {
        // A list that goes on into whatever is there, for as long as the whole ring if need be.
        for ahead in 0..rng.random_range(0..=u32::from(areas.size)) {
            let (slot, wrap) = place(areas.size, next + ahead);
            raw.set_flags(slot, available(wrap) | Descriptor::NEXT);
        }
    }
}

#[derive(Default, Debug)]
struct Outcomes {
    good: usize,
    malformed: usize,
    broken: usize,
    returned: usize,
}

/// The reads and writes since the last time. Every write has to be in the ring or in the Device Area.
fn count_accesses(mem: &TestMem, areas: &PackedAreas) -> (usize, usize) {
    let (mut reads, mut writes) = (0, 0);
    for event in mem.take_log() {
        match event {
            MemEvent::Read(range) => {
                assert!(range != areas.device_events());
                reads += 1;
            }
            MemEvent::Written(range) => {
                let in_ring = areas.descriptors().offset_of(range.start()).is_some();
                assert!(in_ring || range == areas.device_events(), "{range}");
                writes += 1;
            }
            MemEvent::Translate { .. } => {}
        }
    }
    (reads, writes)
}

/// Checks what one fetch has accessed: each slot at most once, and the first twice if it was asked for.
#[track_caller]
fn check_fetch(mem: &TestMem, areas: &PackedAreas) {
    let (reads, writes) = count_accesses(mem, areas);
    assert!(reads <= usize::from(areas.size) + 2 && writes <= 1, "{reads} reads and {writes} writes");
}

/// One life of one queue: until it breaks, or for some rounds.
fn life<R: Ring<Mem = Mem> + FromConfig>(
    rng: &mut Xoshiro256PlusPlus,
    size: u16,
    features: u64,
    outcomes: &mut Outcomes,
) {
    let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
    let driver = PackedDriver::new(Arc::clone(&heap), size, DriverOptions { features, ..Default::default() });
    let (mem, raw) = (Rc::new(TestMem::new(heap)), driver.raw().clone());
    let notifications = NotificationCounter::new();
    let config = driver.queue_config(QueueLimits::default());
    let mut queue = Queue::<R, _>::new(&config, Rc::clone(&mem), &notifications).unwrap();
    let (mut tokens, mut next): (Vec<Token>, u32) = (Vec::new(), 0);
    let bound = usize::from(size);
    mem.start_log();
    for _ in 0..60 {
        spoil(rng, &raw, next);
        for _ in 0..rng.random_range(1..4) {
            mem.take_log();
            let before = queue.in_flight();
            let chain = match queue.next_chain() {
                Ok(Some(chain)) => chain,
                nothing => {
                    outcomes.broken += usize::from(nothing.is_err());
                    check_fetch(&mem, raw.areas());
                    break;
                }
            };
            check_fetch(&mem, raw.areas());
            let (elements, error) = walk_once(&chain, WAYS[rng.random_range(0..WAYS.len())]);
            let (reads, writes) = count_accesses(&mem, raw.areas());
            assert!(reads <= bound + 2 && writes == 0);
            assert!(elements.len() <= bound && elements.iter().map(|element| element.1).sum::<u64>() <= 1 << 32);
            assert!(elements.is_sorted_by_key(|element| element.2), "readable elements come first");
            assert!(error.is_none_or(|error| error.id == chain.id()));
            *(if error.is_some() { &mut outcomes.malformed } else { &mut outcomes.good }) += 1;
            tokens.push(chain.into_token());
            next += u32::from(queue.in_flight() - before);
        }
        let mut burst = queue.burst();
        for _ in 0..rng.random_range(0..=tokens.len()) {
            let token = tokens.swap_remove(rng.random_range(0..tokens.len()));
            outcomes.returned += usize::from(burst.complete(token, rng.random_range(0..64)).is_ok());
        }
        let _ = burst.finish();
        let (_, writes) = count_accesses(&mem, raw.areas());
        assert!(writes <= 3 * bound);
        match rng.random_range(0..6) {
            0 => queue.suppress_notifications(),
            1 => drop(queue.enable_notifications()),
            _ => {}
        }
        assert!(queue.in_flight() <= size);
        if queue.is_broken() {
            let _ = queue.next_chain().is_err();
            mem.take_log();
            assert!(queue.next_chain().unwrap().is_none());
            assert_eq!(mem.take_log(), []);
            return;
        }
    }
}

/// INV-1, INV-2, INV-3, INV-5, INV-6, INV-7, INV-12, HOST-5, HOST-15, HOST-18, HOST-19, HOST-21, HOST-23: whatever is
/// in memory, each call does bounded work, keeps to its part of memory and says what is wrong; also with lists of the
/// same id, returned out of order to a queue that has to keep it.
#[test]
fn random_bytes_do_no_harm() {
    for (seed, features) in (0..).zip([0, INDIRECT, EVENT_IDX, INDIRECT | EVENT_IDX]) {
        for size in [1, 3, 8, 33] {
            let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(seed * 100 + u64::from(size));
            let mut outcomes = [Outcomes::default(), Outcomes::default()];
            for _ in 0..100 {
                life::<Plain>(&mut rng, size, features, &mut outcomes[0]);
                life::<Ordered>(&mut rng, size, features | IN_ORDER, &mut outcomes[1]);
            }
            for Outcomes { good, malformed, broken, returned } in &outcomes {
                let enough = *good > 30 && *malformed > 30 && *broken > 5 && *returned > 40;
                assert!(enough, "size {size}: {outcomes:?}");
            }
        }
    }
}

/// INV-1, INV-2: random bytes all over, in ring and tables, without any attempt to look right.
#[test]
fn noise_does_no_harm() {
    let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(99);
    for _ in 0..4000 {
        let heap = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 12).unwrap());
        let options = DriverOptions { features: INDIRECT | EVENT_IDX, ..Default::default() };
        let driver = PackedDriver::new(Arc::clone(&heap), 4, options);
        let mem = Rc::new(TestMem::new(heap));
        let config = driver.queue_config(QueueLimits::default());
        let mut queue = Queue::<Plain, _>::new(&config, Rc::clone(&mem), NotificationCounter::new()).unwrap();
        let raw = driver.raw();
        let mut bytes = [0; 64];
        rng.fill_bytes(&mut bytes);
        raw.view().poke(raw.areas().descriptor_area, &bytes);
        rng.fill_bytes(&mut bytes);
        raw.view().poke(raw.areas().driver_area, &bytes[..4]);
        mem.start_log();
        let mut fetched = 0;
        while let Ok(Some(chain)) = queue.next_chain() {
            let (elements, _) = walk_once(&chain, WAYS[rng.random_range(0..WAYS.len())]);
            assert!(elements.len() <= 4);
            let _ = chain.into_token();
            fetched += 1;
        }
        let (reads, writes) = count_accesses(&mem, raw.areas());
        assert!(fetched <= 4 && reads <= 4 * (4 + 6) + 6 && writes <= 4, "{fetched} {reads} {writes}");
    }
}

/// HOST-5, INV-5: a list is made available that takes more slots than are free beside a list in flight, or beside one
/// that an earlier life of the queue has left in flight. Served by itself, from memory that is accessed without
/// reports, it breaks the queue as any other.
#[test]
fn list_beyond_free_slots_is_not_served() {
    for restored in [false, true] {
        let mem = Arc::new(HeapMem::new(DriverAddr(0x1000_0000), 1 << 16).unwrap());
        let mut driver = PackedDriver::new(Arc::clone(&mem), 8, DriverOptions::default());
        let config = driver.queue_config(QueueLimits::default());
        let mut queue = PackedQueue::new(&config, Arc::clone(&mem), NotificationCounter::new()).unwrap();
        driver.add(&DriverChain::new().writable(1)).unwrap();
        assert_eq!(serve_chains(&mut queue, 1, |_| 1), Ok(1));
        driver.reap_all().unwrap();
        driver.add(&DriverChain::new().writable_cut(7, &[1; 6])).unwrap();
        let _in_flight = fetch(&mut queue);
        if restored {
            let ring = PackedRing::from_config(&config, mem).unwrap();
            (queue, _) = Queue::restore(ring, NotificationCounter::new(), &queue.save()).unwrap();
        }
        let mut hand = Hand { raw: driver.raw().clone(), next: 8 };
        hand.offer(9, &[readable(SPACE, 1), readable(SPACE, 1)]);
        let fault = FatalError::Oversubscribed { available: 2, in_flight: 7, size: 8 };
        assert_eq!(serve_chains(&mut queue, 1, |_| 0), Err(fault));
    }
}
