//! What a queue can be made from, and what it touches while it is made.

mod activation;
mod areas;
mod features;
mod pieces;
mod sizes;

use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::packed::RawPacked;
use virtio_fake_driver::split::RawSplit;
use virtio_fake_driver::{Any, AnyRaw, Driver, DriverOptions, MemEvent, Packed, QueueFormat, Split, TestMem};
use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverRange, HeapMem};
use virtio_queue_core::{ConfigError, DriverNotify, Queue, QueueArea, QueueConfig, QueueLimits};

use crate::support::accesses;

type Mem = Rc<TestMem>;

struct Silent;

impl DriverNotify for Silent {
    fn notify(&self) {
        panic!("nothing was used");
    }
}

/// One of the areas, as the specification wants it.
#[derive(Clone, Copy)]
struct Area {
    area: QueueArea,
    range: DriverRange,
    align: u64,
    access: Access,
}

/// A format whose areas are known.
trait Areas: QueueFormat {
    fn areas(driver: &Driver<Self>) -> [Area; 3];
}

impl Areas for Split {
    fn areas(driver: &Driver<Self>) -> [Area; 3] {
        split_areas(driver.raw())
    }
}

impl Areas for Packed {
    fn areas(driver: &Driver<Self>) -> [Area; 3] {
        packed_areas(driver.raw())
    }
}

impl Areas for Any {
    fn areas(driver: &Driver<Self>) -> [Area; 3] {
        match driver.raw() {
            AnyRaw::Split(raw) => split_areas(raw),
            AnyRaw::Packed(raw) => packed_areas(raw),
        }
    }
}

fn split_areas(raw: &RawSplit) -> [Area; 3] {
    let areas = raw.areas();
    [
        Area { area: QueueArea::Descriptor, range: areas.descriptors(), align: 16, access: Access::Read },
        Area { area: QueueArea::Driver, range: areas.available_ring(), align: 2, access: Access::Read },
        Area { area: QueueArea::Device, range: areas.used_ring(), align: 4, access: Access::Write },
    ]
}

fn packed_areas(raw: &RawPacked) -> [Area; 3] {
    let areas = raw.areas();
    [
        Area { area: QueueArea::Descriptor, range: areas.descriptors(), align: 16, access: Access::ReadWrite },
        Area { area: QueueArea::Driver, range: areas.driver_events(), align: 4, access: Access::Read },
        Area { area: QueueArea::Device, range: areas.device_events(), align: 4, access: Access::Write },
    ]
}

/// What a driver has set up: right as it is, to be spoilt.
struct Setup<F: Areas> {
    mem: Mem,
    driver: Driver<F>,
    config: QueueConfig,
}

impl<F: Areas> Setup<F> {
    fn new(size: u16, features: u64) -> Self {
        Self::at(DriverAddr(0x1000_0000), size, features)
    }

    fn at(base: DriverAddr, size: u16, features: u64) -> Self {
        let heap = Arc::new(HeapMem::new(base, 1 << 20).unwrap());
        let driver = Driver::new(Arc::clone(&heap), size, DriverOptions { features, ..Default::default() });
        let config = driver.queue_config(QueueLimits::default());
        Self { mem: Rc::new(TestMem::new(heap)), driver, config }
    }

    fn areas(&self) -> [Area; 3] {
        F::areas(&self.driver)
    }

    /// Makes a queue, and returns its size and what the memory saw of it.
    fn make(&self, config: &QueueConfig) -> (Result<u16, ConfigError>, Vec<MemEvent>) {
        self.mem.start_log();
        let queue = Queue::<F::Ring<Mem>, _>::new(config, Rc::clone(&self.mem), Silent);
        (queue.map(|queue| queue.size()), self.mem.take_log())
    }

    #[track_caller]
    fn check_made(&self, config: &QueueConfig) {
        assert_eq!(self.make(config).0, Ok(config.size), "{config:?}");
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

/// Runs a check with each format. Where the ring is packed it has a size that no split one has.
macro_rules! for_each_setup {
    ($check:ident($features:expr)) => {
        $check::<virtio_fake_driver::Split>(8, $features);
        $check::<virtio_fake_driver::Packed>(7, $features);
        $check::<virtio_fake_driver::Any>(8, $features);
        $check::<virtio_fake_driver::Any>(7, $features | virtio_fake_driver::features::RING_PACKED);
    };
}

use for_each_setup;
