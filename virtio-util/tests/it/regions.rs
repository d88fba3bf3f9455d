//! `RegionTable`.

use std::sync::{Arc, Mutex};
use std::thread;

use static_assertions::assert_impl_all;
use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, RegionCache, TranslateError,
};
use virtio_queue_core::SplitQueue;
use virtio_util::{NotificationCounter, RegionError, RegionTable};

use crate::driver::{BUFFER, BUFFERS, Driver, config, rings};
use crate::watchdog::Watchdog;

assert_impl_all!(RegionTable<Arc<HeapMem>>: Send, Sync);

fn range(start: u64, len: u64) -> DriverRange {
    DriverRange::new(DriverAddr(start), len).unwrap()
}

fn region(start: u64, len: usize) -> (DriverRange, Arc<HeapMem>) {
    let mem = HeapMem::new(DriverAddr(start), len).unwrap();
    (mem.range(), Arc::new(mem))
}

/// Two neighbours, a hole, one alone, a large hole, and two neighbours up to 2^64.
const LAYOUT: [(u64, usize); 5] =
    [(0x3000, 0x800), (0x1000, 0x1000), (0x2000, 0x100), (u64::MAX - 0x3ff, 0x400), (u64::MAX - 0x7ff, 0x400)];

fn table() -> RegionTable<Arc<HeapMem>> {
    RegionTable::new(LAYOUT.map(|(start, len)| region(start, len))).unwrap()
}

/// Looks through the regions one by one.
fn model(regions: &[(DriverRange, Arc<HeapMem>)], asked: DriverRange) -> Result<DeviceRange<'_>, TranslateError> {
    for (region, mem) in regions {
        let (first, last) = (region.start().0, region.start().0 + (region.len() - 1));
        if (first..=last).contains(&asked.start().0) {
            let available = last - asked.start().0 + 1;
            return mem.translate(range(asked.start().0, asked.len().min(available)), Access::ReadWrite);
        }
    }
    Err(TranslateError::Unmapped { addr: asked.start() })
}

fn check_translate(table: &RegionTable<Arc<HeapMem>>, asked: DriverRange) {
    let place = |piece: DeviceRange<'_>| (piece.as_ptr(), piece.len(), piece.access());
    let expected = model(table.regions(), asked).map(place);
    assert_eq!(table.translate(asked, Access::ReadWrite).map(place), expected, "{asked}");
    let Some(len) = u32::try_from(asked.len()).ok().filter(|len| *len > 0) else { return };
    for access in [Access::Read, Access::Write] {
        let expected = table.translate_all(asked, access).map(place).ok();
        let at_once = table.translate_at_once(asked.start(), len, access).map(place);
        assert!(at_once.is_none() || at_once == expected, "{asked}");
    }
}

#[test]
fn translate_at_every_boundary_is_as_the_model_has_it() {
    let table = table();
    for (start, len) in LAYOUT {
        let last = start + (len as u64 - 1);
        for addr in [start.wrapping_sub(1), start, start + 1, last - 1, last, last.wrapping_add(1)] {
            for len in [0, 1, 2, 0x100, 0x400, 0x401, u64::MAX] {
                check_translate(&table, range(addr, len.min((u64::MAX - addr).saturating_add(1))));
            }
        }
    }
}

#[test]
fn translate_of_random_ranges_is_as_the_model_has_it() {
    let table = table();
    // The multiplier is Knuth's, for MMIX.
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..100_000 {
        let addr = if random(2) == 0 { random(0x5000) } else { u64::MAX - random(0xc00) };
        let len = random(0x1800).min(u64::MAX - addr) + 1;
        check_translate(&table, range(addr, len));
    }
}

#[test]
fn translate_in_an_empty_table_is_unmapped() {
    let table: RegionTable<Arc<HeapMem>> = RegionTable::new([]).unwrap();
    check_translate(&table, range(0, 1));
    check_translate(&table, range(u64::MAX, 1));
    table.written(range(0, 1));
}

#[test]
fn translate_from_threads_finds_each_region() {
    let _watchdog = Watchdog::new();
    let table = table();
    thread::scope(|scope| {
        for (start, _) in LAYOUT {
            let table = &table;
            scope.spawn(move || (0..1000).for_each(|offset| check_translate(table, range(start + offset % 0x100, 1))));
        }
    });
}

#[test]
fn new_with_regions_that_make_no_table_is_an_error() {
    let top = range(u64::MAX, 1);
    for (ranges, expected) in [
        (vec![range(5, 0)], RegionError::Empty { addr: DriverAddr(5) }),
        (vec![range(0, 9), range(4, 0)], RegionError::Empty { addr: DriverAddr(4) }),
        (vec![range(0, 9), range(0, 9)], RegionError::Overlap { low: range(0, 9), high: range(0, 9) }),
        (vec![range(8, 2), range(0, 9)], RegionError::Overlap { low: range(0, 9), high: range(8, 2) }),
        (vec![range(0, 9), range(3, 1), range(9, 9)], RegionError::Overlap { low: range(0, 9), high: range(3, 1) }),
        (vec![top, range(1, u64::MAX)], RegionError::Overlap { low: range(1, u64::MAX), high: top }),
    ] {
        let mem = region(0, 64).1;
        let regions = ranges.into_iter().map(|range| (range, mem.clone()));
        assert_eq!(RegionTable::new(regions).unwrap_err(), expected);
    }
}

#[test]
fn region_of_many_is_found_at_once() {
    let len_of = |index| if index == 7 { 0x2000 } else { 0x1000 };
    let regions = (0..512).map(|index| region(0x1000 + 0x2000 * index, len_of(index)));
    let table = RegionTable::new(regions.collect::<Vec<_>>()).unwrap();
    for (range, mem) in table.regions() {
        let len = u32::try_from(range.len()).unwrap();
        for access in [Access::Read, Access::Write] {
            let piece = table.translate_at_once(range.start(), len, access).unwrap();
            let expected = mem.translate_all(*range, access).unwrap();
            assert_eq!((piece.as_ptr(), piece.len(), piece.access()), (expected.as_ptr(), expected.len(), access));
            assert!(table.translate_at_once(range.start(), len + 1, access).is_none());
        }
    }
}

#[test]
fn with_and_without_make_other_tables() {
    let [one, two, three] = [0x1000, 0x2000, 0x3000].map(|start| region(start, 0x1000));
    let first = RegionTable::new([two.clone()]).unwrap();
    let second = first.with(three.clone()).unwrap().with(one.clone()).unwrap();
    let third = second.without(two.0).unwrap();
    let ranges = |table: &RegionTable<_>| table.regions().iter().map(|(range, _)| *range).collect::<Vec<_>>();
    assert_eq!(ranges(&first), [two.0]);
    assert_eq!(ranges(&second), [one.0, two.0, three.0]);
    assert_eq!(ranges(&third), [one.0, three.0]);
    assert_eq!(second.with(two.clone()).unwrap_err(), RegionError::Overlap { low: two.0, high: two.0 });
    let part = two.0.prefix(1);
    assert_eq!(second.without(part).unwrap_err(), RegionError::Absent { range: part });
}

/// Memory that keeps the reports.
struct Reports {
    heap: HeapMem,
    read: Mutex<Vec<DriverRange>>,
    written: Mutex<Vec<DriverRange>>,
}

impl DriverMem for Reports {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range, access)
    }

    fn before_read(&self, range: DriverRange) {
        self.read.lock().unwrap().push(range);
    }

    fn written(&self, range: DriverRange) {
        self.written.lock().unwrap().push(range);
    }
}

#[test]
fn reports_reach_the_regions_that_they_touch() {
    let table = RegionTable::new([0x1000, 0x2000, 0x4000].map(|start| {
        let heap = HeapMem::new(DriverAddr(start), 0x1000).unwrap();
        (heap.range(), Arc::new(Reports { heap, read: Mutex::default(), written: Mutex::default() }))
    }));
    let table = table.unwrap();
    assert!(table.reports(Access::Read) && table.reports(Access::Write));
    for (reported, expected) in [
        (range(0x1000, 1), vec![range(0x1000, 1)]),
        (range(0x1ff0, 0x10), vec![range(0x1ff0, 0x10)]),
        (range(0x1ff0, 0x20), vec![range(0x1ff0, 0x10), range(0x2000, 0x10)]),
        (range(0x2fff, 2), vec![range(0x2fff, 1)]),
        (range(0x2fff, 0x1002), vec![range(0x2fff, 1), range(0x4000, 1)]),
        (range(0, 0x8000), vec![range(0x1000, 0x1000), range(0x2000, 0x1000), range(0x4000, 0x1000)]),
        (range(0x3000, 0x1000), vec![]),
        (range(0x5000, 1), vec![]),
    ] {
        let reports = |kept: fn(&Reports) -> &Mutex<Vec<DriverRange>>| -> Vec<_> {
            table.regions().iter().flat_map(|(_, mem)| kept(mem).lock().unwrap().split_off(0)).collect()
        };
        table.before_read(reported);
        assert_eq!((reports(|mem| &mem.read), reports(|mem| &mem.written)), (expected.clone(), vec![]), "{reported}");
        table.written(reported);
        assert_eq!((reports(|mem| &mem.read), reports(|mem| &mem.written)), (vec![], expected), "{reported}");
    }
}

#[test]
fn reports_are_wanted_if_one_region_wants_them() {
    struct Wanted(HeapMem, Option<Access>);
    impl DriverMem for Wanted {
        fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
            self.0.translate(range, access)
        }

        fn reports(&self, access: Access) -> bool {
            self.1 == Some(access)
        }
    }
    for (wanted, expected) in
        [(None, [false; 2]), (Some(Access::Read), [true, false]), (Some(Access::Write), [false, true])]
    {
        let heap = |start| HeapMem::new(DriverAddr(start), 0x100).unwrap();
        let regions = [(0x1000, None), (0x2000, wanted), (0x3000, None)];
        let region = |(start, wanted)| (range(start, 0x100), Arc::new(Wanted(heap(start), wanted)));
        let table = RegionTable::new(regions.map(region));
        let table = table.unwrap();
        assert_eq!([Access::Read, Access::Write].map(|access| table.reports(access)), expected);
        assert_eq!(table.reports(Access::ReadWrite), wanted.is_some());
    }
}

#[test]
fn report_up_to_2_64_reaches_the_regions() {
    for (start, len, reported, expected) in [
        (0, 4, range(1, u64::MAX), range(1, 3)),
        (0, 0x1000, range(1, u64::MAX), range(1, 0xfff)),
        (0x1000, 4, range(1, u64::MAX), range(0x1000, 4)),
        (u64::MAX, 1, range(1, u64::MAX), range(u64::MAX, 1)),
        (u64::MAX - 0xfff, 0x1000, range(u64::MAX - 1, 2), range(u64::MAX - 1, 2)),
    ] {
        let heap = HeapMem::new(DriverAddr(start), len).unwrap();
        let mem = Reports { heap, read: Mutex::default(), written: Mutex::default() };
        let table = RegionTable::new([(mem.heap.range(), Arc::new(mem))]).unwrap();
        table.written(reported);
        assert_eq!(*table.regions()[0].1.written.lock().unwrap(), [expected], "{reported}");
    }
}

#[test]
fn region_is_the_part_of_its_memory_that_is_in_the_table() {
    let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x4000).unwrap());
    let table =
        RegionTable::new([range(0x1000, 0x100), range(0x2000, 0x1000)].map(|range| (range, mem.clone()))).unwrap();
    for (asked, region) in [
        (range(0x1080, 1), range(0x1000, 0x100)),
        (range(0x10ff, 0x2000), range(0x1000, 0x100)),
        (range(0x2000, 8), range(0x2000, 0x1000)),
        (range(0x2fff, 0), range(0x2000, 0x1000)),
    ] {
        let (around, piece) = table.region(asked, Access::ReadWrite).unwrap();
        let expected = mem.translate(region, Access::ReadWrite).unwrap();
        assert_eq!((around, piece.as_ptr(), piece.len()), (region, expected.as_ptr(), expected.len()));
    }
    for addr in [0xfff, 0x1100, 0x1fff, 0x3000] {
        let unmapped = TranslateError::Unmapped { addr: DriverAddr(addr) };
        assert_eq!(table.region(range(addr, 1), Access::Read).map(|_| ()), Err(unmapped));
    }
}

/// A table is as good as its regions: one of them that says nothing may be behind an IOMMU.
#[test]
fn translations_last_if_they_do_in_every_region() {
    assert!(table().translations_last());
    let regions = [(0x1000, true), (0x2000, false)].map(|(start, last)| {
        let (range, heap) = region(start, 0x1000);
        let silent = Reports {
            heap: HeapMem::new(range.start(), 0x1000).unwrap(),
            read: Mutex::default(),
            written: Mutex::default(),
        };
        (range, if last { heap as Arc<dyn DriverMem> } else { Arc::new(silent) })
    });
    let both = RegionTable::new(regions.clone()).unwrap();
    assert!(!both.translations_last());
    assert!(both.without(regions[1].0).unwrap().translations_last());
}

#[test]
fn suite_on_tables_passes() {
    let table = table();
    for (mapped, absent) in [
        (range(0x1000, 0x1100), 0x2100),
        (range(0x1fc0, 0x80), 0xfff),
        (range(0x3000, 0x800), 0x2fff),
        (range(u64::MAX - 0x7ff, 0x800), u64::MAX - 0x800),
    ] {
        let probe = Probe { mapped, access: Access::ReadWrite, absent: DriverAddr(absent) };
        check(&table, &probe);
        check(&RegionCache::new(&table), &probe);
    }
}

/// LAY-4
#[test]
fn queue_on_a_shared_table_runs_in_another_thread() {
    let _watchdog = Watchdog::new();
    let rings = rings();
    let table = RegionTable::new([(rings.range(), Arc::new(rings)), region(BUFFERS, 0x1000)]).unwrap();
    let table = Arc::new(table);
    let driver = Driver::new(&table);
    let mut queue = SplitQueue::new(&config(), table.clone(), NotificationCounter::new()).unwrap();
    driver.offer(2);
    let device = thread::spawn(move || {
        let chain = queue.next_chain().unwrap().unwrap();
        let element = chain.walk().next().unwrap().unwrap();
        let buffer = chain.mem().translate_all(element.range, element.access).unwrap();
        buffer.write(0, b"virtio").unwrap();
        chain.return_written(6).unwrap();
    });
    device.join().unwrap();
    assert_eq!(driver.used(), [(2, 6)]);
    let buffer = table.translate(range(BUFFERS + 2 * u64::from(BUFFER), 6), Access::Read).unwrap();
    assert_eq!(buffer.read::<[u8; 6]>(0).unwrap(), *b"virtio");
}
