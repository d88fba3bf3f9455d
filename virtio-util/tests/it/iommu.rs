//! Memory behind an IOMMU: pages in any order, each with rights of its own.

use core::cell::RefCell;
use std::collections::BTreeMap;

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, Area, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, ReadWrite, RegionCache, TranslateError,
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

/// Pages whose table changes while a device runs.
struct Remapped(RefCell<Pages>);

impl Remapped {
    /// Maps page 0 to the page `to`, to be accessed in one way and no other.
    fn map(&self, to: u64, access: Access) {
        self.0.borrow_mut().table.insert(0, (to, access));
    }
}

impl Iommu for Remapped {
    fn lookup(&self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError> {
        self.0.borrow().lookup(range, access)
    }
}

/// FEAT-11: an honest driver unmaps a page when its buffer comes back, and uses the address for another one. What the
/// device writes then is in the new page, and not in the one that was given back.
#[test]
fn iommu_mem_behind_a_region_cache_forgets_what_is_not_mapped_any_more() {
    let pages = Remapped(RefCell::default());
    let heap = HeapMem::new(DriverAddr(MEMORY), 0x1000).unwrap();
    let mem = IommuMem::new(&heap, Some(&pages));
    let cache = RegionCache::new(&mem);
    for round in 0..40_u64 {
        let page = 1 + round % 3;
        pages.map(page, Access::Write);
        let written = u8::try_from(round).unwrap();
        cache.translate_all(range(8, 1), Access::Write).unwrap().write(0, &written).unwrap();
        pages.map(page, Access::Read);
        assert_eq!(cache.translate_all(range(8, 1), Access::Read).unwrap().read::<u8>(0), Ok(written), "round {round}");
    }
    pages.0.borrow_mut().table.clear();
    for access in [Access::Read, Access::Write] {
        let unmapped = TranslateError::Unmapped { addr: DriverAddr(8) };
        assert_eq!(cache.translate(range(8, 1), access).err(), Some(unmapped), "{access}");
    }
}

/// FEAT-12: a driver that maps each buffer for what the device does with it, as Linux does, sees no fault.
#[test]
fn iommu_mem_behind_a_region_cache_is_asked_for_one_right() {
    let pages = Pages::new([(0, (5, Access::Read)), (1, (3, Access::Write))]);
    let heap = HeapMem::new(DriverAddr(MEMORY), 0x1000).unwrap();
    let mem = IommuMem::new(&heap, Some(&pages));
    let cache = RegionCache::new(&mem);
    for _ in 0..40 {
        assert!(cache.translate_all(range(0, 16), Access::Read).is_ok());
        assert!(cache.translate_all(range(PAGE, 16), Access::Write).is_ok());
    }
    let mut asked = pages.lookups.take();
    asked.dedup();
    assert_eq!(asked.len(), 80, "each address is looked up when it is used");
    let right = |range: DriverRange| if range.start().0 == 0 { Access::Read } else { Access::Write };
    assert!(asked.iter().all(|(range, access)| *access == right(*range)));
}

/// Without the feature it is as the memory behind it is, whose regions can be remembered.
#[test]
fn iommu_mem_translations_last_without_an_iommu_alone() {
    let heap = HeapMem::new(DriverAddr(MEMORY), 0x1000).unwrap();
    let straight = IommuMem::new(&heap, None::<&Pages>);
    assert!(straight.translations_last());
    assert_eq!(straight.region(range(MEMORY + 8, 8), Access::Read).unwrap().0, heap.range());
    let pages = Pages::new([(0, (9, Access::Read))]);
    let behind = IommuMem::new(&heap, Some(&pages));
    assert!(!behind.translations_last());
    assert_eq!(behind.region(range(8, PAGE), Access::Read).unwrap().0, range(8, PAGE - 8));
    assert!(!IommuMem::new(Reports::new(), None::<&Pages>).translations_last());
}
