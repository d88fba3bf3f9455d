//! Arithmetic on claims, above all near 2^64 (HOST-10).

use virtio_mem_traits::{DriverAddr, DriverRange};

use crate::memories::range;

const MAX: u64 = u64::MAX;

fn check_new(start: u64, len: u64, expected: bool) {
    let new = DriverRange::new(DriverAddr(start), len);
    assert_eq!(new.is_some(), expected, "{len:#x} bytes at {start:#x}");
    if let Some(range) = new {
        assert_eq!((range.start(), range.len(), range.is_empty()), (DriverAddr(start), len, len == 0));
    }
}

#[test]
fn new_up_to_the_top_is_a_range() {
    for (start, len) in [(0, 0), (0, 1), (0, MAX), (1, MAX), (MAX - 15, 16), (MAX, 1), (MAX, 0), (MAX / 2 + 1, 1 << 63)]
    {
        check_new(start, len, true);
    }
}

/// HOST-9: an element that wraps around is refused.
#[test]
fn new_beyond_the_top_is_none() {
    for (start, len) in [(2, MAX), (MAX - 15, 17), (MAX, 2), (MAX, MAX), (MAX / 2 + 2, 1 << 63)] {
        check_new(start, len, false);
    }
}

#[test]
fn prefix_any_length_is_the_beginning() {
    let whole = range(0x1000, 0x10);
    for (len, expected) in [(0, 0), (1, 1), (0x10, 0x10), (0x11, 0x10), (MAX, 0x10)] {
        assert_eq!(whole.prefix(len), range(0x1000, expected), "{len:#x}");
    }
}

#[test]
fn after_any_length_is_the_rest() {
    let whole = range(0x1000, 0x10);
    for (len, start, left) in
        [(0, 0x1000, 0x10), (1, 0x1001, 0xf), (0x10, 0x1010, 0), (0x11, 0x1010, 0), (MAX, 0x1010, 0)]
    {
        assert_eq!(whole.after(len), range(start, left), "{len:#x}");
    }
}

/// HOST-10: the last byte of the address space.
#[test]
fn after_at_the_top_keeps_the_last_byte() {
    let top = range(MAX - 15, 16);
    assert_eq!(top.after(15), range(MAX, 1));
    assert_eq!(range(1, MAX).after(MAX - 1), range(MAX, 1));
}

#[test]
fn after_all_of_a_range_at_the_top_is_empty_and_stays_so() {
    for top in [range(MAX - 15, 16), range(1, MAX), range(MAX, 1)] {
        let rest = top.after(top.len());
        assert!(rest.is_empty(), "{top}");
        assert!(rest.after(1).is_empty(), "{top}");
        assert!(rest.prefix(1).is_empty(), "{top}");
    }
}

#[test]
fn empty_range_has_no_bytes() {
    assert_eq!(DriverRange::EMPTY, range(0, 0));
    assert_eq!(DriverRange::EMPTY.offset_of(DriverAddr(0)), None);
}

fn check_slice(whole: DriverRange, offset: u64, len: u64, expected: Option<DriverRange>) {
    assert_eq!(whole.slice(offset, len), expected, "{len:#x} bytes at offset {offset:#x} of {whole}");
}

#[test]
fn slice_inside_is_the_part() {
    let whole = range(0x1000, 0x10);
    check_slice(whole, 0, 0x10, Some(whole));
    check_slice(whole, 4, 8, Some(range(0x1004, 8)));
    check_slice(whole, 0xf, 1, Some(range(0x100f, 1)));
    check_slice(whole, 0x10, 0, Some(range(0x1010, 0)));
    check_slice(range(MAX - 15, 16), 12, 4, Some(range(MAX - 3, 4)));
    check_slice(range(1, MAX), 0, MAX, Some(range(1, MAX)));
}

#[test]
fn slice_not_all_inside_is_none() {
    let whole = range(0x1000, 0x10);
    for (offset, len) in [(0, 0x11), (1, 0x10), (0x10, 1), (0x11, 0), (MAX, 0), (MAX, 1), (1, MAX), (MAX, MAX)] {
        check_slice(whole, offset, len, None);
    }
    check_slice(range(MAX - 15, 16), 12, 5, None);
    check_slice(range(MAX - 15, 16), 17, 0, None);
}

#[test]
fn offset_of_an_address_inside_is_its_distance() {
    for (whole, addr, expected) in [
        (range(0x1000, 0x10), 0xfff, None),
        (range(0x1000, 0x10), 0x1000, Some(0)),
        (range(0x1000, 0x10), 0x100f, Some(0xf)),
        (range(0x1000, 0x10), 0x1010, None),
        (range(0x1000, 0), 0x1000, None),
        (range(MAX - 15, 16), MAX, Some(15)),
        (range(MAX - 15, 16), 0, None),
        (range(0, MAX), MAX - 1, Some(MAX - 1)),
        (range(0, MAX), MAX, None),
    ] {
        assert_eq!(whole.offset_of(DriverAddr(addr)), expected, "{addr:#x} in {whole}");
    }
}

#[test]
fn checked_add_beyond_the_top_is_none() {
    assert_eq!(DriverAddr(MAX - 1).checked_add(1), Some(DriverAddr(MAX)));
    assert_eq!(DriverAddr(MAX - 1).checked_add(2), None);
    assert_eq!(DriverAddr(1).checked_add(MAX), None);
}

#[test]
fn is_aligned_to_a_power_of_two_looks_at_the_low_bits() {
    for (addr, align, expected) in [
        (0, 16, true),
        (16, 16, true),
        (24, 16, false),
        (24, 8, true),
        (MAX, 1, true),
        (MAX, 2, false),
        (1 << 63, 1 << 63, true),
    ] {
        assert_eq!(DriverAddr(addr).is_aligned_to(align), expected, "{addr:#x} to {align}");
    }
}

#[test]
fn display_of_addresses_and_ranges_is_hexadecimal() {
    assert_eq!(DriverAddr::from(0x1f).to_string(), "0x1f");
    assert_eq!(range(MAX, 1).to_string(), "0xffffffffffffffff+0x1");
    assert_eq!(format!("{:?} {:?}", DriverAddr(0x1f), range(0x1000, 0x20)), "0x1f 0x1000+0x20");
}
