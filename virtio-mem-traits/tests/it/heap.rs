//! `HeapMem`, the memory for tests and examples.

use std::sync::Arc;

use static_assertions::assert_impl_all;
use virtio_mem_traits::{Access, DriverAddr, DriverMem, HeapMem, HeapMemError, StableMem, TranslateError};

use crate::memories::{bytes, heap, range};

assert_impl_all!(HeapMem: Send, Sync, DriverMem);
assert_impl_all!(Arc<HeapMem>: Send, Sync, StableMem);

#[test]
fn new_without_bytes_or_beyond_the_top_is_refused() {
    for (base, len) in [(0, 0), (0x1000, 0), (u64::MAX, 2), (u64::MAX - 4094, 4096), (u64::MAX - 4095, usize::MAX)] {
        let base = DriverAddr(base);
        assert_eq!(HeapMem::new(base, len).unwrap_err(), HeapMemError::BadRange { base, len });
    }
}

#[test]
fn new_larger_than_any_allocation_is_out_of_memory() {
    for len in [usize::MAX, isize::MAX.unsigned_abs(), isize::MAX.unsigned_abs() + 1] {
        assert_eq!(HeapMem::new(DriverAddr(0), len).unwrap_err(), HeapMemError::OutOfMemory { len });
    }
}

#[test]
fn new_memory_is_zeroed_and_aligned() {
    let mem = heap(0x1000, 5000);
    let all = mem.translate_all(mem.range(), Access::Read).unwrap();
    assert_eq!(all.as_ptr().addr().get() % HeapMem::ALIGN, 0);
    assert_eq!(bytes(&mem, mem.range()), [0; 5000]);
}

/// HOST-10: the last byte of a region, which may be the last of the address space.
#[test]
fn translate_up_to_the_end_is_the_rest() {
    for base in [0, 0x1000, u64::MAX - 99] {
        let mem = heap(base, 100);
        for (skipped, asked, expected) in [(0, 100, 100), (0, 1, 1), (99, 1, 1), (40, 60, 60)] {
            let range = mem.range().after(skipped).prefix(asked);
            assert_eq!(mem.translate(range, Access::Read).unwrap().len(), expected, "{range}");
        }
    }
}

#[test]
fn translate_beyond_the_end_is_what_is_there() {
    let mem = heap(0x1000, 100);
    assert_eq!(mem.translate(range(0x1000, 101), Access::Write).unwrap().len(), 100);
    assert_eq!(mem.translate(range(0x1063, u64::MAX - 0x1062), Access::Write).unwrap().len(), 1);
}

#[test]
fn translate_outside_is_unmapped() {
    let mem = heap(0x1000, 100);
    for start in [0, 0xfff, 0x1064, u64::MAX] {
        let error = TranslateError::Unmapped { addr: DriverAddr(start) };
        assert_eq!(mem.translate(range(start, 1), Access::Read).unwrap_err(), error);
    }
}

#[test]
fn translate_for_any_access_gives_that_access() {
    let mem = heap(0x1000, 100);
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        assert_eq!(mem.translate(mem.range(), access).unwrap().access(), access);
    }
}

#[test]
fn translate_of_no_bytes_is_empty() {
    let mem = heap(0x1000, 100);
    assert!(mem.translate(range(0x1010, 0), Access::Read).unwrap().is_empty());
}

#[test]
fn errors_are_displayed_with_their_numbers() {
    let bad = HeapMemError::BadRange { base: DriverAddr(0x10), len: 0 };
    assert_eq!(
        bad.to_string(),
        "0 bytes at 0x10 are not a range of driver memory: it must have at least 1 byte and end at 2^64 at most"
    );
    assert_eq!(
        HeapMemError::OutOfMemory { len: 9 }.to_string(),
        "9 bytes could not be allocated: there is not enough memory"
    );
}
