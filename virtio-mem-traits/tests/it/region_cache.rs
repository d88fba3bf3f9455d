//! `RegionCache`.

use core::cell::{Cell, RefCell};

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, AccessError, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, RegionCache, TranslateError,
};

use crate::memories::{FnMem, Logged, Pieces, Report, SplitMem, heap, range};

/// Memory that counts how often it is asked.
struct Counted<M> {
    mem: M,
    asked: Cell<usize>,
}

impl<M: DriverMem> Counted<M> {
    fn new(mem: M) -> Self {
        Self { mem, asked: Cell::new(0) }
    }
}

impl<M: DriverMem> DriverMem for Counted<M> {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.asked.set(self.asked.get() + 1);
        self.mem.translate(range, access)
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.asked.set(self.asked.get() + 1);
        self.mem.region(range, access)
    }

    fn translations_last(&self) -> bool {
        self.mem.translations_last()
    }
}

fn place(piece: DeviceRange<'_>) -> (*mut u8, usize, Access) {
    (piece.as_ptr().as_ptr(), piece.len(), piece.access())
}

#[test]
fn address_in_the_region_that_is_remembered_is_not_asked_for() {
    let mem = Counted::new(heap(0x1000, 0x1000));
    let cache = RegionCache::new(&mem);
    for (start, len) in [(0x1800, 8), (0x1000, 1), (0x1fff, 1), (0x1000, 0x1000), (0x1234, 0)] {
        for access in [Access::Read, Access::Write] {
            let expected = mem.mem.translate(range(start, len), access).map(place);
            assert_eq!(cache.translate(range(start, len), access).map(place), expected);
            assert_eq!(cache.translate_all(range(start, len), access).map(place), expected);
        }
    }
    assert_eq!(mem.asked.take(), 4, "to read and to write: for the first range, and for the region around it");
    // What is not all in it is asked for.
    assert_eq!(cache.translate(range(0x1fff, 2), Access::Read).unwrap().len(), 1);
    let fragmented = Err(TranslateError::Fragmented { addr: DriverAddr(0x1fff) });
    assert_eq!(cache.translate_all(range(0x1fff, 2), Access::Read).map(place), fragmented);
    for addr in [0, 0xfff, 0x2000, u64::MAX] {
        let unmapped = Err(TranslateError::Unmapped { addr: DriverAddr(addr) });
        assert_eq!(cache.translate(range(addr, 1), Access::Read).map(place), unmapped);
    }
    assert_eq!(mem.asked.get(), 6);
}

#[test]
fn address_that_is_asked_for_to_be_read_and_written_is_the_memory_s_answer() {
    let mem = Counted::new(heap(0x1000, 0x1000));
    let cache = RegionCache::new(&mem);
    for asked in 1..20 {
        let expected = mem.mem.translate(range(0x1800, 8), Access::ReadWrite).map(place);
        assert_eq!(cache.translate(range(0x1800, 8), Access::ReadWrite).map(place), expected);
        assert_eq!(mem.asked.get(), asked);
    }
}

#[test]
fn region_that_is_asked_for_often_is_not_forgotten_for_one_that_is_not() {
    let mem = Counted::new(Pieces(vec![heap(0x1000, 0x1000), heap(0x4000, 0x1000)]));
    let cache = RegionCache::new(&mem);
    let asks = |start| {
        let before = mem.asked.take();
        cache.translate(range(start, 8), Access::Read).unwrap();
        mem.asked.replace(before)
    };
    assert_eq!(asks(0x1000), 2);
    for _ in 0..15 {
        assert_eq!((asks(0x1000), asks(0x4000)), (0, 1));
    }
    assert_eq!((asks(0x4000), asks(0x4000)), (2, 0));
    assert_eq!(asks(0x1000), 1);
}

#[test]
fn access_is_the_one_that_was_asked_for() {
    let mem = heap(0x1000, 0x1000);
    let cache = RegionCache::new(&mem);
    for _ in 0..2 {
        let read = cache.translate(range(0x1000, 8), Access::Read).unwrap();
        assert!(matches!(read.write(0, &1_u8), Err(AccessError::Denied { .. })));
        let write = cache.translate(range(0x1000, 8), Access::Write).unwrap();
        assert!(matches!(write.read::<u8>(0), Err(AccessError::Denied { .. })));
    }
}

/// FEAT-12: what may only be read is remembered for reading alone, and the memory hears of no other right that nobody
/// asked for.
#[test]
fn region_that_may_only_be_read_is_remembered_to_be_read() {
    let mem = Counted::new(FnMem {
        heap: heap(0x1000, 0x1000),
        translate: |heap, range, access| match access {
            Access::Read => heap.translate(range, access),
            _ => Err(TranslateError::Denied { addr: range.start(), access }),
        },
    });
    let cache = RegionCache::new(&mem);
    for asked in [2, 0, 0] {
        assert!(cache.translate(range(0x1800, 8), Access::Read).is_ok());
        assert_eq!(mem.asked.take(), asked, "for the first, and for the region around it");
    }
    for asked in [2, 1, 1] {
        let denied = Err(TranslateError::Denied { addr: DriverAddr(0x1800), access: Access::Write });
        assert_eq!(cache.translate(range(0x1800, 8), Access::Write).map(place), denied);
        assert_eq!(mem.asked.take(), asked, "for each, and for the region around it once");
    }
}

/// Memory that notes what it is asked for, and whose translations last or do not.
struct Rights {
    heap: HeapMem,
    last: bool,
    asked: RefCell<Vec<Access>>,
}

impl Rights {
    fn new(last: bool) -> Self {
        Self { heap: heap(0x1000, 0x1000), last, asked: RefCell::default() }
    }
}

impl DriverMem for Rights {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.asked.borrow_mut().push(access);
        self.heap.translate(range, access)
    }

    fn translations_last(&self) -> bool {
        self.last
    }
}

/// FEAT-12
#[test]
fn memory_is_asked_for_the_rights_that_the_caller_asked_for() {
    let mem = Rights::new(true);
    let cache = RegionCache::new(&mem);
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        for addr in (0x1000..0x1800).step_by(8) {
            cache.translate(range(addr, 8), access).unwrap();
        }
        assert!(mem.asked.take().iter().all(|asked| *asked == access), "{access:?}");
    }
}

/// FEAT-11: each address is looked up where it is used.
#[test]
fn nothing_is_remembered_where_translations_do_not_last() {
    let mem = Rights::new(false);
    let cache = RegionCache::new(&mem);
    assert!(!cache.translations_last() && RegionCache::new(&Rights::new(true)).translations_last());
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        for _ in 0..40 {
            cache.translate(range(0x1000, 8), access).unwrap();
            assert_eq!(mem.asked.take(), [access]);
            cache.translate_all(range(0x1000, 8), access).unwrap();
            assert_eq!(mem.asked.take(), [access]);
        }
    }
}

/// Nobody asked for more rights than a memory has given is told that it has them.
#[test]
fn region_with_fewer_rights_than_asked_for_is_not_remembered() {
    let mem = FnMem { heap: heap(0x1000, 0x1000), translate: |heap, range, _| heap.translate(range, Access::Read) };
    let cache = RegionCache::new(&mem);
    for _ in 0..2 {
        assert_eq!(cache.translate(range(0x1000, 8), Access::Write).unwrap().access(), Access::Read);
    }
}

#[test]
fn answer_from_a_memory_without_regions_is_remembered_as_far_as_it_goes() {
    let mem = Counted::new(SplitMem::new(0x1000, 0x1000, 0x1800));
    let cache = RegionCache::new(&mem);
    for (start, len, asked) in
        [(0x1700, 0x80, 2), (0x1710, 0x10, 2), (0x1700, 0x81, 3), (0x1700, 0x80, 3), (0x1800, 1, 4)]
    {
        let expected = mem.mem.translate(range(start, len), Access::Read).map(place);
        assert_eq!(cache.translate(range(start, len), Access::Read).map(place), expected);
        assert_eq!(mem.asked.get(), asked, "{start:#x}");
    }
}

/// A memory that breaks its contract and answers with more than it was asked for has said nothing of what is beyond.
#[test]
fn memory_beyond_its_region_is_not_remembered() {
    let mem = Counted::new(FnMem {
        heap: heap(0x1000, 0x1000),
        translate: |heap, range, access| heap.translate(DriverRange::new(range.start(), 0x100).unwrap(), access),
    });
    let cache = RegionCache::new(&mem);
    for (start, asked) in [(0x1000, 2), (0x1000, 2), (0x1008, 3), (0x1007, 4)] {
        assert!(cache.translate(range(start, 8), Access::Read).is_ok());
        assert_eq!(mem.asked.get(), asked, "{start:#x}");
    }
}

#[test]
fn reports_reach_the_memory() {
    let mem = Logged::new(heap(0x1000, 0x1000));
    let cache = RegionCache::new(&mem);
    cache.before_read(range(0x1000, 4));
    cache.written(range(0x1004, 4));
    assert_eq!(mem.take(), [Report::BeforeRead(range(0x1000, 4)), Report::Written(range(0x1004, 4))]);
}

#[test]
fn suite_on_caches_passes() {
    let probe = Probe { mapped: range(0x1000, 0x1000), access: Access::ReadWrite, absent: DriverAddr(0x2000) };
    check(&RegionCache::new(&heap(0x1000, 0x1000)), &probe);
    check(&RegionCache::new(&SplitMem::new(0x1000, 0x1000, 0x1801)), &probe);
    let pieces = Pieces(vec![heap(0x1000, 0x800), heap(0x1800, 0x800)]);
    check(&RegionCache::new(&pieces), &probe);
}
