//! Memories to test with.

use core::cell::Cell;
use std::sync::Mutex;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

/// The range of `len` bytes at `start`.
pub(crate) fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

/// Heap memory of `len` bytes at `base`.
pub(crate) fn heap(base: u64, len: usize) -> HeapMem {
    HeapMem::new(DriverAddr(base), len).unwrap()
}

/// Returns all bytes of `range`, as the other side sees them.
pub(crate) fn bytes(mem: &impl DriverMem, range: DriverRange) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        let piece = mem.translate(rest, Access::Read).unwrap();
        let mut buf = vec![0; piece.len()];
        piece.read_bytes(0, &mut buf).unwrap();
        all.extend_from_slice(&buf);
        rest = rest.after(buf.len() as u64);
    }
    all
}

/// Sets all bytes of `range`, as the other side would.
pub(crate) fn set_bytes(mem: &impl DriverMem, range: DriverRange, value: &[u8]) {
    assert_eq!(range.len(), value.len() as u64);
    for (index, byte) in value.iter().enumerate() {
        let place = mem.translate_all(range.after(index as u64).prefix(1), Access::Write).unwrap();
        place.write(0, byte).unwrap();
    }
}

/// Memory that is contiguous for the driver, and in two pieces here.
///
/// Both halves are as aligned here as they are for the driver, as pages are.
pub(crate) struct SplitMem {
    low: HeapMem,
    high: HeapMem,
    /// The first address of the second piece.
    split: DriverAddr,
}

impl SplitMem {
    pub(crate) fn new(base: u64, len: usize, split: u64) -> Self {
        Self { low: heap(base, len), high: heap(base, len), split: DriverAddr(split) }
    }

    pub(crate) fn range(&self) -> DriverRange {
        self.low.range()
    }
}

impl DriverMem for SplitMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        if range.start() < self.split {
            self.low.translate(range.prefix(self.split.0 - range.start().0), access)
        } else {
            self.high.translate(range, access)
        }
    }

    fn translations_last(&self) -> bool {
        true
    }
}

/// Several pieces of memory, each aligned here whatever its address is for the driver.
pub(crate) struct Pieces(pub(crate) Vec<HeapMem>);

impl DriverMem for Pieces {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let piece = self.0.iter().find(|piece| piece.range().offset_of(range.start()).is_some());
        piece.ok_or(TranslateError::Unmapped { addr: range.start() })?.translate(range, access)
    }

    fn translations_last(&self) -> bool {
        true
    }
}

/// Memory that comes and goes from an address on.
pub(crate) struct Vanishing<M> {
    pub(crate) mem: M,
    /// The first address that is gone, if any is.
    pub(crate) gone_from: Cell<Option<DriverAddr>>,
}

impl<M> Vanishing<M> {
    pub(crate) fn new(mem: M) -> Self {
        Self { mem, gone_from: Cell::new(None) }
    }
}

impl<M: DriverMem> DriverMem for Vanishing<M> {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match self.gone_from.get() {
            Some(gone) if range.start() >= gone => Err(TranslateError::Unmapped { addr: range.start() }),
            Some(gone) => self.mem.translate(range.prefix(gone.0 - range.start().0), access),
            None => self.mem.translate(range, access),
        }
    }
}

/// Heap memory behind a translation of the test's choice.
pub(crate) struct FnMem {
    pub(crate) heap: HeapMem,
    pub(crate) translate: fn(&HeapMem, DriverRange, Access) -> Result<DeviceRange<'_>, TranslateError>,
}

impl DriverMem for FnMem {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        (self.translate)(&self.heap, range, access)
    }

    fn translations_last(&self) -> bool {
        true
    }
}

/// A report that a memory got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    BeforeRead(DriverRange),
    Written(DriverRange),
}

/// Memory that notes the reports it gets.
pub(crate) struct Logged<M> {
    pub(crate) mem: M,
    reports: Mutex<Vec<Report>>,
}

impl<M> Logged<M> {
    pub(crate) fn new(mem: M) -> Self {
        Self { mem, reports: Mutex::default() }
    }

    /// Returns the reports since the last call.
    pub(crate) fn take(&self) -> Vec<Report> {
        core::mem::take(&mut self.reports.lock().unwrap())
    }
}

impl<M: DriverMem> DriverMem for Logged<M> {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.mem.translate(range, access)
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.mem.region(range, access)
    }

    fn translations_last(&self) -> bool {
        self.mem.translations_last()
    }

    fn before_read(&self, range: DriverRange) {
        self.reports.lock().unwrap().push(Report::BeforeRead(range));
    }

    fn written(&self, range: DriverRange) {
        self.reports.lock().unwrap().push(Report::Written(range));
    }
}
