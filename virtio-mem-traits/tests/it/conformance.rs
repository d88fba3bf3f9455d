//! The conformance suite passes what keeps the contract, and nothing else.

use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};

use crate::memories::{FnMem, Pieces, SplitMem, heap, range};

const PROBE: Probe = Probe {
    mapped: DriverRange::new(DriverAddr(0x1000), 0x200).unwrap(),
    access: Access::ReadWrite,
    absent: DriverAddr(0),
};

type Translate = fn(&HeapMem, DriverRange, Access) -> Result<DeviceRange<'_>, TranslateError>;

/// Checks that the suite finds `message` in what `translate` makes of 0x1000 bytes at 0x1000.
fn check_fails(probe: Probe, translate: Translate, message: &str) {
    let mem = FnMem { heap: heap(0x1000, 0x1000), translate };
    let panic = catch_unwind(AssertUnwindSafe(|| check(&mem, &probe))).unwrap_err();
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    assert!(text.unwrap_or_default().contains(message), "{text:?}, expected: {message}");
}

/// Refuses all but reading.
fn read_only(heap: &HeapMem, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
    match access {
        Access::Read => heap.translate(range, access),
        _ => Err(TranslateError::Denied { addr: range.start(), access }),
    }
}

#[test]
fn suite_on_heap_memory_passes() {
    for (base, len, absent) in [(0x1000, 0x1000, 0), (0, 64, 64), (u64::MAX - 63, 64, 0), (0x1001, 0x333, u64::MAX)] {
        let mem = heap(base, len);
        check(&mem, &Probe { mapped: mem.range(), access: Access::ReadWrite, absent: DriverAddr(absent) });
    }
}

/// LAY-4
#[test]
fn suite_on_memory_in_pieces_passes() {
    for split in [1, 15, 16, 100, 255] {
        let mem = SplitMem::new(0x1000, 0x100, 0x1000 + split);
        check(&mem, &Probe { mapped: mem.range(), access: Access::ReadWrite, absent: DriverAddr(0x1100) });
    }
    let mem = Pieces(vec![heap(0x1000, 1), heap(0x1001, 0x40), heap(0x1041, 0x100), heap(0x2000, 0x100)]);
    check(&mem, &Probe { mapped: range(0x1000, 0x141), access: Access::ReadWrite, absent: DriverAddr(0x1141) });
}

#[test]
fn suite_on_memory_with_less_rights_passes() {
    let mem = FnMem { heap: heap(0x1000, 0x1000), translate: read_only };
    check(&mem, &Probe { access: Access::Read, ..PROBE });
    let translate: Translate = |heap, range, access| match access {
        Access::Write => heap.translate(range, access),
        _ => Err(TranslateError::Denied { addr: range.start(), access }),
    };
    check(&FnMem { heap: heap(0x1000, 0x1000), translate }, &Probe { access: Access::Write, ..PROBE });
}

#[test]
fn suite_on_handles_passes() {
    let mem = heap(0x1000, 0x1000);
    check(&&mem, &PROBE);
    check(&Arc::new(mem), &PROBE);
}

#[test]
fn suite_with_too_small_a_probe_fails() {
    let probe = Probe { mapped: range(0x1000, 63), ..PROBE };
    check_fails(probe, HeapMem::translate, "at least 64 mapped bytes");
}

#[test]
fn suite_on_answers_of_a_wrong_length_fails() {
    for (translate, message) in [
        ((|heap, range, access| heap.translate(range.prefix(0), access)) as Translate, "at least one byte"),
        (|heap, range, access| heap.translate(longer(range), access), "no longer than what was asked for"),
        (|heap, range, access| heap.translate(range.prefix(range.len().div_ceil(2)), access), "as long as it can be"),
    ] {
        check_fails(PROBE, translate, message);
    }
}

/// A range of at least 16 bytes more.
fn longer(part: DriverRange) -> DriverRange {
    range(part.start().0, part.len().saturating_add(16).min(0x1000))
}

#[test]
fn suite_on_empty_ranges_that_have_bytes_fails() {
    check_fails(
        PROBE,
        |heap, range, access| {
            if range.is_empty() { heap.translate(longer(range), access) } else { heap.translate(range, access) }
        },
        "an empty range has no bytes",
    );
}

#[test]
fn suite_on_answers_with_wrong_rights_fails() {
    let readable = Probe { access: Access::Read, ..PROBE };
    check_fails(PROBE, |heap, range, _| heap.translate(range, Access::Read), "allows what was asked for");
    check_fails(PROBE, |heap, range, _| heap.translate(range, Access::ReadWrite), "and nothing else");
    check_fails(readable, HeapMem::translate, "Write access, where Read is allowed");
    check_fails(PROBE, read_only, "mapped memory translates");
    // Writing alone is refused where reading and writing at once is not.
    check_fails(
        PROBE,
        |heap, range, access| match access {
            Access::Write => Err(TranslateError::Denied { addr: range.start(), access }),
            _ => heap.translate(range, access),
        },
        "Write access, where ReadWrite is allowed",
    );
}

#[test]
fn suite_on_answers_from_a_wrong_place_fails() {
    // Everything begins at the beginning.
    check_fails(
        PROBE,
        |heap, part, access| match part.start().0 {
            0x1000.. => heap.translate(range(0x1000, part.len().min(0x1000)), access),
            _ => heap.translate(part, access),
        },
        "side by side",
    );
    // So does everything in the second piece.
    check_fails(
        PROBE,
        |heap, part, access| match part.start().0 {
            0x1100.. => heap.translate(range(0x1800, part.len().min(0x100)), access),
            0x1000.. => heap.translate(part.prefix(0x1100 - part.start().0), access),
            _ => heap.translate(part, access),
        },
        "side by side",
    );
    // What is written is not where it is read.
    check_fails(
        PROBE,
        |heap, part, access| match (part.start().0, access) {
            (0x1000.., Access::Read) => heap.translate(range(part.start().0 + 0x800, part.len().min(0x800)), access),
            _ => heap.translate(part, access),
        },
        "the same address is the same memory",
    );
}

#[test]
fn suite_on_absent_memory_that_translates_fails() {
    check_fails(Probe { absent: DriverAddr(0x1800), ..PROBE }, HeapMem::translate, "absent memory does not translate");
}

#[test]
fn suite_on_memory_that_refuses_what_is_partly_there_fails() {
    check_fails(
        PROBE,
        |heap, range, access| match heap.range().slice(range.start().0.saturating_sub(0x1000), range.len()) {
            Some(_) => heap.translate(range, access),
            None => Err(TranslateError::Unmapped { addr: range.start() }),
        },
        "a range that begins in mapped memory translates",
    );
}

/// Whether translations last, by how often that was asked.
type Last = fn(usize) -> bool;

/// Memory that is somewhere else whenever all of it was asked for, as one behind an IOMMU whose mappings change.
struct Moving {
    places: [HeapMem; 2],
    moved: Cell<usize>,
    asked_whether_they_last: Cell<usize>,
    last: Last,
}

impl Moving {
    fn new(last: Last) -> Self {
        let places = [heap(0x1000, 0x200), heap(0x1000, 0x200)];
        Self { places, moved: Cell::new(0), asked_whether_they_last: Cell::new(0), last }
    }

    fn place(&self) -> &HeapMem {
        &self.places[self.moved.get() % 2]
    }
}

impl DriverMem for Moving {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        if range == PROBE.mapped {
            self.moved.set(self.moved.get() + 1);
        }
        self.place().translate(range, access)
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.place().region(range, access)
    }

    fn translations_last(&self) -> bool {
        let asked = self.asked_whether_they_last.get();
        self.asked_whether_they_last.set(asked + 1);
        (self.last)(asked)
    }
}

#[test]
fn suite_on_memory_that_moves_passes_if_it_says_so() {
    check(&Moving::new(|_| false), &PROBE);
}

#[test]
fn suite_on_translations_that_do_not_last_as_they_should_fails() {
    let cases: [(Last, &str); 2] =
        [(|_| true, "the same when it is asked for again"), (|asked| asked % 2 == 1, "does not change")];
    for (last, message) in cases {
        let panic = catch_unwind(AssertUnwindSafe(|| check(&Moving::new(last), &PROBE))).unwrap_err();
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        assert!(text.unwrap_or_default().contains(message), "{text:?}, expected: {message}");
    }
}

type Region = for<'m> fn(&'m HeapMem, DriverRange, Access) -> (DriverRange, DeviceRange<'m>);

/// Memory of which only the regions are wrong.
struct BadRegions(HeapMem, Region);

impl DriverMem for BadRegions {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.0.translate(range, access)
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        Ok(self.1(&self.0, range, access))
    }
}

#[test]
fn suite_finds_regions_that_are_not_what_they_say() {
    fn all(heap: &HeapMem, access: Access) -> DeviceRange<'_> {
        heap.translate(heap.range(), access).unwrap()
    }
    let cases: [(Region, &str); 6] = [
        (|heap, range, access| (range.after(1), all(heap, access).after(1)), "has the first byte"),
        (|heap, _, access| (heap.range(), all(heap, access).after(1)), "as long for the driver"),
        (|heap, _, access| (heap.range().after(1).prefix(0xfff), all(heap, access).prefix(0xfff)), "first byte"),
        (|heap, range, access| (range.prefix(1), all(heap, access).after(5).prefix(1)), "same memory"),
        (|heap, range, access| (range.prefix(1), all(heap, access).prefix(1)), "at least as far"),
        (|heap, _, _| (heap.range(), all(heap, Access::ReadWrite)), "nothing else"),
    ];
    for (region, message) in cases {
        let mem = BadRegions(heap(0x1000, 0x1000), region);
        let probe = Probe { access: if message == "nothing else" { Access::Read } else { Access::ReadWrite }, ..PROBE };
        let panic = catch_unwind(AssertUnwindSafe(|| check(&mem, &probe))).unwrap_err();
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        assert!(text.unwrap_or_default().contains(message), "{text:?}, expected: {message}");
    }
}

type AtOnce = for<'m> fn(&'m HeapMem, DriverAddr, u32) -> Option<DeviceRange<'m>>;

/// Memory of which only the quick answers are wrong: the first half of what it consists of.
struct BadAtOnce(HeapMem, AtOnce);

impl DriverMem for BadAtOnce {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let half = self.0.range().prefix(self.0.range().len() / 2);
        match half.offset_of(range.start()) {
            Some(offset) if access == Access::Read => self.0.translate(range.prefix(half.len() - offset), access),
            _ => Err(TranslateError::Unmapped { addr: range.start() }),
        }
    }

    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        if access == Access::Read { self.1(&self.0, addr, len) } else { None }
    }

    fn translations_last(&self) -> bool {
        true
    }
}

#[test]
fn suite_finds_answers_at_once_that_differ_from_those_after_a_search() {
    fn part(heap: &HeapMem, addr: u64, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        heap.translate_all(range(addr, len.into()), access).ok().filter(|_| addr < 0x1200)
    }
    let cases: [(AtOnce, &str); 5] = [
        // As far as the memory behind it goes, beyond the region.
        (|heap, addr, len| heap.translate_at_once(addr, len, Access::Read), "and not by itself"),
        (|heap, addr, len| part(heap, addr.0, len.min(8), Access::Read), "all that was asked for"),
        (
            |heap, addr, len| part(heap, addr.0.max(0x1001), len.min(0x200), Access::Read).filter(|_| addr.0 > 0xfff),
            "the same memory",
        ),
        (|heap, addr, len| part(heap, addr.0, len.min(0x200), Access::ReadWrite), "and nothing else"),
        (|heap, addr, len| if addr.0 == 0 { part(heap, 0x1000, len, Access::Read) } else { None }, "absent memory"),
    ];
    for (index, (at_once, message)) in cases.into_iter().enumerate() {
        let mem = BadAtOnce(heap(0x1000, 0x400), at_once);
        let probe = Probe { access: Access::Read, ..PROBE };
        let panic = catch_unwind(AssertUnwindSafe(|| check(&mem, &probe))).unwrap_err();
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        assert!(text.unwrap_or_default().contains(message), "{index}: {text:?}, expected: {message}");
    }
}
