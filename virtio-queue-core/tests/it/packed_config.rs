//! What a packed queue can be made from, and what it touches while it is made.

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::packed::PackedAreas;
use virtio_fake_driver::{DriverChain, DriverOptions, MemEvent, PackedDriver, TestMem};
use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{ConfigError, DriverNotify, FromConfig, PackedQueue, QueueArea, QueueConfig, QueueLimits};
use virtio_ring::QueueSizeError;

use crate::packed_support::options;
use crate::support::{EVENT_IDX, accesses};

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {
        panic!("nothing was used");
    }
}

/// What a driver has set up: right as it is, to be spoilt.
struct Setup {
    mem: Rc<TestMem>,
    areas: PackedAreas,
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
        let driver = PackedDriver::new(Arc::clone(&heap), size, DriverOptions { features, ..Default::default() });
        let config = driver.queue_config(QueueLimits::default());
        Self { mem: Rc::new(TestMem::new(heap)), areas: *driver.areas(), config }
    }

    fn areas(&self) -> [Area; 3] {
        let Self { areas, .. } = self;
        [
            Area { area: QueueArea::Descriptor, range: areas.descriptors(), align: 16, access: Access::ReadWrite },
            Area { area: QueueArea::Driver, range: areas.driver_events(), align: 4, access: Access::Read },
            Area { area: QueueArea::Device, range: areas.device_events(), align: 4, access: Access::Write },
        ]
    }

    /// Makes a queue, and returns what the memory saw of it.
    fn make(&self, config: &QueueConfig) -> (Result<u16, ConfigError>, Vec<MemEvent>) {
        self.mem.start_log();
        let queue = PackedQueue::new(config, Rc::clone(&self.mem), Silent);
        (queue.map(|queue| queue.size()), self.mem.take_log())
    }

    /// Checks that a configuration is refused with that error, and that no byte of the memory is accessed.
    #[track_caller]
    fn check_refused(&self, config: &QueueConfig, error: ConfigError) {
        let (queue, log) = self.make(config);
        assert_eq!((queue, accesses(&log)), (Err(error), vec![]), "{config:?}");
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

/// LAY-8, DRV-CFG-3, DRV-CFG-4, REG-1: any size from 1 to 32768, and none of 0 or over the limit that the driver was shown.
#[test]
fn size_zero_or_over_limit_refused() {
    let setup = Setup::new(8, 0);
    setup.check_refused(&QueueConfig { size: 0, ..setup.config }, ConfigError::Size(QueueSizeError { size: 0 }));
    for size in [32769, 49152, 65535] {
        let error = ConfigError::SizeOverLimit { size, limit: 32768 };
        setup.check_refused(&QueueConfig { size, ..setup.config }, error);
    }
    for (size, limit) in [(8, 7), (3, 2), (32768, 32767)] {
        let setup = Setup::new(size, 0);
        let limits = QueueLimits { queue_size: limit, ..QueueLimits::default() };
        setup.check_refused(&QueueConfig { limits, ..setup.config }, ConfigError::SizeOverLimit { size, limit });
        let limits = QueueLimits { queue_size: size, ..QueueLimits::default() };
        assert_eq!(setup.make(&QueueConfig { limits, ..setup.config }).0, Ok(size));
    }
}

/// GEN-14: a limit that no packed queue can have. One that is no power of two is as good as any.
#[test]
fn limit_that_is_no_size_refused() {
    let setup = Setup::new(8, 0);
    for (size, limit) in [(0, 0), (8, 32769), (8, 65535)] {
        let limits = QueueLimits { queue_size: limit, ..QueueLimits::default() };
        let config = QueueConfig { size, limits, ..setup.config };
        setup.check_refused(&config, ConfigError::Limit(QueueSizeError { size: limit }));
    }
    let limits = QueueLimits { queue_size: 1000, ..QueueLimits::default() };
    assert_eq!(setup.make(&QueueConfig { limits, ..setup.config }).0, Ok(8));
}

/// LAY-7, DRV-CFG-2: aligned to 16, 4 and 4 bytes. The driver of these tests aligns its areas no better.
#[test]
fn area_misaligned_refused() {
    let setup = Setup::new(7, 0);
    for Area { area, range, align, .. } in setup.areas() {
        for by in 1..align {
            let addr = DriverAddr(range.start().0 + by);
            let error = AreaError::Misaligned { addr, align: align as usize };
            setup.check_area_refused(&with_area(setup.config, area, addr), area, error);
        }
    }
    let setup = Setup::at(DriverAddr(0x1000_0008), 7, 0);
    let error = AreaError::HostMisaligned { addr: setup.config.descriptor_area, align: 16 };
    setup.check_area_refused(&setup.config, QueueArea::Descriptor, error);
}

/// LAY-7, HOST-13, DRV-CFG-5, DRV-FEAT-4: areas that would end beyond 2^64, that begin where nothing is, or that lack a byte.
#[test]
fn area_not_in_memory_refused() {
    let setup = Setup::new(7, 0);
    for Area { area, align, .. } in setup.areas() {
        for addr in [0, 0x0fff_fff0, 0x1010_0000, 1 << 63, 0_u64.wrapping_sub(align)].map(DriverAddr) {
            setup.check_area_refused(&with_area(setup.config, area, addr), area, TranslateError::Unmapped { addr });
        }
    }
    for index in 0..3 {
        for offset in 0..setup.areas()[index].range.len() {
            let setup = Setup::new(7, EVENT_IDX);
            let Area { area, range, .. } = &setup.areas()[index];
            let hole = range.after(offset).prefix(1);
            setup.mem.unmap(hole);
            setup.check_area_refused(&setup.config, *area, TranslateError::Unmapped { addr: hole.start() });
        }
    }
}

/// LAY-9, HOST-13, FEAT-11: memory that the device may not access as it has to, if only in part. The ring has to be both
/// readable and writable.
#[test]
fn area_denied_refused() {
    for index in 0..3 {
        for denied in [Access::Read, Access::Write] {
            let setup = Setup::new(7, 0);
            let Area { area, range, access, .. } = &setup.areas()[index];
            let part = range.after(2).prefix(2);
            setup.mem.restrict(part, denied);
            if denied == *access {
                assert_eq!(setup.make(&setup.config).0, Ok(7));
            } else {
                let error = TranslateError::Denied { addr: part.start(), access: *access };
                setup.check_area_refused(&setup.config, *area, error);
            }
        }
    }
}

/// FEAT-11, FEAT-12, LAY-9: each area is translated once, with the rights that it needs and no others.
#[test]
fn areas_translated_with_minimal_rights() {
    let setup = Setup::new(7, EVENT_IDX);
    let (queue, log) = setup.make(&setup.config);
    assert_eq!(queue, Ok(7));
    let translated: Vec<_> = log.into_iter().filter(|event| matches!(event, MemEvent::Translate { .. })).collect();
    let expected = setup.areas().map(|Area { range, access, .. }| MemEvent::Translate { range, access });
    assert_eq!(translated, expected);
}

/// GEN-1, GEN-13: a ring that was checked and not taken into service is not accessed, not even by its drop.
#[test]
fn ring_before_activation_not_accessed() {
    let setup = Setup::new(7, EVENT_IDX);
    setup.mem.start_log();
    drop(PackedRing::from_config(&setup.config, Rc::clone(&setup.mem)).unwrap());
    assert_eq!(accesses(&setup.mem.take_log()), []);
}

/// LAY-4, HOST-32: the ring in two pieces, cut at every place where a field ends, and in pieces of a descriptor each.
#[test]
fn ring_in_pieces_works() {
    let cuts = (0..4).flat_map(|slot| [0, 8, 12, 14].map(|field| vec![16 * slot + field])).skip(1);
    let many = (1..4).map(|slot| 16 * slot).collect();
    for cuts in cuts.chain([many]) {
        for features in [0, EVENT_IDX] {
            let fixture = options(4, features).build_on(|heap, driver| {
                let mem = Rc::new(TestMem::new(heap));
                cuts.iter().for_each(|cut| mem.split_at(DriverAddr(driver.areas().descriptor_area.0 + cut)));
                mem
            });
            let mut fixture = fixture.unwrap();
            for len in 1..40 {
                fixture.driver.add(&DriverChain::new().readable(b"?").writable(len % 9).writable(1)).unwrap();
                let chain = fixture.queue.next_chain().unwrap().unwrap();
                let written = crate::support::serve(&chain);
                chain.return_written(written).unwrap();
                assert_eq!(fixture.driver.reap().unwrap().unwrap().len, len % 9 + 1);
            }
        }
    }
}
