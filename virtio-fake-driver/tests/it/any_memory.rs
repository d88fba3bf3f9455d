//! The driver over memories that are not the heap's.

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use virtio_fake_driver::features::{INDIRECT_DESC, RING_PACKED};
use virtio_fake_driver::{
    Any, Driver, DriverChain, DriverOptions, DriverView, FixtureOptions, Format, MemEvent, Packed, QueueFormat, Split,
    SplitFixtureOptions, TestMem,
};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
use virtio_queue_core::ConfigError;
use virtio_util::RegionTable;

use crate::echo;
use crate::support::{heap, panic_of, range, serve};

/// Regions of so many bytes one after the other, from 0x1000 on, with a hole after the last.
fn regions(lens: &[usize]) -> Arc<RegionTable<Arc<HeapMem>>> {
    let mut start = 0x1000;
    let regions = lens.iter().map(|len| {
        let mem = HeapMem::new(DriverAddr(start), *len).unwrap();
        start += *len as u64;
        (mem.range(), Arc::new(mem))
    });
    Arc::new(RegionTable::new(regions).unwrap())
}

/// Memory that is never contiguous for more than 16 bytes, takes note of each report, and is for one thread.
struct Crumbs {
    heap: HeapMem,
    reports: RefCell<Vec<MemEvent>>,
}

impl Crumbs {
    fn new() -> Rc<Self> {
        let heap = HeapMem::new(DriverAddr(0x1000), 0x4000).unwrap();
        Rc::new(Self { heap, reports: RefCell::default() })
    }

    fn take_reports(&self) -> Vec<MemEvent> {
        self.reports.take()
    }
}

impl DriverMem for Crumbs {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range.prefix(16 - range.start().0 % 16), access)
    }

    fn before_read(&self, range: DriverRange) {
        self.reports.borrow_mut().push(MemEvent::Read(range));
    }

    fn written(&self, range: DriverRange) {
        self.reports.borrow_mut().push(MemEvent::Written(range));
    }
}

/// Sends random chains through queues of all kinds in `range` of a memory.
fn check_traffic<F: QueueFormat>(mem: &(impl DriverMem + Clone), within: DriverRange, more_features: u64) {
    for features in echo::FEATURES.map(|features| features | more_features) {
        let options = FixtureOptions::<F> { size: 8, features, scramble: Some(7), ..Default::default() };
        echo::check(options.build_within(mem, within, |mem, _| mem).unwrap(), 300, 300);
    }
}

fn check_formats(mem: &(impl DriverMem + Clone), within: DriverRange) {
    check_traffic::<Split>(mem, within, 0);
    check_traffic::<Packed>(mem, within, 0);
    check_traffic::<Any>(mem, within, RING_PACKED);
}

#[test]
fn random_chains_go_through_the_heap() {
    check_formats(&heap(), range(0x1000, 0x4000));
}

/// LAY-4
#[test]
fn random_chains_go_through_regions_whose_borders_cut_rings_and_buffers() {
    for lens in [&[0x2000, 0x2000][..], &[0x10, 0x30, 0x50, 0x20, 0x100, 0x40, 0x2000, 0x1000], &[0x40; 128]] {
        check_formats(&regions(lens), range(0x1000, 0x2000));
    }
}

/// LAY-4
#[test]
fn random_chains_go_through_memory_in_crumbs() {
    check_formats(&Crumbs::new(), range(0x1000, 0x4000));
}

#[test]
fn device_is_tested_with_a_log_over_any_memory() {
    let options = SplitFixtureOptions { size: 8, ..Default::default() };
    let (mem, within) = (Crumbs::new(), range(0x1000, 0x4000));
    let mut fixture = options.build_within(mem.clone(), within, |mem, _| Rc::new(TestMem::new(mem))).unwrap();
    fixture.mem.start_log();
    mem.take_reports();
    fixture.driver.add(&DriverChain::new().readable(b"12").writable(1)).unwrap();
    assert!(fixture.driver.needs_kick());
    assert_eq!((fixture.mem.take_log(), mem.take_reports()), (vec![], vec![]), "the driver is not the device");

    assert_eq!(serve(&mut fixture.queue), Ok(1));
    let log = fixture.mem.take_log().into_iter().filter(|event| !matches!(event, MemEvent::Translate { .. }));
    let reports = mem.take_reports();
    assert!(reports.contains(&MemEvent::Written(fixture.driver.areas().used_index())));
    assert_eq!(log.collect::<Vec<_>>(), reports, "the memory inside hears of the same");

    fixture.driver.reap().unwrap().unwrap();
    assert_eq!((fixture.mem.take_log(), mem.take_reports()), (vec![], vec![]));
}

#[test]
fn bytes_go_across_the_borders_of_regions() {
    let mem = regions(&[3, 1, 4]);
    let view = DriverView::new(&mem);
    view.poke(DriverAddr(0x1001), b"abcdef");
    assert_eq!(view.peek(DriverAddr(0x1000), 8), b"\0abcdef\0");
    let parts = mem.regions().iter().map(|(range, part)| {
        let len = usize::try_from(range.len()).unwrap();
        DriverView::new(part).peek(range.start(), len)
    });
    assert_eq!(parts.collect::<Vec<_>>(), [&b"\0ab"[..], b"c", b"def\0"]);
}

#[test]
fn no_bytes_are_read_and_written_where_nothing_is() {
    let view = DriverView::new(regions(&[4]));
    view.poke(DriverAddr(0x9000), b"");
    assert_eq!(view.peek(DriverAddr(0x9000), 0), b"");
}

#[test]
fn access_to_what_is_not_there_is_refused_in_plain_words() {
    let view = DriverView::new(regions(&[4]));
    let read = |addr, len| panic_of(|| view.peek(DriverAddr(addr), len));
    assert_eq!(
        read(0x1002, 3),
        "the driver needs 3 bytes at 0x1002: no driver memory at 0x1004: the address must lie in memory that driver \
         and device share"
    );
    assert_eq!(read(u64::MAX, 2), "2 bytes at 0xffffffffffffffff end beyond 2^64");
    let write = panic_of(|| view.poke(DriverAddr(0xfff), &[1; 5]));
    assert_eq!(
        write,
        "the driver needs 5 bytes at 0xfff: no driver memory at 0xfff: the address must lie in memory that driver and \
         device share"
    );
}

/// Fills all of the memory, lets a driver have a part of it, and checks that the rest stays as it is.
fn check_range<F: Format>(features: u64) {
    let (mem, within) = (regions(&[0x800, 0x800, 0x1000]), range(0x1400, 0x800));
    let view = DriverView::new(&mem);
    view.poke(DriverAddr(0x1000), &[0xcc; 0x2000]);
    let options = DriverOptions { features, ..Default::default() };
    let mut driver = Driver::<F, _>::within(&mem, within, 4, options);
    for size in [8, 2] {
        while driver.add(&DriverChain::new().readable([1; 100]).writable(150).indirect()).is_ok() {}
        assert_ne!(driver.in_flight(), 0);
        driver = driver.reset(size);
    }
    assert_eq!(view.peek(DriverAddr(0x1000), 0x400), [0xcc; 0x400]);
    assert_eq!(view.peek(DriverAddr(0x1c00), 0x1400), [0xcc; 0x1400]);
}

#[test]
fn driver_stays_in_its_range_also_after_a_reset() {
    check_range::<Split>(INDIRECT_DESC);
    check_range::<Packed>(INDIRECT_DESC);
    check_range::<Any>(INDIRECT_DESC | RING_PACKED);
}

#[test]
fn device_without_a_part_of_the_memory_makes_no_queue() {
    let options = SplitFixtureOptions { size: 8, ..Default::default() };
    let built = options.build_within(regions(&[0x2000]), range(0x1000, 0x2000), |_, _| regions(&[0x10]));
    assert!(matches!(built.map(drop), Err(ConfigError::Area { .. })));
}
