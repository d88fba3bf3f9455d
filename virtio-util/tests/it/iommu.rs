//! Memory behind an IOMMU: pages in any order, each with rights of its own.

use core::cell::RefCell;
use std::collections::BTreeMap;

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, Area, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, ReadWrite, TranslateError,
};
use virtio_util::{Iommu, IommuMem};

const PAGE: u64 = 64;
const MEMORY: u64 = 0x8000;

/// Pages by their number, with the number of the page in memory and what may be done with it.
#[derive(Default)]
struct Pages {
    table: BTreeMap<u64, (u64, Access)>,
    lookups: RefCell<Vec<(DriverRange, Access)>>,
}

impl Pages {
    fn new(pages: impl IntoIterator<Item = (u64, (u64, Access))>) -> Self {
        Self { table: pages.into_iter().collect(), lookups: RefCell::default() }
    }
}

impl Iommu for Pages {
    fn lookup(&self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError> {
        self.lookups.borrow_mut().push((range, access));
        let addr = range.start();
        let (page, allowed) = self.table.get(&(addr.0 / PAGE)).ok_or(TranslateError::Unmapped { addr })?;
        if !allowed.allows(access) {
            return Err(TranslateError::Denied { addr, access });
        }
        let offset = addr.0 % PAGE;
        let len = range.len().min(PAGE - offset);
        DriverRange::new(DriverAddr(MEMORY + page * PAGE + offset), len).ok_or(TranslateError::Unmapped { addr })
    }
}

/// Memory that notes what was reported to it.
struct Reports {
    heap: HeapMem,
    reports: RefCell<Vec<(u64, u64, bool)>>,
}

impl Reports {
    fn new() -> Self {
        Self { heap: HeapMem::new(DriverAddr(MEMORY), 0x1000).unwrap(), reports: RefCell::default() }
    }
}

impl DriverMem for Reports {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range, access)
    }

    fn before_read(&self, range: DriverRange) {
        self.reports.borrow_mut().push((range.start().0 - MEMORY, range.len(), false));
    }

    fn written(&self, range: DriverRange) {
        self.reports.borrow_mut().push((range.start().0 - MEMORY, range.len(), true));
    }
}

fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

#[test]
fn iommu_mem_keeps_the_contract_of_a_memory() {
    for access in [Access::ReadWrite, Access::Read, Access::Write] {
        let pages = Pages::new([(0, (5, access)), (1, (3, access)), (2, (4, access))]);
        let mem = IommuMem::new(Reports::new(), Some(&pages));
        check(&mem, &Probe { mapped: range(0, 3 * PAGE), access, absent: DriverAddr(3 * PAGE) });
    }
}

/// FEAT-11, FEAT-9: without the feature nothing is looked up, and addresses are what they are.
#[test]
fn iommu_mem_without_the_feature_asks_nobody() {
    let mem = IommuMem::new(Reports::new(), None::<&Pages>);
    assert!(mem.translate_all(range(MEMORY, 100), Access::ReadWrite).is_ok());
    mem.written(range(MEMORY, 100));
    assert_eq!(mem.translate(range(0, 1), Access::Read).err(), Some(TranslateError::Unmapped { addr: DriverAddr(0) }));
}

/// FEAT-11, FEAT-12, HOST-32: page by page, with the rights that were asked for, wherever the pages are.
#[test]
fn iommu_mem_translates_page_by_page() {
    let pages = Pages::new([(0, (9, Access::Read)), (1, (2, Access::Read)), (2, (7, Access::ReadWrite))]);
    let mem = IommuMem::new(Reports::new(), Some(&pages));
    assert_eq!(mem.translate(range(60, 100), Access::Read).unwrap().len(), 4);
    assert_eq!(mem.translate(range(64, 96), Access::Read).unwrap().len(), 64);
    let denied = TranslateError::Denied { addr: DriverAddr(64), access: Access::Write };
    assert_eq!(mem.translate(range(64, 1), Access::Write).err(), Some(denied));
    assert_eq!(
        mem.translate(range(3 * PAGE, 1), Access::Read).err(),
        Some(TranslateError::Unmapped { addr: DriverAddr(192) })
    );
    let lookups: Vec<_> = pages.lookups.take().into_iter().map(|(_, access)| access).collect();
    assert_eq!(lookups, [Access::Read, Access::Read, Access::Write, Access::Read]);
}

/// What is reported arrives by the addresses in memory, piece by piece, as far as it is mapped.
#[test]
fn iommu_mem_reports_by_the_addresses_in_memory() {
    let pages = Pages::new([(0, (9, Access::ReadWrite)), (1, (2, Access::ReadWrite))]);
    let mem = Reports::new();
    let behind = IommuMem::new(&mem, Some(&pages));
    behind.written(range(60, 10));
    behind.before_read(range(120, 100));
    assert_eq!(mem.reports.take(), [(9 * 64 + 60, 4, true), (2 * 64, 6, true), (2 * 64 + 56, 8, false)]);
}

/// LAY-4: the area of a ring may go from one page to another, too.
#[test]
fn iommu_mem_area_across_pages_works() {
    let pages = Pages::new([(0, (9, Access::ReadWrite)), (1, (2, Access::ReadWrite))]);
    let mem = IommuMem::new(Reports::new(), Some(&pages));
    let area = Area::<_, ReadWrite, 4>::new(&mem, range(32, 64)).unwrap();
    for offset in (0..64).step_by(4) {
        area.store_relaxed(offset, u32::try_from(offset).unwrap()).unwrap();
    }
    for offset in (0..64).step_by(4) {
        assert_eq!(area.load_relaxed::<u32>(offset), Ok(u32::try_from(offset).unwrap()));
    }
}
