//! Processes that are killed after each of their stores, records that make no sense, and how a record lies in memory.

#![expect(clippy::cast_possible_truncation, reason = "what a test makes is small")]

mod files;
mod hostile;
mod kills;
mod layouts;
mod left;

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use virtio_fake_driver::{Driver, DriverOptions, Format, Packed, QueueFormat, Split};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::{FromConfig, Queue, QueueConfig, QueueLimits, RecordedRing, RingFeatures, SavedQueue};
use virtio_util::NotificationCounter;

use super::{InflightError, QueueRecord, Recordable};

/// Memory in which a ring lies, and behind it its record. It can be made what it was after so many stores of the
/// device.
pub(super) struct Memory {
    heap: HeapMem,
    left: Cell<Option<usize>>,
    stores: Cell<usize>,
    killed: RefCell<Option<Vec<u8>>>,
}

const RECORD: u64 = 0x8000;
const LEN: usize = 0x9000;

type Mem = Rc<Memory>;

impl Memory {
    pub(super) fn new() -> Mem {
        let heap = HeapMem::new(DriverAddr(0), LEN).unwrap();
        Rc::new(Self { heap, left: Cell::default(), stores: Cell::default(), killed: RefCell::default() })
    }

    fn all(&self) -> DeviceRange<'_> {
        self.heap.translate_all(self.heap.range(), Access::ReadWrite).unwrap()
    }

    /// Kills the process after so many stores, or never.
    fn kill_after(&self, stores: Option<usize>) {
        self.left.set(stores);
        self.stores.set(0);
        if stores == Some(0) {
            self.kill();
        }
    }

    fn kill(&self) {
        let mut bytes = vec![0; LEN];
        self.all().read_bytes(0, &mut bytes).unwrap();
        *self.killed.borrow_mut() = Some(bytes);
        self.left.set(None);
    }

    /// Returns whether the process was killed, and undoes what it has done since.
    fn bury(&self) -> bool {
        let Some(bytes) = self.killed.take() else { return false };
        self.all().write_bytes(0, &bytes).unwrap();
        true
    }

    /// Returns whether the process was killed.
    fn is_killed(&self) -> bool {
        self.killed.borrow().is_some()
    }

    pub(super) fn poke(&self, offset: u64, bytes: &[u8]) {
        self.all().write_bytes((RECORD + offset) as usize, bytes).unwrap();
    }

    pub(super) fn peek(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.all().read_bytes((RECORD + offset) as usize, &mut bytes).unwrap();
        bytes
    }
}

impl DriverMem for Memory {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range, access)
    }

    fn written(&self, _range: DriverRange) {
        self.stores.set(self.stores.get() + 1);
        match self.left.get() {
            Some(1) => self.kill(),
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
    }
}

/// A format of rings that is recorded.
pub(super) trait Recorded: QueueFormat<Ring<Mem>: Recordable> {
    const PACKED: bool;
}

impl Recorded for Split {
    const PACKED: bool = false;
}

impl Recorded for Packed {
    const PACKED: bool = true;
}

pub(super) type RingOf<F> = <F as QueueFormat>::Ring<Mem>;
pub(super) type RecorderOf<F> = <RingOf<F> as Recordable>::Recorder<Mem>;
pub(super) type QueueOf<F> = Queue<RecordedRing<RingOf<F>, RecorderOf<F>>, NotificationCounter>;

pub(super) fn driver<F: Format>(mem: &Mem, size: u16, start: Option<u16>) -> Driver<F, Mem> {
    let range = DriverRange::new(DriverAddr(0), RECORD).unwrap();
    let features = virtio_fake_driver::features::INDIRECT_DESC;
    Driver::within(Rc::clone(mem), range, size, DriverOptions { features, start, ..DriverOptions::default() })
}

pub(super) fn config<F: Recorded>(driver: &Driver<F, Mem>) -> QueueConfig {
    let features = 1 << 32 | virtio_fake_driver::features::INDIRECT_DESC | if F::PACKED { 1 << 34 } else { 0 };
    let features = RingFeatures::from_negotiated(features).unwrap();
    let [descriptor, driver_area, device] = driver.area_addresses();
    let mut config = QueueConfig::new(driver.size(), features, descriptor, driver_area, device);
    config.limits = QueueLimits::default();
    config
}

/// Returns the record of a ring, which has room for `size` descriptors.
pub(super) fn record<F: Recorded>(mem: &Mem, size: u16) -> QueueRecord<Mem> {
    QueueRecord::new(Rc::clone(mem), RECORD, RingOf::<F>::LAYOUT.len(size), size).unwrap()
}

/// Begins a process that serves the ring of `driver`, as the front end says that the ring was at `base`.
pub(super) fn resume<F: Recorded>(
    mem: &Mem,
    config: &QueueConfig,
    base: &SavedQueue,
) -> Result<QueueOf<F>, InflightError> {
    let ring = RingOf::<F>::from_config(config, Rc::clone(mem)).unwrap();
    let (recorder, saved) = ring.resume(config, record::<F>(mem, config.size), *base)?;
    Ok(Queue::restore(RecordedRing::new(ring, recorder), NotificationCounter::new(), &saved).unwrap().0)
}

/// Returns the positions at which a ring begins.
pub(super) fn start<F: Recorded>(config: &QueueConfig, start: Option<u16>) -> SavedQueue {
    let start = start.unwrap_or(if F::PACKED { 0x8000 } else { 0 });
    SavedQueue::at(start, start, config.features)
}
