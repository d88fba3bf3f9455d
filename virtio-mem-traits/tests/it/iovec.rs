//! `IoVec`, as system calls see it.

use static_assertions::assert_impl_all;
use virtio_mem_traits::{Access, DriverMem, IoVec};

use crate::memories::heap;

assert_impl_all!(IoVec: Send, Sync, Copy);

#[test]
fn piece_of_a_range_is_its_address_and_length() {
    let mem = heap(0x1000, 0x100);
    let all = mem.translate_all(mem.range(), Access::Write).unwrap();
    for (start, len) in [(0, 0x100), (1, 7), (0xff, 1), (0x100, 0)] {
        let range = all.slice(start, len).unwrap();
        let piece = IoVec::from(range);
        assert_eq!((piece.base(), piece.len()), (range.as_ptr().as_ptr().cast(), len));
        assert_eq!(piece.is_empty(), len == 0);
    }
    assert!(IoVec::EMPTY.is_empty() && IoVec::EMPTY.base().is_null());
}

/// What it says of itself is what lies in memory: a pointer, then a length.
#[test]
fn array_of_pieces_is_pointers_and_lengths_in_memory() {
    let mem = heap(0x1000, 0x100);
    let all = mem.translate_all(mem.range(), Access::Read).unwrap();
    let pieces = [IoVec::from(all.prefix(3)), IoVec::EMPTY];
    // SAFETY: it is two words for each piece, whose bytes are all initialized.
    let words: [usize; 4] = unsafe { core::mem::transmute(pieces) };
    assert_eq!(words, [all.as_ptr().addr().get(), 3, 0, 0]);
}
