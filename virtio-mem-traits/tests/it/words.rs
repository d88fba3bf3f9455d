//! Single accesses to aligned words, and to arrays of words.

use core::fmt::Debug;

use virtio_mem_traits::{Access, AccessError, DeviceArray, DeviceRange, DriverMem, ReadWrite, Word, Words, WriteOnly};
use zerocopy::{Immutable, IntoBytes};

use crate::memories::{heap, range};

/// Calls `test` with a range of 64 bytes that are all 0xee.
fn with_range(test: impl FnOnce(DeviceRange<'_>)) {
    let mem = heap(0x1000, 64);
    let range = mem.translate_all(range(0x1000, 64), Access::ReadWrite).unwrap();
    range.fill(0, 64, 0xee).unwrap();
    test(range);
}

/// What the range holds after `value` was stored at `offset`.
fn stored(offset: usize, value: &(impl IntoBytes + Immutable)) -> [u8; 64] {
    let mut bytes = [0xee; 64];
    bytes[offset..offset + value.as_bytes().len()].copy_from_slice(value.as_bytes());
    bytes
}

/// Checks relaxed accesses to `value` at every offset where it fits.
fn check_relaxed<T: Words + IntoBytes + Immutable + PartialEq + Debug>(value: T) {
    let align = size_of::<T::Word>();
    for offset in 0..=64 - size_of::<T>() {
        with_range(|range| {
            if offset % align == 0 {
                assert_eq!(range.store_relaxed(offset, value), Ok(()));
                assert_eq!(range.read(0), Ok(stored(offset, &value)), "offset {offset}");
                assert_eq!(range.load_relaxed(offset), Ok(value), "offset {offset}");
            } else {
                let error = AccessError::Misaligned { offset, align };
                assert_eq!(range.store_relaxed(offset, value), Err(error));
                assert_eq!(range.load_relaxed::<T>(offset), Err(error));
                assert_eq!(range.read(0), Ok([0xee_u8; 64]));
            }
        });
    }
}

/// Checks ordered accesses to `value` at every offset where it fits.
fn check_ordered<W: Word + IntoBytes + Immutable + PartialEq + Debug>(value: W) {
    let align = size_of::<W>();
    for offset in 0..=64 - size_of::<W>() {
        with_range(|range| {
            if offset % align == 0 {
                assert_eq!(range.store_release(offset, value), Ok(()));
                assert_eq!(range.read(0), Ok(stored(offset, &value)), "offset {offset}");
                assert_eq!(range.load_acquire(offset), Ok(value), "offset {offset}");
            } else {
                let error = AccessError::Misaligned { offset, align };
                assert_eq!(range.store_release(offset, value), Err(error));
                assert_eq!(range.load_acquire::<W>(offset), Err(error));
                assert_eq!(range.read(0), Ok([0xee_u8; 64]));
            }
        });
    }
}

#[test]
fn words_at_every_offset_are_accessed_if_aligned() {
    check_relaxed(0x0102_u16);
    check_relaxed(0x0102_0304_u32);
    check_relaxed(0x0102_0304_0506_0708_u64);
    check_ordered(0x0102_u16);
    check_ordered(0x0102_0304_u32);
    check_ordered(0x0102_0304_0506_0708_u64);
}

#[test]
fn arrays_at_every_offset_are_accessed_if_their_words_are_aligned() {
    check_relaxed([0x0102_u16]);
    check_relaxed([0x0102_u16, 0x0304, 0x0506]);
    check_relaxed([0x0102_0304_u32, 0x0506_0708]);
    check_relaxed([0x0102_0304_0506_0708_u64, 0x090a_0b0c_0d0e_0f10]);
}

#[test]
fn alignment_counts_from_the_memory_and_not_from_the_range() {
    with_range(|range| {
        let odd = range.after(1);
        assert_eq!(odd.load_acquire::<u16>(0), Err(AccessError::Misaligned { offset: 0, align: 2 }));
        assert_eq!(odd.load_acquire::<u16>(1), Ok(0xeeee));
    });
}

#[test]
fn array_without_words_is_inside_up_to_the_end() {
    with_range(|range| {
        assert_eq!(range.load_relaxed::<[u32; 0]>(64), Ok([]));
        assert_eq!(range.store_relaxed(64, [0_u32; 0]), Ok(()));
        assert!(range.load_relaxed::<[u32; 0]>(65).is_err());
    });
}

#[test]
fn fields_of_several_sizes_are_those_of_their_element() {
    with_range(|range| {
        let elements: Vec<u8> = (0..48).collect();
        range.write_bytes(0, &elements).unwrap();
        let array = DeviceArray::<[u64; 2]>::new(range.prefix(47)).unwrap();
        assert_eq!(array.load_field::<u64, 0>(1), Some(u64::from_ne_bytes([16, 17, 18, 19, 20, 21, 22, 23])));
        assert_eq!(array.load_field::<u32, 8>(1), Some(u32::from_ne_bytes([24, 25, 26, 27])));
        assert_eq!(array.load_field::<u16, 14>(1), Some(u16::from_ne_bytes([30, 31])));
        // The third element lacks its last byte.
        assert_eq!(array.load_field::<u16, 0>(2), None);
    });
}

#[test]
fn try_from_fn_stops_at_the_first_error() {
    let mut asked = Vec::new();
    let result = <[u16; 4]>::try_from_fn(|index| {
        asked.push(index);
        if index == 2 { Err("no third word") } else { Ok(7) }
    });
    assert_eq!((result, asked), (Err("no third word"), vec![0, 1, 2]));
}

#[test]
fn as_words_are_those_that_try_from_fn_gave() {
    let words = <[u16; 3]>::try_from_fn(u16::try_from).unwrap();
    assert_eq!(words.as_words(), [0, 1, 2]);
    assert_eq!(u32::try_from_fn(|index| u32::try_from(index + 5)), Ok(5));
    assert_eq!(7_u64.as_words(), [7]);
}

#[test]
fn parts_of_an_array_are_no_more_than_it_has() {
    let mem = heap(0x1000, 64);
    let range = mem.translate_all(mem.range(), Access::ReadWrite).unwrap();
    (0..8).for_each(|index| range.store_relaxed(8 * index, index as u64).unwrap());
    let array = DeviceArray::<u64>::new(range).unwrap();
    let content =
        |part: DeviceArray<'_, u64>| (0..part.len()).map(|index| part.load_relaxed(index).unwrap()).collect::<Vec<_>>();
    for (part, expected) in [
        (array.prefix(2), vec![0, 1]),
        (array.prefix(9).after(6), vec![6, 7]),
        (array.after(9), vec![]),
        (array.after(usize::MAX), vec![]),
    ] {
        assert_eq!(content(part), expected);
        assert_eq!(part.load_relaxed(part.len()), None);
    }
}

#[test]
fn array_that_can_be_written_stores_what_is_inside() {
    let mem = heap(0x1000, 64);
    let range = mem.translate_all(mem.range(), Access::ReadWrite).unwrap();
    let array = DeviceArray::<[u64; 2], ReadWrite>::new(range.prefix(47)).unwrap();
    assert_eq!(array.store_relaxed(1, [5, 6]), Some(()));
    assert_eq!(array.store_field_release::<u64, 8>(0, 7), Some(()));
    assert_eq!((array.store_relaxed(2, [1, 1]), array.store_field_release::<u64, 0>(2, 1)), (None, None));
    assert_eq!((array.load_field_acquire::<u64, 8>(1), array.load_field_acquire::<u64, 0>(2)), (Some(6), None));
    assert_eq!(range.load_relaxed::<[u64; 8]>(0), Ok([0, 7, 5, 6, 0, 0, 0, 0]));
    let readable = mem.translate_all(mem.range(), Access::Read).unwrap();
    assert!(DeviceArray::<u64, WriteOnly>::new(readable).is_none());
}
