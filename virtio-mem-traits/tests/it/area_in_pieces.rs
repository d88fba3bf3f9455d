//! Areas whose host mapping is fragmented (LAY-4), or disappears later (HOST-13).

use core::cell::Cell;
use core::fmt::Debug;

use virtio_mem_traits::{
    Access, AccessError, Area, AreaError, DeviceRange, DriverAddr, DriverMem, DriverRange, ReadWrite, TranslateError,
    Word, Words,
};
use zerocopy::{Immutable, IntoBytes};

use crate::memories::{Logged, Report, SplitMem, Vanishing, bytes, heap, range, set_bytes};

const BASE: u64 = 0x1000;
const LEN: usize = 64;

/// What holds of a value before it is stored.
trait Value: Words + IntoBytes + Immutable + PartialEq + Debug {}
impl<T: Words + IntoBytes + Immutable + PartialEq + Debug> Value for T {}

/// Memory in two pieces, the second from `split` bytes on, all 0xee.
fn split_mem(split: usize) -> SplitMem {
    let mem = SplitMem::new(BASE, LEN, BASE + split as u64);
    set_bytes(&mem, mem.range(), &[0xee; LEN]);
    mem
}

/// What the memory holds after `value` was stored at `offset`.
fn stored(offset: usize, value: &impl Value) -> [u8; LEN] {
    let mut bytes = [0xee; LEN];
    bytes[offset..offset + value.as_bytes().len()].copy_from_slice(value.as_bytes());
    bytes
}

/// The error for an access to `T` at `offset`, if one of its words lies in both pieces.
fn fragmented<T: Words>(offset: usize, split: usize) -> Option<AreaError> {
    let word = size_of::<T::Word>();
    let mut words = (offset..offset + size_of::<T>()).step_by(word);
    let torn = words.find(|start| *start < split && split < start + word)?;
    Some(TranslateError::Fragmented { addr: DriverAddr(BASE + torn as u64) }.into())
}

/// Checks relaxed accesses to `value` at every aligned offset, wherever the two pieces meet.
fn check_relaxed<T: Value>(value: T) {
    for split in 1..LEN {
        for offset in (0..=LEN - size_of::<T>()).step_by(size_of::<T::Word>()) {
            let mem = split_mem(split);
            let area = Area::<_, ReadWrite, 16>::new(&mem, mem.range()).unwrap();
            if let Some(error) = fragmented::<T>(offset, split) {
                assert_eq!(area.store_relaxed(offset, value), Err(error), "offset {offset}, split at {split}");
                assert_eq!(area.load_relaxed::<T>(offset), Err(error), "offset {offset}, split at {split}");
                assert_eq!(bytes(&mem, mem.range()), [0xee; LEN], "offset {offset}, split at {split}");
            } else {
                assert_eq!(area.store_relaxed(offset, value), Ok(()), "offset {offset}, split at {split}");
                assert_eq!(area.load_relaxed(offset), Ok(value), "offset {offset}, split at {split}");
                assert_eq!(bytes(&mem, mem.range()), stored(offset, &value), "offset {offset}, split at {split}");
            }
        }
    }
}

/// Checks ordered accesses to `value` at every aligned offset, wherever the two pieces meet.
fn check_ordered<W: Word + Value>(value: W) {
    for split in 1..LEN {
        for offset in (0..LEN).step_by(size_of::<W>()) {
            let mem = split_mem(split);
            let area = Area::<_, ReadWrite, 16>::new(&mem, mem.range()).unwrap();
            if let Some(error) = fragmented::<W>(offset, split) {
                assert_eq!(area.store_release(offset, value), Err(error), "offset {offset}, split at {split}");
                assert_eq!(area.load_acquire::<W>(offset), Err(error), "offset {offset}, split at {split}");
                assert_eq!(bytes(&mem, mem.range()), [0xee; LEN], "offset {offset}, split at {split}");
            } else {
                assert_eq!(area.store_release(offset, value), Ok(()), "offset {offset}, split at {split}");
                assert_eq!(area.load_acquire(offset), Ok(value), "offset {offset}, split at {split}");
                assert_eq!(bytes(&mem, mem.range()), stored(offset, &value), "offset {offset}, split at {split}");
            }
        }
    }
}

/// LAY-4
#[test]
fn word_in_one_of_two_pieces_is_accessed() {
    check_relaxed(0x0102_u16);
    check_relaxed(0x0102_0304_u32);
    check_relaxed(0x0102_0304_0506_0708_u64);
    check_ordered(0x0102_u16);
    check_ordered(0x0102_0304_u32);
    check_ordered(0x0102_0304_0506_0708_u64);
}

/// LAY-4
#[test]
fn array_in_both_pieces_is_accessed_if_no_word_is_torn() {
    check_relaxed([0x0102_u16, 0x0304, 0x0506]);
    check_relaxed([0x0102_0304_u32, 0x0506_0708]);
    check_relaxed([0x0102_0304_0506_0708_u64, 0x090a_0b0c_0d0e_0f10]);
}

#[test]
fn access_beyond_the_first_piece_and_not_all_inside_is_refused() {
    let mem = split_mem(32);
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 48)).unwrap();
    for offset in [41, 44, 47, 48, 56, 64, usize::MAX - 7, usize::MAX] {
        let error = AreaError::OutOfRange { offset, size: 8, len: 48 };
        assert_eq!(area.load_relaxed::<[u32; 2]>(offset), Err(error));
        assert_eq!(area.load_acquire::<u64>(offset), Err(error));
        assert_eq!(area.store_relaxed(offset, [0_u32; 2]), Err(error));
        assert_eq!(area.store_release(offset, 0_u64), Err(error));
    }
    assert_eq!(bytes(&mem, mem.range()), [0xee; LEN]);
}

#[test]
fn access_beyond_the_first_piece_that_is_misaligned_is_refused() {
    let mem = split_mem(32);
    let area = Area::<_, ReadWrite, 16>::new(&mem, mem.range()).unwrap();
    for offset in [30, 33, 34, 35, 57] {
        let error = AreaError::from(AccessError::Misaligned { offset, align: 4 });
        assert_eq!(area.load_relaxed::<u32>(offset), Err(error));
        assert_eq!(area.load_acquire::<u32>(offset), Err(error));
        assert_eq!(area.store_relaxed(offset, 0_u32), Err(error));
        assert_eq!(area.store_release(offset, 0_u32), Err(error));
    }
    assert_eq!(bytes(&mem, mem.range()), [0xee; LEN]);
}

/// Memory in two pieces, 32 bytes each, of which the second may go.
fn vanishing() -> Logged<Vanishing<SplitMem>> {
    Logged::new(Vanishing::new(split_mem(32)))
}

fn gone(addr: u64) -> AreaError {
    TranslateError::Unmapped { addr: DriverAddr(addr) }.into()
}

/// HOST-13
#[test]
fn access_to_memory_that_has_gone_is_refused() {
    let mem = vanishing();
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
    mem.mem.gone_from.set(Some(DriverAddr(BASE + 32)));
    assert_eq!(area.load_relaxed::<u32>(40), Err(gone(0x1028)));
    assert_eq!(area.load_relaxed::<[u32; 2]>(28), Err(gone(0x1020)));
    assert_eq!(area.load_acquire::<u16>(32), Err(gone(0x1020)));
    assert_eq!(area.store_relaxed(62, 1_u16), Err(gone(0x103e)));
    assert_eq!(area.store_relaxed(28, [1_u32; 2]), Err(gone(0x1020)));
    assert_eq!(area.store_release(56, 1_u64), Err(gone(0x1038)));
}

/// HOST-13
#[test]
fn access_to_memory_that_has_come_back_works() {
    let mem = vanishing();
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
    mem.mem.gone_from.set(Some(DriverAddr(BASE + 32)));
    assert_eq!(area.store_release(0, 1_u64), Ok(()), "the first piece never went");
    mem.mem.gone_from.set(None);
    assert_eq!(area.store_release(56, 2_u64), Ok(()));
    assert_eq!((area.load_acquire(0), area.load_acquire(56)), (Ok(1_u64), Ok(2_u64)));
}

#[test]
fn store_that_has_partly_gone_stores_and_reports_nothing() {
    let mem = vanishing();
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
    mem.mem.gone_from.set(Some(DriverAddr(BASE + 36)));
    assert_eq!(area.store_relaxed(28, [1_u32; 3]), Err(gone(0x1024)));
    assert_eq!(mem.take(), []);
    mem.mem.gone_from.set(None);
    assert_eq!(bytes(&mem.mem, range(BASE, 64)), [0xee; 64]);
}

/// Memory of which the part from an address on goes with a translation of the test's choice, counted down from there.
struct Going {
    mem: SplitMem,
    from: DriverAddr,
    left: Cell<usize>,
}

impl DriverMem for Going {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 0 && range.start() >= self.from {
            return Err(TranslateError::Unmapped { addr: range.start() });
        }
        self.mem.translate(range, access)
    }
}

/// HOST-13: the translation changes between the moment when all words had a place and the store of one of them.
/// Whatever was stored by then was reported, and nothing else was.
#[test]
fn store_whose_memory_goes_in_between_reports_what_was_stored() {
    // Each of the three words is translated once to look, and once more to store it.
    for (stored, left) in [(0, 3), (1, 4), (2, 5), (3, 6)] {
        let mem = Logged::new(Going { mem: split_mem(32), from: DriverAddr(BASE + 28), left: Cell::new(usize::MAX) });
        let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
        mem.mem.left.set(left);
        let result = area.store_relaxed(28, [1_u32; 3]);
        assert_eq!(result, if stored == 3 { Ok(()) } else { Err(gone(0x101c + 4 * stored)) });
        let reports = if stored == 0 { vec![] } else { vec![Report::Written(range(0x101c, 4 * stored))] };
        assert_eq!(mem.take(), reports, "{stored} words were stored");
        let written = bytes(&mem.mem.mem, range(BASE + 28, 12)).iter().filter(|byte| **byte != 0xee).count();
        assert_eq!(written as u64, 4 * stored);
    }
}

/// Checks that one access to `part` is reported once, whatever its pieces.
fn check_reported(split: usize, offset: usize, part: DriverRange) {
    let mem = Logged::new(split_mem(split));
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
    area.store_relaxed(offset, [1_u32; 3]).unwrap();
    assert_eq!(mem.take(), [Report::Written(part)], "split at {split}");
    area.load_relaxed::<[u32; 3]>(offset).unwrap();
    assert_eq!(mem.take(), [Report::BeforeRead(part)], "split at {split}");
}

#[test]
fn access_to_several_pieces_is_reported_once() {
    for split in (4..64).step_by(4) {
        check_reported(split, 20, range(0x1014, 12));
    }
}

#[test]
fn area_at_the_top_of_the_address_space_in_pieces_works() {
    let mem = SplitMem::new(u64::MAX - 63, 64, u64::MAX - 31);
    let area = Area::<_, ReadWrite, 16>::new(&mem, mem.range()).unwrap();
    assert_eq!(area.store_relaxed(56, [1_u32, 2]), Ok(()));
    assert_eq!(area.load_relaxed(56), Ok([1_u32, 2]));
    assert_eq!(area.load_relaxed::<[u32; 2]>(60), Err(AreaError::OutOfRange { offset: 60, size: 8, len: 64 }));
}

#[test]
fn area_of_one_piece_translates_nothing_again() {
    let mem = Vanishing::new(heap(BASE, 64));
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(BASE, 64)).unwrap();
    mem.gone_from.set(Some(DriverAddr(BASE)));
    assert_eq!(area.store_release(56, 2_u64), Ok(()));
    assert_eq!(area.load_acquire(56), Ok(2_u64));
}
