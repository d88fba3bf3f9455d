//! The suite of checks that an implementor of [`DriverMem`] runs in its own tests.
//!
//! ```
//! use virtio_mem_traits::conformance::{Probe, check};
//! use virtio_mem_traits::{Access, DriverAddr, HeapMem};
//!
//! let mem = HeapMem::new(DriverAddr(0x1000), 0x1000).unwrap();
//! check(&mem, &Probe { mapped: mem.range(), access: Access::ReadWrite, absent: DriverAddr(0x2000) });
//! ```

use crate::access::Access;
use crate::driver_mem::DriverMem;
use crate::driver_range::{DriverAddr, DriverRange};

/// Tells the suite which addresses of a memory are mapped and which are not.
///
/// ```
/// use virtio_mem_traits::conformance::Probe;
/// use virtio_mem_traits::{Access, DriverAddr, DriverRange};
///
/// // A page that can be read, and no memory below it.
/// let mapped = DriverRange::new(DriverAddr(0x1000), 0x1000).unwrap();
/// let probe = Probe { mapped, access: Access::Read, absent: DriverAddr(0xfff) };
/// assert!(!probe.access.writes());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// At least 64 bytes of mapped memory, contiguous or in pieces. The suite can overwrite them if `access` includes
    /// writing.
    pub mapped: DriverRange,
    /// All access that the device is allowed to `mapped`.
    pub access: Access,
    /// An address where no memory is.
    pub absent: DriverAddr,
}

/// Checks that `mem` keeps the contract of [`DriverMem`] at the places that `probe` names.
///
/// # Panics
///
/// If `mem` breaks the contract. The message says what was expected.
pub fn check(mem: &impl DriverMem, probe: &Probe) {
    assert!(probe.mapped.len() >= 64, "the probe needs at least 64 mapped bytes");
    translates_every_start_to_a_prefix(mem, probe);
    regions_are_around_what_was_asked_for(mem, probe);
    pieces_do_not_depend_on_where_they_begin(mem, probe);
    answers_the_same_again_where_translations_last(mem, probe);
    answers_at_once_what_is_in_one_piece(mem, probe);
    refuses_what_is_not_allowed(mem, probe);
    refuses_what_is_absent(mem, probe);
    accepts_empty_and_huge_ranges(mem, probe);
    if probe.access == Access::ReadWrite {
        reads_back_what_was_written(mem, probe);
    }
}

/// Returns some ranges in `whole`. They begin near its ends, and have from one byte to all bytes up to its end.
fn ranges(whole: DriverRange) -> impl Iterator<Item = DriverRange> {
    let starts = (0..16).chain(whole.len() - 16..whole.len());
    starts.flat_map(move |start| {
        let rest = whole.after(start);
        [1, 2, 7, rest.len().div_ceil(2), rest.len()].into_iter().map(move |len| rest.prefix(len))
    })
}

fn translates_every_start_to_a_prefix(mem: &impl DriverMem, probe: &Probe) {
    for range in ranges(probe.mapped) {
        let piece = mem.translate(range, probe.access).expect("mapped memory translates");
        assert!(!piece.is_empty(), "{range}: a translation has at least one byte");
        assert!(piece.len() as u64 <= range.len(), "{range}: a translation is no longer than what was asked for");
        assert!(piece.access().allows(probe.access), "{range}: a translation allows what was asked for");
    }
}

fn regions_are_around_what_was_asked_for(mem: &impl DriverMem, probe: &Probe) {
    for range in ranges(probe.mapped) {
        let piece = mem.translate(range, probe.access).expect("mapped memory translates");
        let (around, memory) = mem.region(range, probe.access).expect("mapped memory has a region");
        let offset = around.offset_of(range.start()).expect("a region has the first byte that was asked for");
        let rest = memory.after(usize::try_from(offset).expect("a region fits into the address space"));
        assert_eq!(around.len(), memory.len() as u64, "{range}: a region is as long for the driver as it is here");
        assert_eq!(rest.as_ptr(), piece.as_ptr(), "{range}: the same address is the same memory");
        assert!(rest.len() >= piece.len(), "{range}: a region goes at least as far as a translation");
        assert_eq!(memory.access(), probe.access, "a region allows what was asked for, and nothing else");
    }
}

fn pieces_do_not_depend_on_where_they_begin(mem: &impl DriverMem, probe: &Probe) {
    let mut rest = probe.mapped;
    while !rest.is_empty() {
        let piece = mem.translate(rest, probe.access).expect("mapped memory translates");
        assert!(!piece.is_empty(), "{rest}: a translation has at least one byte");
        for offset in 1..piece.len().min(64) {
            let later = mem.translate(rest.after(offset as u64), probe.access).expect("mapped memory translates");
            assert_eq!(later.as_ptr(), piece.after(offset).as_ptr(), "the bytes of one piece lie side by side");
            assert_eq!(later.len(), piece.len() - offset, "a piece is as long as it can be");
        }
        rest = rest.after(piece.len() as u64);
    }
}

/// Checks that translations at once equal translations after a search, and stay in their region. The addresses lie
/// around the start and the end of each piece. Some ranges end beyond 2^64.
fn answers_at_once_what_is_in_one_piece(mem: &impl DriverMem, probe: &Probe) {
    let mut rest = probe.mapped;
    while !rest.is_empty() {
        let piece = mem.translate(rest, probe.access).expect("mapped memory translates");
        let (start, len) = (rest.start().0, piece.len() as u64);
        for edge in [start, start.wrapping_add(len)] {
            for addr in [edge.wrapping_sub(16), edge.wrapping_sub(1), edge, edge.wrapping_add(1)] {
                for len in [1, 2, 15, 16, 17, u32::try_from(len).unwrap_or(u32::MAX), u32::MAX] {
                    answers_at_once_as_after_a_search(mem, probe, DriverAddr(addr), len);
                }
            }
        }
        rest = rest.after(len);
    }
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        assert!(mem.translate_at_once(probe.absent, 1, access).is_none(), "absent memory does not translate at once");
        assert_eq!(mem.reports(access), mem.reports(access), "whether reports do anything does not change");
    }
}

fn answers_at_once_as_after_a_search(mem: &impl DriverMem, probe: &Probe, addr: DriverAddr, len: u32) {
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        // A memory that remembers regions remembers one now, and shows an error if the region is wrong.
        let _ = mem.translate(probe.mapped, access);
        let Some(piece) = mem.translate_at_once(addr, len, access) else { continue };
        let range = DriverRange::new(addr, len.into());
        let range =
            range.unwrap_or_else(|| panic!("{len} bytes at {addr} end beyond 2^64 and do not translate at once"));
        let searched = mem.translate_all(range, access);
        let searched =
            searched.unwrap_or_else(|error| panic!("{range}: it is translated at once, and not by itself: {error}"));
        if mem.translations_last() {
            assert_eq!(piece.as_ptr(), searched.as_ptr(), "{range}: a translation at once is the same memory");
        }
        assert_eq!(piece.len() as u64, range.len(), "{range}: a translation at once is all that was asked for");
        assert_eq!(piece.access(), access, "a translation at once allows what was asked for, and nothing else");
    }
}

fn answers_the_same_again_where_translations_last(mem: &impl DriverMem, probe: &Probe) {
    let last = mem.translations_last();
    for range in ranges(probe.mapped) {
        let translate = || mem.translate(range, probe.access).map(|piece| (piece.as_ptr(), piece.len()));
        let first = translate();
        let _ = mem.translate(probe.mapped, probe.access);
        assert!(
            !last || translate() == first,
            "{range}: a translation that lasts is the same when it is asked for again"
        );
        assert_eq!(mem.translations_last(), last, "whether translations last does not change");
    }
}

fn refuses_what_is_not_allowed(mem: &impl DriverMem, probe: &Probe) {
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        let answer = mem.translate(probe.mapped, access);
        assert_eq!(
            answer.is_ok(),
            probe.access.allows(access),
            "{access:?} access, where {:?} is allowed",
            probe.access
        );
        if let Ok(piece) = answer {
            assert_eq!(piece.access(), access, "a translation allows what was asked for, and nothing else");
        }
    }
}

fn refuses_what_is_absent(mem: &impl DriverMem, probe: &Probe) {
    let absent = DriverRange::new(probe.absent, 1).expect("one byte is always a range");
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        assert!(mem.translate(absent, access).is_err(), "{absent}: absent memory does not translate");
    }
}

fn accepts_empty_and_huge_ranges(mem: &impl DriverMem, probe: &Probe) {
    if let Ok(piece) = mem.translate(probe.mapped.prefix(0), probe.access) {
        assert!(piece.is_empty(), "an empty range has no bytes");
    }
    let everything = DriverRange::new(DriverAddr(0), u64::MAX).expect("it ends below 2^64");
    // Every result is allowed. The call must return.
    let _ = mem.translate(everything, probe.access);
    let to_the_top = everything.after(probe.mapped.start().0);
    let piece = mem.translate(to_the_top, probe.access).expect("a range that begins in mapped memory translates");
    assert!(!piece.is_empty(), "a translation has at least one byte");
}

fn reads_back_what_was_written(mem: &impl DriverMem, probe: &Probe) {
    for (value, range) in (1..=u8::MAX).cycle().zip(ranges(probe.mapped)) {
        let piece = mem.translate(range, Access::Write).expect("mapped memory translates");
        piece.fill(0, piece.len(), value).expect("a piece can be written as a whole");
        mem.written(range.prefix(piece.len() as u64));
        mem.before_read(range.prefix(1));
        let again = mem.translate(range.prefix(1), Access::Read).expect("mapped memory translates");
        assert_eq!(again.read::<u8>(0), Ok(value), "{range}: the same address is the same memory");
    }
}
