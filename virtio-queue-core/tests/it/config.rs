//! What a queue can be made from, and what it touches while it is made.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::split::{RawSplit, SplitOptions};
use virtio_fake_driver::{MemEvent, SplitDriver, TestMem, features};
use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    ConfigError, DriverNotify, FatalError, FromConfig, Queue, QueueArea, QueueConfig, QueueLimits, RingFeatures,
    SUPPORTED_RING_FEATURES, SplitQueue,
};
use virtio_ring::QueueSizeError;

use crate::support::{EVENT_IDX, RING_SETS, accesses, feature_sets, options, smoke};

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {
        panic!("nothing was used");
    }
}

type TestQueue = SplitQueue<Rc<TestMem>, Silent>;

/// What a driver has set up: right as it is, to be spoilt.
struct Setup {
    mem: Rc<TestMem>,
    raw: RawSplit,
    config: QueueConfig,
}

/// One of the areas, as the specification wants it.
struct Area {
    area: QueueArea,
    range: DriverRange,
    align: u64,
    access: Access,
}

impl Setup {
    fn new(size: u16, features: u64) -> Self {
        Self::at(DriverAddr(0x1000_0000), size, features)
    }

    fn at(base: DriverAddr, size: u16, features: u64) -> Self {
        let heap = Arc::new(HeapMem::new(base, 1 << 20).unwrap());
        let options = SplitOptions { features, ..SplitOptions::default() };
        let driver = SplitDriver::new(Arc::clone(&heap), size, options);
        let config = driver.queue_config(QueueLimits::default());
        Self { mem: Rc::new(TestMem::new(heap)), raw: driver.raw().clone(), config }
    }

    fn areas(&self) -> [Area; 3] {
        let areas = self.raw.areas();
        [
            Area { area: QueueArea::Descriptor, range: areas.descriptors(), align: 16, access: Access::Read },
            Area { area: QueueArea::Driver, range: areas.available_ring(), align: 2, access: Access::Read },
            Area { area: QueueArea::Device, range: areas.used_ring(), align: 4, access: Access::Write },
        ]
    }

    /// Makes a queue, and returns what the memory saw of it.
    fn make(&self, config: &QueueConfig) -> (Result<TestQueue, ConfigError>, Vec<MemEvent>) {
        self.mem.start_log();
        let queue = SplitQueue::new(config, Rc::clone(&self.mem), Silent);
        (queue, self.mem.take_log())
    }

    /// Checks that a configuration is refused with that error, and that no byte of the memory is accessed.
    #[track_caller]
    fn check_refused(&self, config: &QueueConfig, error: ConfigError) {
        let (queue, log) = self.make(config);
        assert_eq!(queue.err(), Some(error), "{config:?}");
        assert_eq!(accesses(&log), [], "{config:?}");
    }

    #[track_caller]
    fn check_area_refused(&self, config: &QueueConfig, area: QueueArea, error: impl Into<AreaError>) {
        self.check_refused(config, ConfigError::Area { area, error: error.into() });
    }
}

fn with_area(config: QueueConfig, area: QueueArea, addr: DriverAddr) -> QueueConfig {
    match area {
        QueueArea::Descriptor => QueueConfig { descriptor_area: addr, ..config },
        QueueArea::Driver => QueueConfig { driver_area: addr, ..config },
        QueueArea::Device => QueueConfig { device_area: addr, ..config },
    }
}

/// LAY-3, DRV-CFG-3: powers of two from 1 to 32768, and nothing else.
#[test]
fn size_no_power_of_two_refused() {
    let setup = Setup::new(8, 0);
    for size in [0, 3, 5, 6, 7, 255, 16385, 32767] {
        let config = QueueConfig { size, ..setup.config };
        setup.check_refused(&config, ConfigError::Size(QueueSizeError { size }));
    }
    for size in (0..16).map(|log| 1 << log) {
        let setup = Setup::new(size, 0);
        let (queue, _) = setup.make(&setup.config);
        assert_eq!(queue.unwrap().size(), size);
    }
}

/// DRV-CFG-4, LAY-3: as large as the driver was shown, and no larger.
#[test]
fn size_over_limit_refused() {
    for (size, limit) in [(16, 8), (2, 1), (32768, 16384)] {
        let setup = Setup::new(size, 0);
        let limits = QueueLimits { queue_size: limit, ..QueueLimits::default() };
        setup.check_refused(&QueueConfig { limits, ..setup.config }, ConfigError::SizeOverLimit { size, limit });
        let limits = QueueLimits { queue_size: size, ..QueueLimits::default() };
        assert!(setup.make(&QueueConfig { limits, ..setup.config }).0.is_ok());
    }
    let setup = Setup::new(8, 0);
    for size in [32769, 49152, 65535] {
        let error = ConfigError::SizeOverLimit { size, limit: 32768 };
        setup.check_refused(&QueueConfig { size, ..setup.config }, error);
    }
}

/// GEN-14: a device that shows its driver a limit which is no size is told so.
#[test]
fn limit_no_power_of_two_refused() {
    let setup = Setup::new(8, 0);
    for size in [0, 9, 15, 32767, 32769, 65535] {
        let limits = QueueLimits { queue_size: size, ..QueueLimits::default() };
        let config = QueueConfig { size: 8.min(size), limits, ..setup.config };
        setup.check_refused(&config, ConfigError::Limit(QueueSizeError { size }));
    }
}

/// FEAT-1, FEAT-7: what may be offered is what runs.
#[test]
fn features_supported_are_these() {
    let bits = [28, 29, 32, 33, 34, 35, 36, 38, 39, 40, 43];
    assert_eq!(SUPPORTED_RING_FEATURES.bits(), bits.into_iter().map(|bit: u32| 1_u64 << bit).sum());
}

/// FEAT-13, FEAT-14: a ring in the other format, or with a promise that this one does not keep, is refused.
#[test]
fn features_unsupported_refused() {
    let setup = Setup::new(8, 0);
    let with = |feature| QueueConfig { features: setup.config.features.union(feature), ..setup.config };
    setup.check_refused(&with(RingFeatures::IN_ORDER), ConfigError::Features(RingFeatures::IN_ORDER));
    setup.check_refused(&with(RingFeatures::RING_PACKED), ConfigError::Format);
}

/// LAY-1, DRV-CFG-1: aligned to 16, 2 and 4 bytes. The driver of these tests aligns its areas no better.
#[test]
fn area_misaligned_refused() {
    let setup = Setup::new(8, 0);
    for Area { area, range, align, .. } in setup.areas() {
        for by in 1..align {
            let addr = DriverAddr(range.start().0 + by);
            let error = AreaError::Misaligned { addr, align: align as usize };
            setup.check_area_refused(&with_area(setup.config, area, addr), area, error);
        }
    }
}

/// LAY-1: aligned for the driver is not enough where the mapping is not.
#[test]
fn area_misaligned_by_its_mapping_refused() {
    for base in [0x1000_0004, 0x1000_0008] {
        let setup = Setup::at(DriverAddr(base), 8, 0);
        let error = AreaError::HostMisaligned { addr: setup.config.descriptor_area, align: 16 };
        setup.check_area_refused(&setup.config, QueueArea::Descriptor, error);
    }
}

/// HOST-13: areas that would end beyond 2^64, or that begin where nothing is.
#[test]
fn area_beyond_memory_refused() {
    let setup = Setup::new(8, 0);
    for Area { area, align, .. } in setup.areas() {
        let last = 0_u64.wrapping_sub(align);
        for addr in [0, 0x0fff_fff0, 0x1010_0000, 1 << 63, last].map(DriverAddr) {
            let error = TranslateError::Unmapped { addr };
            setup.check_area_refused(&with_area(setup.config, area, addr), area, error);
        }
    }
}

/// LAY-2, HOST-13: every byte of every area has to be there, those of the event fields as well if they are never used.
#[test]
fn area_with_hole_refused() {
    for features in [0, EVENT_IDX] {
        for index in 0..3 {
            let len = Setup::new(8, features).areas()[index].range.len();
            for offset in (0..len).step_by(2) {
                let setup = Setup::new(8, features);
                let Area { area, range, .. } = &setup.areas()[index];
                let hole = range.after(offset).prefix(2);
                setup.mem.unmap(hole);
                let error = TranslateError::Unmapped { addr: hole.start() };
                setup.check_area_refused(&setup.config, *area, error);
            }
        }
    }
}

/// HOST-13, FEAT-11: memory that the device may not access as it has to, if only in part.
#[test]
fn area_denied_refused() {
    for index in 0..3 {
        for offset in [0, 4, 20] {
            let setup = Setup::new(8, 0);
            let Area { area, range, access, .. } = &setup.areas()[index];
            let denied = range.after(offset).prefix(2);
            setup.mem.restrict(denied, if access.reads() { Access::Write } else { Access::Read });
            let error = TranslateError::Denied { addr: denied.start(), access: *access };
            setup.check_area_refused(&setup.config, *area, error);
        }
    }
}

/// FEAT-11, FEAT-12: each area is translated once, with the rights that it needs and no others.
#[test]
fn areas_translated_with_minimal_rights() {
    let setup = Setup::new(8, EVENT_IDX);
    let (queue, log) = setup.make(&setup.config);
    assert!(queue.is_ok());
    let translated: Vec<_> = log.into_iter().filter(|event| matches!(event, MemEvent::Translate { .. })).collect();
    let expected = setup.areas().map(|Area { range, access, .. }| MemEvent::Translate { range, access });
    assert_eq!(translated, expected);
}

/// GEN-1, GEN-13: a ring that was checked and not taken into service is not accessed, not even by its drop.
#[test]
fn ring_before_activation_not_accessed() {
    let setup = Setup::new(8, EVENT_IDX);
    setup.mem.start_log();
    drop(SplitRing::from_config(&setup.config, Rc::clone(&setup.mem)).unwrap());
    assert_eq!(accesses(&setup.mem.take_log()), []);
}

/// DRV-ANOT-1, SPLIT-ANOT-1, SPLIT-ANOT-3, SPLIT-ANOT-8: activation writes the flags, whatever was there, and the event
/// field where there is one. It reads nothing and writes nothing else.
#[test]
fn activation_asks_for_notifications() {
    for features in [0, EVENT_IDX] {
        let setup = Setup::new(8, features);
        let (raw, areas) = (&setup.raw, setup.raw.areas());
        let used_ring = areas.used_ring();
        raw.view().poke(used_ring.start(), &vec![0xff; used_ring.len() as usize]);
        let (queue, log) = setup.make(&setup.config);
        assert!(queue.is_ok());

        let (flags, event) = (MemEvent::Written(areas.used_flags()), MemEvent::Written(areas.avail_event()));
        let avail_event = if features == EVENT_IDX {
            assert_eq!(accesses(&log), [flags, event]);
            0
        } else {
            assert!(!log.contains(&event) && accesses(&log).iter().all(|access| *access == flags));
            0xffff
        };
        assert_eq!((raw.used_flags(), raw.used_index(), raw.avail_event()), (0, 0xffff, avail_event));
        let elements = raw.view().peek(areas.used_element(0).start(), 64);
        assert_eq!(elements, [0xff; 64]);
    }
}

/// HOST-13: an area that disappears while the queue is made.
#[test]
fn activation_on_lost_area_refused() {
    let setup = Setup::new(8, EVENT_IDX);
    let (flags, event) = (setup.raw.areas().used_flags(), setup.raw.areas().avail_event());
    setup.mem.split_at(event.start());
    setup.mem.on_event(move |mem, seen| {
        if seen == MemEvent::Written(flags) {
            mem.unmap(event);
        }
    });
    let (queue, _) = setup.make(&setup.config);
    let lost = FatalError::Area(TranslateError::Unmapped { addr: event.start() }.into());
    assert_eq!(queue.err(), Some(ConfigError::Activation(lost)));

    let ring = SplitRing::from_config(&setup.config, Rc::clone(&setup.mem));
    let error = AreaError::Translate(TranslateError::Unmapped { addr: event.start() });
    assert_eq!(ring.err(), Some(ConfigError::Area { area: QueueArea::Device, error }));
}

/// A ring that was made first and taken into service later is a queue like any other.
#[test]
fn queue_from_ring_runs() {
    let setup = Setup::new(8, 0);
    let ring = SplitRing::from_config(&setup.config, Rc::clone(&setup.mem)).unwrap();
    let mut queue = Queue::from_ring(ring, Silent).unwrap();
    assert_eq!((queue.size(), queue.in_flight(), queue.fault()), (8, 0, None));
    assert!(queue.next_chain().unwrap().is_none());
}

/// LAY-4, HOST-32: each area in two pieces, cut at every place where a field ends. A descriptor may be cut anywhere.
#[test]
fn area_in_two_pieces_works() {
    for features in [features::INDIRECT_DESC, features::INDIRECT_DESC | EVENT_IDX] {
        let cuts = |len: u64, step: usize| (0..len).step_by(step).skip(1);
        let descriptors = cuts(64, 1).map(|offset| (0, offset));
        let available = cuts(14, 2).map(|offset| (1, offset));
        let used = cuts(38, 4).chain([2]).map(|offset| (2, offset));
        for (area, offset) in descriptors.chain(available).chain(used) {
            let fixture = options(4, features).build_on(|heap, driver| {
                let areas = driver.areas();
                let start = [areas.descriptor_area, areas.driver_area, areas.device_area][area];
                let mem = Rc::new(TestMem::new(heap));
                mem.split_at(DriverAddr(start.0 + offset));
                mem
            });
            smoke(&mut fixture.unwrap(), 20);
        }
    }
}

/// LAY-4: a page here, a page there, and not one of the areas in one piece.
#[test]
fn areas_in_many_pieces_work() {
    let fixture = options(256, EVENT_IDX).build_on(|heap, driver| {
        let mem = Rc::new(TestMem::new(heap));
        for area in [driver.areas().descriptors(), driver.areas().available_ring(), driver.areas().used_ring()] {
            for offset in (0..area.len()).step_by(0x40) {
                mem.split_at(DriverAddr((area.start().0 + offset) & !0x3f));
            }
        }
        mem
    });
    smoke(&mut fixture.unwrap(), 600);
}

/// FEAT-3, FEAT-4, FEAT-6: every subset of the supported features, and once more after a reset.
#[test]
fn features_every_subset_runs() {
    let sets = feature_sets();
    assert_eq!(sets.len(), 256);
    for features in sets {
        for size in [1, 2, 256] {
            for _ in 0..2 {
                smoke(&mut options(size, features).build().unwrap(), 5);
            }
        }
    }
}

/// LAY-5, SPLIT-DESC-3, SPLIT-AVAIL-1: with each area mapped for one direction and no other, everything works.
#[test]
fn areas_with_one_direction_each_work() {
    for features in RING_SETS {
        let fixture = options(8, features).build_on(|heap, driver| {
            let mem = Rc::new(TestMem::new(heap));
            mem.restrict(driver.areas().descriptors(), Access::Read);
            mem.restrict(driver.areas().available_ring(), Access::Read);
            mem.restrict(driver.areas().used_ring(), Access::Write);
            // In pieces, so that every access is checked and not only the first.
            for area in [driver.areas().descriptors(), driver.areas().available_ring(), driver.areas().used_ring()] {
                mem.split_at(DriverAddr(area.start().0 + 4));
            }
            mem
        });
        smoke(&mut fixture.unwrap(), 50);
    }
}
