//! The provided methods of `DriverMem`, and its implementations for handles.

use std::rc::Rc;
use std::sync::Arc;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, StableMem, TranslateError};

use crate::memories::{FnMem, Logged, Report, SplitMem, heap, range};

assert_impl_all!(&'static HeapMem: StableMem);
assert_impl_all!(&'static dyn DriverMem: StableMem);
assert_impl_all!(Rc<HeapMem>: StableMem);
assert_impl_all!(Rc<dyn DriverMem>: StableMem);
assert_impl_all!(Arc<HeapMem>: StableMem);
assert_impl_all!(Arc<dyn DriverMem>: StableMem);
assert_impl_all!(&'static Box<HeapMem>: StableMem);
assert_impl_all!(Arc<Box<dyn DriverMem>>: StableMem);
// A box may be moved, and moving it asserts that nobody else points inside.
assert_impl_all!(Box<HeapMem>: DriverMem);
assert_not_impl_any!(Box<HeapMem>: StableMem);
assert_not_impl_any!(HeapMem: StableMem);
assert_not_impl_any!(&'static mut HeapMem: StableMem);

/// Checks that `handle` gives all of the interface of `mem`, a memory at 0x1000.
fn check_handle<H: DriverMem>(handle: H, mem: &Logged<HeapMem>) {
    let part = range(0x1010, 4);
    let through_handle = handle.translate(part, Access::Write).unwrap();
    let direct = mem.translate(part, Access::Write).unwrap();
    assert_eq!(through_handle.as_ptr(), direct.as_ptr());
    assert_eq!((through_handle.len(), through_handle.access()), (4, Access::Write));
    assert_eq!(
        handle.translate_all(range(0, 1), Access::Read).unwrap_err(),
        TranslateError::Unmapped { addr: DriverAddr(0) }
    );
    assert_eq!(mem.take(), []);
    assert_eq!(handle.region(part, Access::Write).unwrap().0, mem.mem.range());
    assert!(handle.translations_last());
    handle.before_read(part);
    handle.written(part.after(2));
    assert_eq!(mem.take(), [Report::BeforeRead(part), Report::Written(part.after(2))]);
}

#[test]
fn handles_forward_everything() {
    let mem = Logged::new(heap(0x1000, 0x100));
    check_handle(&mem, &mem);
    check_handle(&mem as &dyn DriverMem, &mem);
    check_handle(Box::new(&mem), &mem);
    check_handle(Box::new(&mem) as Box<dyn DriverMem + '_>, &mem);
    check_handle(Rc::new(&mem), &mem);
    check_handle(Rc::new(&mem) as Rc<dyn DriverMem + '_>, &mem);
    check_handle(Arc::new(&mem), &mem);
    check_handle(Arc::new(&mem) as Arc<dyn DriverMem + '_>, &mem);
}

/// Memory that has no answers but those that are for speed.
struct OnlyQuick(HeapMem);

impl DriverMem for OnlyQuick {
    fn translate(&self, range: DriverRange, _: Access) -> Result<DeviceRange<'_>, TranslateError> {
        Err(TranslateError::Unmapped { addr: range.start() })
    }

    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.0.translate_at_once(addr, len, access)
    }

    fn reports(&self, access: Access) -> bool {
        access == Access::Read
    }
}

#[test]
fn handles_forward_what_is_for_speed() {
    let mem = OnlyQuick(heap(0x1000, 0x100));
    let handles: [&dyn DriverMem; 4] = [&&mem, &Box::new(&mem), &Rc::new(&mem), &Arc::new(&mem)];
    for handle in handles {
        let piece = handle.translate_at_once(DriverAddr(0x1010), 4, Access::Write).unwrap();
        assert_eq!((piece.len(), piece.access()), (4, Access::Write));
        assert!(handle.reports(Access::Read) && !handle.reports(Access::Write));
    }
}

#[test]
fn memory_that_says_nothing_answers_at_once_what_is_in_one_piece_and_wants_reports() {
    let mem = SplitMem::new(0x1000, 0x100, 0x1081);
    for (addr, len, answers) in [(0x1000, 0x81, true), (0x1000, 0x82, false), (0xfff, 1, false), (u64::MAX, 2, false)] {
        assert_eq!(mem.translate_at_once(DriverAddr(addr), len, Access::Read).is_some(), answers, "{addr:#x}+{len:#x}");
    }
    assert!(mem.reports(Access::Read) && mem.reports(Access::Write));
    assert!(!heap(0x1000, 0x100).reports(Access::ReadWrite));
}

/// A memory that says nothing of it may be behind an IOMMU.
#[test]
fn translations_of_a_memory_that_does_not_say_do_not_last() {
    struct Silent;
    impl DriverMem for Silent {
        fn translate(&self, range: DriverRange, _: Access) -> Result<DeviceRange<'_>, TranslateError> {
            Err(TranslateError::Unmapped { addr: range.start() })
        }
    }
    assert!(!Silent.translations_last());
    assert!(!(&Silent as &dyn DriverMem).translations_last());
    assert!(!Arc::new(Silent).translations_last());
    assert!(heap(0x1000, 0x100).translations_last());
}

#[test]
fn reports_to_a_memory_that_wants_none_do_nothing() {
    let mem = heap(0x1000, 0x100);
    mem.before_read(range(0, 1));
    mem.written(range(0, 1));
}

#[test]
fn translate_all_in_one_piece_is_all_of_it() {
    let mem = SplitMem::new(0x1000, 0x100, 0x1081);
    for part in [range(0x1000, 0x81), range(0x1081, 0x7f), range(0x1000, 1), range(0x1010, 0)] {
        assert_eq!(mem.translate_all(part, Access::Read).unwrap().len() as u64, part.len(), "{part}");
    }
}

#[test]
fn translate_all_of_less_is_fragmented() {
    let mem = SplitMem::new(0x1000, 0x100, 0x1081);
    for part in [range(0x1000, 0x82), range(0x1080, 2), range(0x1081, 0x80), range(0x1000, u64::MAX - 0xfff)] {
        let error = TranslateError::Fragmented { addr: part.start() };
        assert_eq!(mem.translate_all(part, Access::Read).unwrap_err(), error, "{part}");
    }
}

#[test]
fn translate_all_of_a_memory_that_answers_with_more_is_what_was_asked_for() {
    let more = FnMem { heap: heap(0x1000, 0x100), translate: |heap, _, access| heap.translate(heap.range(), access) };
    assert_eq!(more.translate_all(range(0x1000, 8), Access::Read).unwrap().len(), 8);
}

#[test]
fn translate_all_of_a_memory_that_answers_with_nothing_is_fragmented() {
    let nothing =
        FnMem { heap: heap(0x1000, 0x100), translate: |heap, range, access| heap.translate(range.prefix(0), access) };
    let error = TranslateError::Fragmented { addr: DriverAddr(0x1000) };
    assert_eq!(nothing.translate_all(range(0x1000, 8), Access::Read).unwrap_err(), error);
}

#[test]
fn errors_are_displayed_with_their_numbers() {
    let addr = DriverAddr(0x10);
    for (error, expected) in [
        (
            TranslateError::Unmapped { addr },
            "no driver memory at 0x10: the address must lie in memory that driver and device share",
        ),
        (
            TranslateError::Denied { addr, access: Access::Write },
            "the device must not write driver memory at 0x10: the driver must map it for that",
        ),
        (
            TranslateError::Fragmented { addr },
            "driver memory at 0x10 is in several pieces: all bytes of the range must be in one piece",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}
