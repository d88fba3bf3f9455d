//! Memory that counts what a device does with it, and refuses what a device must not do.

use core::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::DriverView;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

pub(crate) type Mem = Rc<Watched>;

/// Driver memory that counts translations and reported accesses.
#[derive(Debug)]
pub(crate) struct Watched {
    heap: Arc<HeapMem>,
    view: DriverView<Arc<HeapMem>>,
    /// Whether it wants reports. Without them, queues take shortcuts.
    reports: bool,
    work: Cell<u64>,
    /// Where the device must not read.
    unreadable: RefCell<Vec<DriverRange>>,
}

impl Watched {
    pub(crate) fn new(base: u64, len: usize, reports: bool) -> Mem {
        let heap = Arc::new(HeapMem::new(DriverAddr(base), len).unwrap());
        let view = DriverView::new(Arc::clone(&heap));
        Rc::new(Self { heap, view, reports, work: Cell::new(0), unreadable: RefCell::default() })
    }

    /// Returns the memory for a driver, which is not counted.
    pub(crate) fn heap(&self) -> Arc<HeapMem> {
        Arc::clone(&self.heap)
    }

    pub(crate) fn poke(&self, addr: u64, bytes: &[u8]) {
        self.view.poke(DriverAddr(addr), bytes);
    }

    /// Returns all bytes.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let range = self.heap.range();
        self.view.peek(range.start(), range.len() as usize)
    }

    /// Returns the number of translations and reported accesses so far.
    pub(crate) fn work(&self) -> u64 {
        self.work.get()
    }

    /// Begins to count anew.
    pub(crate) fn reset_work(&self) {
        self.work.set(0);
    }

    /// Calls `action`, and returns its result and the work in it.
    pub(crate) fn counted<T>(&self, action: impl FnOnce() -> T) -> (T, u64) {
        let before = self.work();
        let result = action();
        (result, self.work() - before)
    }

    pub(crate) fn refuse_reads(&self, ranges: Vec<DriverRange>) {
        self.unreadable.replace(ranges);
    }

    fn count(&self) {
        self.work.set(self.work.get() + 1);
    }
}

impl DriverMem for Watched {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.count();
        self.heap.translate(range, access)
    }

    fn reports(&self, _access: Access) -> bool {
        self.reports
    }

    fn before_read(&self, range: DriverRange) {
        self.count();
        let hit = self.unreadable.borrow().iter().copied().find(|other| overlap(*other, range));
        assert_eq!(hit, None, "{range} is read: no byte of this must be");
    }

    fn written(&self, _range: DriverRange) {
        self.count();
    }
}

/// Returns whether two ranges have a byte in common.
pub(crate) fn overlap(one: DriverRange, other: DriverRange) -> bool {
    let (start, end) = (|range: DriverRange| range.start().0, |range: DriverRange| range.start().0 + range.len());
    !one.is_empty() && !other.is_empty() && start(one) < end(other) && start(other) < end(one)
}
