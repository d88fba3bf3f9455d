//! `Region`.

use core::cell::Cell;

use virtio_mem_traits::{
    Access, AccessError, DeviceRange, DriverAddr, DriverMem, DriverRange, HeapMem, Region, TranslateError,
};

use crate::memories::{FnMem, Pieces, SplitMem, heap, range};

fn place(piece: DeviceRange<'_>) -> (*mut u8, usize, Access) {
    (piece.as_ptr().as_ptr(), piece.len(), piece.access())
}

#[test]
fn address_in_the_region_is_found_where_the_memory_has_it() {
    let mem = heap(0x1000, 0x1000);
    let region = Region::new(&mem, range(0x1100, 0x100));
    for access in [Access::Read, Access::Write] {
        for (start, len) in [(0x1100, 0x100), (0x1100, 1), (0x11ff, 1), (0x1180, 0), (0x1200, 0)] {
            let expected = mem.translate_at_once(DriverAddr(start), len, access).map(place);
            assert!(expected.is_some());
            assert_eq!(region.find(DriverAddr(start), len, access).map(place), expected, "{len} bytes at {start:#x}");
        }
        for (start, len) in [(0x10ff, 1), (0x10ff, 2), (0x11ff, 2), (0x1200, 1), (0, 8), (u64::MAX, u32::MAX)] {
            assert!(region.find(DriverAddr(start), len, access).is_none(), "{len} bytes at {start:#x}");
        }
    }
    assert!(region.find(DriverAddr(0x1100), 1, Access::ReadWrite).is_none());
}

#[test]
fn region_at_either_end_of_the_address_space_is_found() {
    for base in [0, u64::MAX - 0xfff] {
        let mem = heap(base, 0x1000);
        let region = Region::new(&mem, mem.range());
        assert!(region.find(DriverAddr(base), 0x1000, Access::Read).is_some());
        assert!(region.find(DriverAddr(base + 0xfff), 1, Access::Write).is_some());
        assert!(region.find(DriverAddr(base + 0xfff), 2, Access::Write).is_none());
        assert!(region.find(DriverAddr(base.wrapping_sub(1)), 2, Access::Write).is_none());
    }
}

/// What lies in another piece of memory is not in the region, and neither is what the driver has elsewhere.
#[test]
fn region_ends_where_its_first_piece_ends() {
    let mem = SplitMem::new(0x1000, 0x1000, 0x1800);
    let region = Region::new(&mem, mem.range());
    assert!(region.find(DriverAddr(0x1000), 0x800, Access::Read).is_some());
    assert!(region.find(DriverAddr(0x1000), 0x801, Access::Read).is_none());
    let mem = Pieces(vec![heap(0x1000, 0x1000), heap(0x4000, 0x1000)]);
    let region = Region::new(&mem, range(0x4000, 0x1000));
    assert!(region.find(DriverAddr(0x1000), 8, Access::Read).is_none());
    assert!(region.find(DriverAddr(0x4000), 8, Access::Read).is_some());
}

/// FEAT-12: each way of access is as the memory has it, and none lets the device do more than was asked for.
#[test]
fn region_has_the_rights_that_the_memory_gives() {
    let only = |wanted: Access| FnMem {
        heap: heap(0x1000, 0x1000),
        translate: match wanted {
            Access::Read => |heap, range, access| allowed(heap, range, access, Access::Read),
            _ => |heap, range, access| allowed(heap, range, access, Access::Write),
        },
    };
    for (wanted, other) in [(Access::Read, Access::Write), (Access::Write, Access::Read)] {
        let mem = only(wanted);
        let region = Region::new(&mem, range(0x1000, 0x1000));
        assert_eq!(region.find(DriverAddr(0x1800), 8, wanted).map(|piece| piece.access()), Some(wanted));
        assert!(region.find(DriverAddr(0x1800), 8, other).is_none());
    }
    let mem = heap(0x1000, 0x1000);
    let region = Region::new(&mem, mem.range());
    let read = region.find(DriverAddr(0x1000), 8, Access::Read).unwrap();
    assert!(matches!(read.write(0, &1_u8), Err(AccessError::Denied { .. })));
}

fn allowed(
    heap: &HeapMem,
    range: DriverRange,
    access: Access,
    right: Access,
) -> Result<DeviceRange<'_>, TranslateError> {
    if access == right {
        heap.translate(range, access)
    } else {
        Err(TranslateError::Denied { addr: range.start(), access })
    }
}

/// Two mappings of one memory, one for each way of access, as of a memory that is written elsewhere.
#[test]
fn region_at_two_places_is_found_at_the_one_that_is_read() {
    struct Apart(HeapMem, HeapMem);
    impl DriverMem for Apart {
        fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
            if access.writes() { self.1.translate(range, access) } else { self.0.translate(range, access) }
        }

        fn translations_last(&self) -> bool {
            true
        }
    }
    let mem = Apart(heap(0x1000, 0x100), heap(0x1000, 0x100));
    let region = Region::new(&mem, range(0x1000, 0x100));
    let expected = mem.0.translate(range(0x1010, 8), Access::Read).map(place).ok();
    assert_eq!(region.find(DriverAddr(0x1010), 8, Access::Read).map(place), expected);
    assert!(region.find(DriverAddr(0x1010), 8, Access::Write).is_none());
}

#[test]
fn memory_whose_translations_do_not_last_is_not_asked() {
    struct Fleeting(Cell<bool>);
    impl DriverMem for Fleeting {
        fn translate(&self, range: DriverRange, _access: Access) -> Result<DeviceRange<'_>, TranslateError> {
            self.0.set(true);
            Err(TranslateError::Unmapped { addr: range.start() })
        }
    }
    let mem = Fleeting(Cell::new(false));
    let region = Region::new(&mem, range(0x1000, 0x1000));
    assert!(region.find(DriverAddr(0x1000), 1, Access::Read).is_none());
    assert!(!mem.0.get());
}
