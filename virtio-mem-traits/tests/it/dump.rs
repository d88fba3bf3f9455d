//! `DumpMem`, over bytes that lie anywhere.

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{
    Access, Area, AreaError, DriverAddr, DriverMem, DriverRange, DumpMem, DumpMemError, ReadWrite, StableMem,
    TranslateError,
};

use crate::memories::{bytes, range};

assert_impl_all!(DumpMem<'static>: Send, Sync, DriverMem);
assert_impl_all!(&'static DumpMem<'static>: StableMem);
assert_not_impl_any!(DumpMem<'static>: StableMem);

/// Bytes to cut dumps out of.
#[repr(align(64))]
struct Aligned([u8; 256]);

impl Aligned {
    fn new() -> Self {
        Self(core::array::from_fn(|index| u8::try_from(index).unwrap()))
    }
}

/// Checks that every word of `mem` is where the driver has it, and that its rings could be accessed.
fn check_words(mem: &DumpMem<'_>, expected: &[u8]) {
    assert_eq!(bytes(mem, mem.range()), expected);
    let start = mem.range().start().0.next_multiple_of(16);
    let skipped = start - mem.range().start().0;
    let area = Area::<_, ReadWrite, 16>::new(mem, range(start, 16)).unwrap();
    let at = usize::try_from(skipped).unwrap();
    assert_eq!(area.load_relaxed::<u64>(8), Ok(u64::from_ne_bytes(expected[at + 8..at + 16].try_into().unwrap())));
    area.store_release(4, 0x0102_0304_u32).unwrap();
    assert_eq!(area.load_acquire(4), Ok(0x0102_0304_u32));
}

/// LAY-1, LAY-7: words are accessed in one piece, wherever the dump lay and begins.
#[test]
fn copy_of_bytes_anywhere_is_as_aligned_as_for_the_driver() {
    let buffer = Aligned::new();
    for base in [0, 1, 7, 8, 15, 16, 0x1234_5678, u64::MAX - 95] {
        for start in 0..32 {
            let dump = &buffer.0[start..start + 96];
            check_words(&DumpMem::new(DriverAddr(base), dump).unwrap(), dump);
        }
    }
    assert_eq!(buffer.0, Aligned::new().0, "a copy is written, and not what was copied");
}

#[test]
fn bytes_in_place_work_where_both_addresses_agree_and_nowhere_else() {
    for base in 0..32 {
        for start in 0..32 {
            let mut buffer = Aligned::new();
            let expected = Aligned::new().0[start..start + 96].to_vec();
            let dump = &mut buffer.0[start..start + 96];
            let host = dump.as_ptr().addr();
            let mem = DumpMem::in_place(DriverAddr(base as u64), dump);
            if base % 16 == start % 16 {
                check_words(&mem.unwrap(), &expected);
            } else {
                assert_eq!(mem.unwrap_err(), DumpMemError::Misaligned { base: DriverAddr(base as u64), host });
            }
        }
    }
}

#[test]
fn bytes_in_place_hold_what_was_written() {
    let mut buffer = Aligned::new();
    let mem = DumpMem::in_place(DriverAddr(0x1000), &mut buffer.0).unwrap();
    let threads = |mem: &DumpMem<'_>| {
        std::thread::scope(|scope| {
            for part in 0..4 {
                scope.spawn(move || {
                    let part = mem.range().after(part * 64).prefix(8);
                    mem.translate_all(part, Access::Write).unwrap().store_relaxed(0, u64::MAX).unwrap();
                });
            }
        });
    };
    threads(&mem);
    let mut expected = Aligned::new().0;
    for part in 0..4 {
        expected[64 * part..64 * part + 8].fill(0xff);
    }
    assert_eq!(buffer.0, expected);
}

/// HOST-10, HOST-11: the last byte is there, and none behind it.
#[test]
fn translate_ends_where_the_bytes_end() {
    let mem = DumpMem::new(DriverAddr(0x1003), &[7; 100]).unwrap();
    assert_eq!(mem.translate(range(0x1003, u64::MAX - 0x1003), Access::Read).unwrap().len(), 100);
    assert_eq!(mem.translate(range(0x1066, 2), Access::Read).unwrap().len(), 1);
    // The bytes before it, up to an aligned address, are not part of the dump.
    for addr in [0, 0x1000, 0x1002, 0x1067, u64::MAX] {
        let error = TranslateError::Unmapped { addr: DriverAddr(addr) };
        assert_eq!(mem.translate(range(addr, 1), Access::Read).unwrap_err(), error);
        assert_eq!(mem.region(range(addr, 1), Access::Read).unwrap_err(), error);
    }
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(0x1060, 16));
    assert_eq!(area.unwrap_err(), AreaError::from(TranslateError::Unmapped { addr: DriverAddr(0x1067) }));
}

#[test]
fn bytes_that_are_no_range_are_refused() {
    let mut buffer = Aligned::new();
    for (base, len) in [(0x1000, 0), (u64::MAX, 2), (u64::MAX - 15, 17)] {
        let bad = DumpMemError::BadRange { base: DriverAddr(base), len };
        assert_eq!(DumpMem::new(DriverAddr(base), &buffer.0[..len]).unwrap_err(), bad);
        assert_eq!(DumpMem::in_place(DriverAddr(base), &mut buffer.0[..len]).unwrap_err(), bad);
    }
}

#[test]
fn suite_on_dumps_passes() {
    let probe = |mapped: DriverRange| Probe { mapped, access: Access::ReadWrite, absent: DriverAddr(0) };
    let mem = DumpMem::new(DriverAddr(0x1001), &[7; 200]).unwrap();
    check(&mem, &probe(mem.range()));
    let mut buffer = Aligned::new();
    let mem = DumpMem::in_place(DriverAddr(0x1000), &mut buffer.0).unwrap();
    check(&mem, &probe(mem.range()));
    assert_eq!(format!("{mem:?}"), "DumpMem(0x1000+0x100)");
}

#[test]
fn errors_are_displayed_with_their_numbers() {
    let base = DriverAddr(0x10);
    for (error, expected) in [
        (
            DumpMemError::BadRange { base, len: 0 },
            "0 bytes at 0x10 are not a range of driver memory: it must have at least 1 byte and end at 2^64 at most",
        ),
        (
            DumpMemError::Misaligned { base, host: 0x21 },
            "the bytes of 0x10 are at host address 0x21: the two must be equal modulo 16, or the bytes must be copied \
             by `DumpMem::new`",
        ),
        (DumpMemError::OutOfMemory { len: 9 }, "9 bytes could not be allocated: there is not enough memory"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}
