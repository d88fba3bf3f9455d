//! Copies of every length at every alignment, compared with what a slice would hold.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use virtio_mem_traits::{Access, DeviceRange};

/// The longest copy, beyond the lengths at which an implementation might change its way.
const LONGEST: usize = if cfg!(miri) { 40 } else { 2100 };
/// The size of a buffer with room for canaries on both sides.
const SIZE: usize = LONGEST + 64;
const CANARY: u8 = 0xee;

/// Memory that two sides share, aligned to 64 bytes.
#[repr(align(64))]
struct Shared(UnsafeCell<[u8; SIZE]>);

impl Shared {
    fn new(bytes: [u8; SIZE]) -> Self {
        Self(UnsafeCell::new(bytes))
    }

    fn range(&self) -> DeviceRange<'_> {
        // SAFETY: (1) the buffer is borrowed, and so there; (2) as a cell alone, which `into_inner` moves out of when
        // the borrow has ended; (3) it is one variable.
        unsafe { DeviceRange::new(NonNull::from(&self.0).cast(), SIZE, Access::ReadWrite) }
    }

    fn into_bytes(self) -> [u8; SIZE] {
        self.0.into_inner()
    }
}

/// Bytes that differ from their neighbours, from those 256 bytes on, and from the canary.
fn pattern() -> [u8; SIZE] {
    core::array::from_fn(|index| u8::try_from((index * 7 + index / 256) % 237).unwrap())
}

/// Calls `check` with every shared alignment and every length.
fn for_every_start_and_length(check: impl Fn(usize, usize)) {
    for start in 16..32 {
        for len in 0..=LONGEST {
            check(start, len);
        }
    }
}

/// Checks a copy to a private place that is `private` bytes off a multiple of 16.
fn check_read(shared: &Shared, model: &[u8; SIZE], start: usize, private: usize, len: usize) {
    let mut expected = [CANARY; SIZE];
    expected[private..private + len].copy_from_slice(&model[start..start + len]);
    let mut buf = [CANARY; SIZE];
    shared.range().read_bytes(start, &mut buf[private..private + len]).unwrap();
    assert_eq!(buf, expected, "{len} bytes from {start} to {private}");
}

fn check_write(model: &[u8; SIZE], start: usize, private: usize, len: usize) {
    let mut expected = [CANARY; SIZE];
    expected[start..start + len].copy_from_slice(&model[private..private + len]);
    let shared = Shared::new([CANARY; SIZE]);
    shared.range().write_bytes(start, &model[private..private + len]).unwrap();
    assert_eq!(shared.into_bytes(), expected, "{len} bytes from {private} to {start}");
}

#[test]
fn read_bytes_any_length_and_alignment_copies_exactly_them() {
    let (shared, model) = (Shared::new(pattern()), pattern());
    for_every_start_and_length(|start, len| check_read(&shared, &model, start, 9, len));
}

#[test]
fn write_bytes_any_length_and_alignment_copies_exactly_them() {
    let model = pattern();
    for_every_start_and_length(|start, len| check_write(&model, start, 9, len));
}

#[test]
fn copies_at_any_private_alignment_are_exact() {
    let (shared, model) = (Shared::new(pattern()), pattern());
    let lengths = [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 40, 63, 64, 65, 127, 128, 129, 500, 767, 768, 769, 2048];
    for len in lengths.into_iter().filter(|len| *len <= LONGEST) {
        for private in 16..32 {
            check_read(&shared, &model, 21, private, len);
            check_write(&model, 21, private, len);
        }
    }
}

#[test]
fn fill_any_length_and_alignment_sets_exactly_them() {
    for_every_start_and_length(|start, len| {
        let mut expected = [CANARY; SIZE];
        expected[start..start + len].fill(0x5a);
        let shared = Shared::new([CANARY; SIZE]);
        shared.range().fill(start, len, 0x5a).unwrap();
        assert_eq!(shared.into_bytes(), expected, "{len} bytes at {start}");
    });
}

#[test]
fn read_and_write_of_objects_of_any_size_copy_exactly_them() {
    fn check<const N: usize>() {
        let model = pattern();
        for start in 16..32 {
            let object = Shared::new(model).range().read::<[u8; N]>(start).unwrap();
            assert_eq!(object, model[start..start + N], "{N} bytes from {start}");
            let mut expected = [CANARY; SIZE];
            expected[start..start + N].copy_from_slice(&object);
            let shared = Shared::new([CANARY; SIZE]);
            shared.range().write(start, &object).unwrap();
            assert_eq!(shared.into_bytes(), expected, "{N} bytes to {start}");
        }
    }
    check::<1>();
    check::<2>();
    check::<4>();
    check::<8>();
    check::<12>();
    check::<16>();
    check::<40>();
}
