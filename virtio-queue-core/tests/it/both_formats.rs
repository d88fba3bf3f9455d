//! What is the same for both formats, in one source: compiled for each, and run with the queue that decides by itself.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED, VERSION_1};
use virtio_fake_driver::{
    Any, AnyRaw, Driver, DriverChain, DriverOptions, MemEvent, Packed, QueueFormat, Split, TestMem, features, packed,
    split,
};
use virtio_mem_traits::{Access, DriverAddr, HeapMem, TranslateError};
use virtio_queue_core::{
    AnyQueue, AnyRing, ChainErrorKind, ConfigError, FatalError, FromConfig, InOrderRing, OrderSlot, Queue, QueueLimits,
    ReturnError, Ring, SUPPORTED_RING_FEATURES, ServeChain, Walk,
};
use virtio_util::NotificationCounter;

use crate::formats::{fetch, for_each_format, start};
use crate::support::{SPACE, logged, one_chain, range, serve, traffic, walk, with};

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

type Mem = Rc<TestMem>;
type Ordered<R> = InOrderRing<R, Vec<OrderSlot>>;

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

/// FEAT-15: with ORDER_PLATFORM and ACCESS_PLATFORM every access is as without them, and in the same order.
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

fn check_spurious<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(4, features);
    for round in 0..10 {
        fixture.queue.notify();
        assert_eq!((fixture.notifications.take(), fixture.driver.reap()), (1, Ok(None)));
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        fixture.queue.notify();
        assert_eq!((fixture.notifications.take(), fixture.driver.reap()), (1, Ok(None)), "round {round}");
        drop(fixture.queue.next_chain().unwrap().unwrap());
        assert_eq!((fixture.notifications.take(), fixture.driver.reap_all().unwrap().len()), (1, 1));
    }
}

/// DRV-UNOT-3, SPLIT-UNOT-8: a device may notify for nothing, and the driver finds nothing. What is asked for is not
/// used up by it.
#[test]
fn notification_without_reason_does_no_harm() {
    for features in [0, EVENT_IDX] {
        for_each_format!(check_spurious(features));
    }
}

/// What the driver of each format writes by hand: a chain of one descriptor, with flags beyond those of its format.
fn offer_one(driver: &Driver<Any>, addr: u64, len: u32, flags: u16) {
    match driver.raw() {
        AnyRaw::Split(raw) => {
            raw.set_descriptor(0, split::Descriptor { addr: DriverAddr(addr), len, flags, next: 0 });
            raw.set_available_entry(raw.available_index() % raw.areas().size, 0);
            raw.set_available_index(raw.available_index().wrapping_add(1));
        }
        AnyRaw::Packed(raw) => {
            let flags = flags | packed::Descriptor::AVAIL;
            raw.set_descriptor(0, packed::Descriptor { addr: DriverAddr(addr), len, flags, id: 0 });
        }
    }
}

/// AMB-1: the four reactions, in either format. CFG: no queue, and no access. CHAIN: an error where the chain is
/// walked, and everything goes on. TOL: nothing to be seen. FATAL: reported once, then nothing any more.
#[test]
fn reactions_are_these_four() {
    for format in [0, RING_PACKED] {
        let fixture = start::<Any>(8, format);
        let config = fixture.driver.queue_config(QueueLimits::default());
        let config = with(config, |config| config.size = 0);
        let (refused, log) = logged(&fixture.mem, || {
            AnyQueue::new(&config, Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications)).err()
        });
        assert!(matches!(refused, Some(ConfigError::Size(_))) && log.is_empty());

        let mut fixture = start::<Any>(8, format);
        offer_one(&fixture.driver, u64::MAX, 2, 0);
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        let kind = ChainErrorKind::RangeOverflow { addr: DriverAddr(u64::MAX), len: 2 };
        assert_eq!(walk(&chain).1.map(|error| error.kind), Some(kind));
        drop(chain);
        assert!(!fixture.queue.is_broken());
        assert_eq!(fixture.notifications.take(), 1);

        let mut fixture = start::<Any>(8, format);
        offer_one(&fixture.driver, 1, 2, 1 << 6 | 1 << 10);
        let chain = fixture.queue.next_chain().unwrap().unwrap();
        assert_eq!(walk(&chain), (vec![(1, 2, false)], None));
        drop(chain);

        let mut fixture = start::<Any>(8, format);
        match fixture.driver.raw() {
            AnyRaw::Split(raw) => raw.set_available_index(9),
            AnyRaw::Packed(raw) => {
                let flags = packed::Descriptor::AVAIL | packed::Descriptor::NEXT;
                (0..8).for_each(|slot| raw.set_descriptor(slot, packed::Descriptor { flags, ..Default::default() }));
            }
        }
        let fault: FatalError = fixture.queue.next_chain().unwrap_err();
        assert_eq!(fixture.queue.fault(), Some(fault));
        let (polled, log) = logged(&fixture.mem, || fixture.queue.next_chain().unwrap().is_some());
        assert_eq!((polled, log), (false, vec![]));
    }
}

fn check_overlaps<F: QueueFormat>(features: u64) {
    for round in 0..25 {
        let mut fixture = start::<F>(4, features);
        let areas = fixture.driver.area_addresses();
        let targets = [areas[0].0, areas[1].0, areas[2].0, areas[0].0 + 16, SPACE];
        let (from, to) = (targets[round % 5], targets[round / 5]);
        let chain = DriverChain::new().readable([0xa5; 4]).at(DriverAddr(from)).writable(4).at(DriverAddr(to));
        let _ = fixture.driver.add(&chain);
        for _ in 0..6 {
            let Ok(Some(chain)) = fixture.queue.next_chain() else { break };
            let (elements, _) = walk(&chain);
            assert!(elements.len() <= 4);
            let _ = chain.return_written(0);
        }
        assert!(fixture.queue.in_flight() <= 4);
    }
}

/// HOST-15, HOST-16, AMB-17, INV-1: buffers that lie over the rings, over each other and over the chain that describes
/// them. The driver gets what it deserves, and nothing worse happens.
#[test]
fn buffers_over_rings_do_no_harm() {
    for features in [0, INDIRECT_DESC | EVENT_IDX] {
        for_each_format!(check_overlaps(features));
    }
}

/// AMB-17, HOST-15: all three areas at one place. There is a queue, and what it does is bounded.
#[test]
fn areas_over_each_other_do_no_harm() {
    for format in [0, RING_PACKED] {
        for features in [format, format | EVENT_IDX] {
            let fixture = start::<Any>(8, features);
            let config = fixture.driver.queue_config(QueueLimits::default());
            let same = config.descriptor_area;
            let config = with(config, |config| {
                config.driver_area = same;
                config.device_area = same;
            });
            let mut queue =
                AnyQueue::new(&config, Rc::clone(&fixture.mem), Arc::clone(&fixture.notifications)).unwrap();
            for byte in 0..=u8::MAX {
                fixture.driver.view().poke(same, &[byte; 128]);
                let Ok(Some(chain)) = queue.next_chain() else { continue };
                assert!(walk(&chain).0.len() <= 8);
            }
        }
    }
}

fn check_minimal_rights<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    let (input, output) = (range(SPACE, 0x40), range(SPACE + 0x40, 0x40));
    fixture.mem.restrict(input, Access::Read);
    fixture.mem.restrict(output, Access::Write);
    for len in 1..40 {
        let chain = DriverChain::new().readable([7; 9]).at(input.start()).writable(len).at(output.start());
        fixture.driver.add(&chain).unwrap();
        let fetched = fixture.queue.next_chain().unwrap().unwrap();
        let written = serve(&fetched);
        fetched.return_written(written).unwrap();
        assert_eq!(fixture.driver.reap().unwrap().unwrap().written(), vec![7; len as usize]);
    }
}

/// AMB-23, PACK-DESC-1, PACK-DESC-2, SPLIT-DESC-1, SPLIT-DESC-2, FEAT-9, FEAT-11: where readable buffers can only be
/// read and writable ones only be written, everything works.
#[test]
fn buffers_mapped_in_one_direction_work() {
    for features in [0, features::EVENT_IDX | 1 << 33] {
        for_each_format!(check_minimal_rights(features));
    }
}

fn check_denied<F: QueueFormat>(features: u64) {
    let mut fixture = start::<F>(8, features);
    fixture.mem.unmap(range(SPACE, 0x40));
    let chain = DriverChain::new().readable(b"gone").at(DriverAddr(SPACE));
    fixture.driver.add(&chain).unwrap();
    let fetched = fixture.queue.next_chain().unwrap().unwrap();
    let element = fetched.walk().next().unwrap().unwrap();
    let error = virtio_mem_traits::DriverMem::translate(fetched.mem(), element.range, element.access).err();
    assert_eq!(error, Some(TranslateError::Unmapped { addr: DriverAddr(SPACE) }));
    drop(fetched);
    assert_eq!((fixture.driver.reap_all().unwrap().len(), fixture.queue.fault()), (1, None));
}

/// DRV-FEAT-4, HOST-11, FEAT-11: a buffer that the device cannot access is the chain's error, and nobody else's.
#[test]
fn buffer_that_is_not_there_concerns_its_chain_alone() {
    for_each_format!(check_denied(0));
}

/// FEAT-13: a ring that is used with the positions of the other format says so: a mistake on this side, not of the
/// driver.
#[test]
fn positions_of_other_format_refused() {
    let rings = [0, RING_PACKED].map(|features| {
        let fixture = start::<Any>(8, features);
        let config = fixture.driver.queue_config(QueueLimits::default());
        let ring = AnyRing::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
        let positions = ring.activate().unwrap();
        (ring, positions)
    });
    let [(split_ring, mut split), (packed_ring, mut packed)] = rings;
    for (ring, foreign) in [(&split_ring, &mut packed), (&packed_ring, &mut split)] {
        let error = FatalError::ForeignPositions;
        assert_eq!(ring.fetch(foreign, 0), Err(error));
        assert_eq!(ring.complete(foreign, virtio_queue_core::Head::default(), 0), Err(error));
        assert_eq!(ring.serve(foreign, 0, 1, Nothing), Err(error));
        assert_eq!(ring.complete_all(foreign, core::iter::empty(), |_| {}), Err(error));
        assert_eq!(ring.publish(foreign), Err(error));
        assert_eq!(ring.suppress_notifications(foreign), Err(error));
        assert_eq!(ring.enable_notifications(foreign, 0), Err(error));
    }
}

/// QRST-8, GEN-12: tokens of a queue of the other format are refused like those of any other queue.
#[test]
fn tokens_of_other_format_refused() {
    let mut one = start::<Split>(8, 0);
    let mut other = start::<Packed>(8, 0);
    one.driver.add(&DriverChain::new().writable(1)).unwrap();
    other.driver.add(&DriverChain::new().writable(1)).unwrap();
    let (ours, theirs) = (fetch(&mut one.queue), fetch(&mut other.queue));
    let (our_id, their_id) = (ours.id(), theirs.id());
    assert_eq!(one.queue.complete(theirs, 0), Err(ReturnError::Stale { id: their_id }));
    assert_eq!(other.queue.complete(ours, 0), Err(ReturnError::Stale { id: our_id }));
}

/// Work that does nothing.
struct Nothing;

impl ServeChain for Nothing {
    fn serve(&mut self, _: impl Walk) -> u32 {
        0
    }
}
