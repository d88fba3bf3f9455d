//! Bounds and rights of proved memory, and the accesses to typed objects.

use virtio_mem_traits::{Access, AccessError, DeviceRange, DriverMem};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memories::{heap, range};

/// Calls `test` with a zeroed range of 64 bytes.
fn with_range<R>(access: Access, test: impl FnOnce(DeviceRange<'_>) -> R) -> R {
    let mem = heap(0x1000, 64);
    test(mem.translate_all(range(0x1000, 64), access).unwrap())
}

/// Checks that every access of `size` bytes at `offset` fails in the same way.
fn check_outside(offset: usize, size: usize) {
    let error = Err(AccessError::OutOfRange { offset, size, len: 64 });
    with_range(Access::ReadWrite, |range| {
        assert_eq!(range.fill(offset, size, 1), error);
        if size <= 65 {
            assert_eq!(range.read_bytes(offset, &mut vec![0; size]), error);
            assert_eq!(range.write_bytes(offset, &vec![1; size]), error);
        }
        assert_eq!(range.read::<[u8; 64]>(0), Ok([0; 64]), "a refused write leaves everything as it was");
    });
}

#[test]
fn bytes_not_all_inside_are_refused() {
    for (offset, size) in [
        (0, 65),
        (1, 64),
        (63, 2),
        (64, 1),
        (65, 0),
        (65, 1),
        (usize::MAX, 0),
        (usize::MAX, 1),
        (usize::MAX, 64),
        (usize::MAX - 63, 64),
        (1, usize::MAX),
        (0, usize::MAX),
        (usize::MAX, usize::MAX),
    ] {
        check_outside(offset, size);
    }
}

#[test]
fn bytes_up_to_the_end_are_accessible() {
    with_range(Access::ReadWrite, |range| {
        assert_eq!(range.write_bytes(0, &[7; 64]), Ok(()));
        assert_eq!(range.read_bytes(63, &mut [0]), Ok(()));
        assert_eq!(range.write_bytes(64, &[]), Ok(()));
        assert_eq!(range.read_bytes(64, &mut []), Ok(()));
        assert_eq!(range.fill(64, 0, 1), Ok(()));
        assert_eq!(range.read::<[u8; 64]>(0), Ok([7; 64]));
    });
}

#[test]
fn objects_and_words_not_all_inside_are_refused() {
    with_range(Access::ReadWrite, |range| {
        for offset in [57, 64, 65, usize::MAX, usize::MAX - 7] {
            let error = AccessError::OutOfRange { offset, size: 8, len: 64 };
            assert_eq!(range.read::<u64>(offset), Err(error));
            assert_eq!(range.write(offset, &1_u64), Err(error));
            assert_eq!(range.load_relaxed::<u64>(offset), Err(error));
            assert_eq!(range.load_relaxed::<[u16; 4]>(offset), Err(error));
            assert_eq!(range.load_acquire::<u64>(offset), Err(error));
            assert_eq!(range.store_relaxed(offset, 1_u64), Err(error));
            assert_eq!(range.store_relaxed(offset, [1_u32; 2]), Err(error));
            assert_eq!(range.store_release(offset, 1_u64), Err(error));
        }
        assert_eq!(range.read::<[u8; 64]>(0), Ok([0; 64]));
    });
}

#[test]
fn read_without_the_right_is_denied() {
    let error = AccessError::Denied { wanted: Access::Read, allowed: Access::Write };
    with_range(Access::Write, |range| {
        assert_eq!(range.read_bytes(0, &mut [0; 4]), Err(error));
        assert_eq!(range.read_bytes(0, &mut []), Err(error));
        assert_eq!(range.read::<u32>(0), Err(error));
        assert_eq!(range.load_relaxed::<u32>(0), Err(error));
        assert_eq!(range.load_relaxed::<[u32; 2]>(0), Err(error));
        assert_eq!(range.load_acquire::<u32>(0), Err(error));
    });
}

#[test]
fn write_without_the_right_is_denied_and_changes_nothing() {
    let error = Err(AccessError::Denied { wanted: Access::Write, allowed: Access::Read });
    with_range(Access::Read, |range| {
        assert_eq!(range.write_bytes(0, &[1; 4]), error);
        assert_eq!(range.write_bytes(0, &[]), error);
        assert_eq!(range.fill(0, 4, 1), error);
        assert_eq!(range.fill(0, 0, 1), error);
        assert_eq!(range.write(0, &1_u32), error);
        assert_eq!(range.store_relaxed(0, 1_u32), error);
        assert_eq!(range.store_relaxed(0, [1_u32; 2]), error);
        assert_eq!(range.store_release(0, 1_u32), error);
        assert_eq!(range.read::<[u8; 64]>(0), Ok([0; 64]));
    });
}

#[test]
fn parts_keep_the_rights() {
    with_range(Access::Read, |range| {
        assert_eq!(range.after(8).prefix(8).access(), Access::Read);
        assert!(range.after(8).prefix(8).write(0, &0_u8).is_err());
    });
}

#[test]
fn prefix_and_after_any_length_stay_inside() {
    with_range(Access::Read, |whole| {
        let start = whole.as_ptr().addr().get();
        for len in [0, 1, 63, 64, 65, usize::MAX] {
            let (prefix, rest) = (whole.prefix(len), whole.after(len));
            assert_eq!((prefix.as_ptr(), prefix.len()), (whole.as_ptr(), len.min(64)));
            assert_eq!((rest.as_ptr().addr().get(), rest.len()), (start + len.min(64), 64 - len.min(64)));
            assert_eq!((prefix.is_empty(), rest.is_empty()), (len == 0, len >= 64));
        }
    });
}

#[test]
fn empty_range_has_every_right_and_no_bytes() {
    let empty = DeviceRange::empty();
    assert!(empty.is_empty() && empty.after(1).is_empty() && empty.prefix(1).is_empty());
    assert_eq!(empty.read_bytes(0, &mut []), Ok(()));
    assert_eq!(empty.write_bytes(0, &[]), Ok(()));
    assert_eq!(empty.read::<u8>(0), Err(AccessError::OutOfRange { offset: 0, size: 1, len: 0 }));
}

/// A header as a device would define it, with a size that is no power of two.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
struct Header {
    kind: u8,
    sector: u64,
    flags: u16,
}

#[test]
fn object_written_anywhere_is_read_back() {
    let header = Header { kind: 1, sector: 0x0203_0405_0607_0809, flags: 0x0a0b };
    for offset in 0..=64 - size_of::<Header>() {
        with_range(Access::ReadWrite, |range| {
            range.write(offset, &header).unwrap();
            assert_eq!(range.read(offset), Ok(header));
            let mut bytes = [0; size_of::<Header>()];
            range.read_bytes(offset, &mut bytes).unwrap();
            assert_eq!(bytes, header.as_bytes());
        });
    }
}

/// A type whose padding a read fills as well.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes)]
#[repr(C)]
struct Padded {
    byte: u8,
    word: u32,
}

#[test]
fn object_with_padding_is_read() {
    with_range(Access::ReadWrite, |range| {
        range.write_bytes(3, &[1, 0xff, 0xff, 0xff, 2, 2, 2, 2]).unwrap();
        assert_eq!(range.read(3), Ok(Padded { byte: 1, word: 0x0202_0202 }));
    });
}

#[test]
fn object_without_bytes_is_accessible_up_to_the_end() {
    with_range(Access::ReadWrite, |range| {
        assert_eq!(range.read::<[u8; 0]>(64), Ok([]));
        assert_eq!(range.write(64, &[0_u8; 0]), Ok(()));
        assert!(range.read::<[u8; 0]>(65).is_err());
    });
}

#[test]
fn errors_are_displayed_with_their_numbers() {
    for (error, expected) in [
        (
            AccessError::OutOfRange { offset: 3, size: 4, len: 5 },
            "4 bytes at offset 3 do not fit into a range of 5 bytes",
        ),
        (
            AccessError::Misaligned { offset: 3, align: 4 },
            "offset 3 is not aligned for one access: its address must be a multiple of 4",
        ),
        (
            AccessError::Denied { wanted: Access::Write, allowed: Access::Read },
            "the range was translated to read, not to write: translate it to write",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}
