//! Areas: what is proved when one is made, and the bounds of an access.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::{
    Access, AccessError, Area, AreaError, DriverAddr, DriverMem, DriverRange, HeapMem, ReadOnly, ReadWrite, Rights,
    StableMem, TranslateError, WriteOnly,
};

use crate::memories::{FnMem, Pieces, SplitMem, bytes, heap, range, set_bytes};

assert_impl_all!(Area<Arc<HeapMem>, ReadWrite, 16>: Send, Sync);
assert_impl_all!(Area<&'static HeapMem, WriteOnly, 2>: Send, Sync);
assert_not_impl_any!(Area<Rc<HeapMem>, ReadOnly, 4>: Send, Sync);
assert_not_impl_any!(Area<&'static dyn DriverMem, ReadOnly, 4>: Send, Sync);

/// Checks what comes of an area of `range`.
fn check_new<A: Rights, const ALIGN: usize>(mem: impl StableMem, range: DriverRange, expected: Result<(), AreaError>) {
    let area = Area::<_, A, ALIGN>::new(mem, range);
    assert_eq!(area.as_ref().map(Area::range), expected.as_ref().map(|()| range), "{range} aligned to {ALIGN}");
    assert_eq!(area.map(drop), expected);
}

fn unmapped(addr: u64) -> AreaError {
    TranslateError::Unmapped { addr: DriverAddr(addr) }.into()
}

fn denied(addr: u64, access: Access) -> AreaError {
    TranslateError::Denied { addr: DriverAddr(addr), access }.into()
}

/// LAY-1, LAY-7: each area has its alignment.
#[test]
fn new_at_a_misaligned_address_is_refused() {
    let mem = heap(0x1000, 0x100);
    let misaligned = |addr, align| Err(AreaError::Misaligned { addr: DriverAddr(addr), align });
    check_new::<ReadOnly, 16>(&mem, range(0x1000, 16), Ok(()));
    check_new::<ReadOnly, 16>(&mem, range(0x1010, 16), Ok(()));
    check_new::<ReadOnly, 16>(&mem, range(0x1008, 16), misaligned(0x1008, 16));
    check_new::<ReadOnly, 16>(&mem, range(0x100f, 16), misaligned(0x100f, 16));
    check_new::<ReadOnly, 4>(&mem, range(0x1004, 16), Ok(()));
    check_new::<ReadOnly, 4>(&mem, range(0x1002, 16), misaligned(0x1002, 4));
    check_new::<ReadOnly, 2>(&mem, range(0x1002, 16), Ok(()));
    check_new::<ReadOnly, 2>(&mem, range(0x1001, 16), misaligned(0x1001, 2));
    check_new::<ReadOnly, 1>(&mem, range(0x1001, 16), Ok(()));
    // The address is looked at first: nothing is there.
    check_new::<ReadOnly, 2>(&mem, range(0x1, 16), misaligned(1, 2));
}

#[test]
fn new_where_the_host_address_is_misaligned_is_refused() {
    // The page that the driver knows by 0x1008 is a page here.
    let mem = heap(0x1008, 0x100);
    check_new::<ReadOnly, 8>(&mem, range(0x1010, 16), Ok(()));
    let error = AreaError::HostMisaligned { addr: DriverAddr(0x1010), align: 16 };
    check_new::<ReadOnly, 16>(&mem, range(0x1010, 16), Err(error));
}

#[test]
fn new_where_a_later_piece_is_misaligned_in_the_host_is_refused() {
    let mem = Pieces(vec![heap(0x1000, 0x12), heap(0x1012, 0x100)]);
    check_new::<ReadOnly, 2>(&mem, range(0x1000, 0x20), Ok(()));
    let error = AreaError::HostMisaligned { addr: DriverAddr(0x1012), align: 4 };
    check_new::<ReadOnly, 4>(&mem, range(0x1000, 0x20), Err(error));
}

/// LAY-2, HOST-13: all of an area has to be there.
#[test]
fn new_not_all_mapped_is_refused() {
    let mem = heap(0x1000, 0x100);
    check_new::<ReadOnly, 2>(&mem, range(0x1000, 0x100), Ok(()));
    check_new::<ReadOnly, 2>(&mem, range(0x1000, 0x101), Err(unmapped(0x1100)));
    check_new::<ReadOnly, 2>(&mem, range(0x10fe, 0x8), Err(unmapped(0x1100)));
    check_new::<ReadOnly, 2>(&mem, range(0x1100, 1), Err(unmapped(0x1100)));
    check_new::<ReadOnly, 2>(&mem, range(0xffe, 4), Err(unmapped(0xffe)));
    check_new::<ReadOnly, 2>(&mem, range(0x1000, u64::MAX - 0xfff), Err(unmapped(0x1100)));
    let hole = Pieces(vec![heap(0x1000, 0x10), heap(0x1020, 0x10)]);
    check_new::<ReadOnly, 2>(&hole, range(0x1000, 0x30), Err(unmapped(0x1010)));
}

/// LAY-9: each area needs the rights of its kind and no others.
#[test]
fn new_without_the_rights_is_refused() {
    let read_only = FnMem {
        heap: heap(0x1000, 0x100),
        translate: |heap, range, access| match access {
            Access::Read => heap.translate(range, access),
            _ => Err(TranslateError::Denied { addr: range.start(), access }),
        },
    };
    check_new::<ReadOnly, 2>(&read_only, range(0x1000, 16), Ok(()));
    check_new::<WriteOnly, 2>(&read_only, range(0x1000, 16), Err(denied(0x1000, Access::Write)));
    check_new::<ReadWrite, 2>(&read_only, range(0x1000, 16), Err(denied(0x1000, Access::ReadWrite)));
}

#[test]
fn new_with_an_answer_that_allows_less_is_refused() {
    let less =
        FnMem { heap: heap(0x1000, 0x100), translate: |heap, range, _| heap.translate(range.prefix(8), Access::Read) };
    check_new::<ReadOnly, 2>(&less, range(0x1000, 16), Ok(()));
    check_new::<WriteOnly, 2>(&less, range(0x1000, 16), Err(denied(0x1000, Access::Write)));
    let less_later = FnMem {
        heap: heap(0x1000, 0x100),
        translate: |heap, range, access| match range.start() {
            DriverAddr(0x1000) => heap.translate(range.prefix(8), access),
            _ => heap.translate(range, Access::Read),
        },
    };
    check_new::<ReadWrite, 2>(&less_later, range(0x1000, 16), Err(denied(0x1008, Access::ReadWrite)));
}

#[test]
fn new_with_an_answer_without_bytes_is_refused() {
    let empty =
        FnMem { heap: heap(0x1000, 0x100), translate: |heap, range, access| heap.translate(range.prefix(0), access) };
    check_new::<ReadOnly, 2>(&empty, range(0x1000, 16), Err(unmapped(0x1000)));
    let empty_later = FnMem {
        heap: heap(0x1000, 0x100),
        translate: |heap, range, access| match range.start() {
            DriverAddr(0x1000) => heap.translate(range.prefix(8), access),
            _ => heap.translate(range.prefix(0), access),
        },
    };
    check_new::<ReadOnly, 2>(&empty_later, range(0x1000, 16), Err(unmapped(0x1008)));
}

#[test]
fn new_with_an_answer_that_is_too_long_ends_where_the_range_ends() {
    let long = FnMem { heap: heap(0x1000, 0x100), translate: |heap, _, access| heap.translate(heap.range(), access) };
    let area = Area::<_, ReadWrite, 4>::new(&long, range(0x1000, 16)).unwrap();
    assert_eq!((area.array::<u32>(0, 9).len(), area.array::<[u32; 3]>(0, 9).len()), (4, 1));
    assert_eq!(area.store_relaxed(16, 1_u32), Err(AreaError::OutOfRange { offset: 16, size: 4, len: 16 }));
    assert_eq!(bytes(&long.heap, range(0x1000, 0x100)), [0; 0x100]);
}

#[test]
fn new_without_bytes_has_nothing_to_access() {
    let mem = heap(0x1000, 0x100);
    check_new::<ReadOnly, 2>(&mem, range(0x1000, 0), Ok(()));
    let area = Area::<_, ReadOnly, 2>::new(&mem, range(0x1000, 0)).unwrap();
    assert_eq!(area.load_relaxed::<u16>(0), Err(AreaError::OutOfRange { offset: 0, size: 2, len: 0 }));
}

#[test]
fn new_accesses_nothing() {
    let mem = SplitMem::new(0x1000, 0x100, 0x1080);
    set_bytes(&mem, mem.range(), &[0xee; 0x100]);
    check_new::<ReadWrite, 2>(&mem, mem.range(), Ok(()));
    assert_eq!(bytes(&mem, mem.range()), [0xee; 0x100]);
}

#[test]
fn parts_of_an_area_are_those_it_was_made_of() {
    let mem = SplitMem::new(0x1000, 0x100, 0x1081);
    let area = Area::<_, ReadOnly, 2>::new(&mem, range(0x1010, 0x80)).unwrap();
    assert!(core::ptr::eq(*area.mem(), &raw const mem));
    assert_eq!(area.range(), range(0x1010, 0x80));
    for (offset, len, expected) in [
        (0, usize::MAX, 0x71 / 2),
        (0, 3, 3),
        (0x6c, 9, 2),
        (0x70, 9, 0),
        (0x72, 9, 0),
        (3, 9, 0),
        (usize::MAX - 1, 9, 0),
    ] {
        assert_eq!(area.array::<u16>(offset, len).len(), expected, "{len} at {offset}");
    }
    assert_eq!(format!("{area:?}"), "Area { range: 0x1010+0x80, .. }");
}

/// Checks that every access to eight bytes at `offset` of an area of 16 bytes fails with `error`, and stores nothing.
fn check_refused(offset: usize, error: AreaError) {
    let mem = heap(0x1000, 64);
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(0x1010, 16)).unwrap();
    assert_eq!(area.load_relaxed::<u64>(offset), Err(error));
    assert_eq!(area.load_acquire::<u64>(offset), Err(error));
    assert_eq!(area.store_relaxed(offset, u64::MAX), Err(error));
    assert_eq!(area.store_release(offset, u64::MAX), Err(error));
    if matches!(error, AreaError::OutOfRange { .. }) {
        assert_eq!(area.load_relaxed::<[u32; 2]>(offset), Err(error));
        assert_eq!(area.store_relaxed(offset, [u32::MAX; 2]), Err(error));
        assert_eq!(area.load_relaxed::<[u16; 4]>(offset), Err(error));
        assert_eq!(area.store_relaxed(offset, [u16::MAX; 4]), Err(error));
    }
    assert_eq!(bytes(&mem, mem.range()), [0; 64], "offset {offset}");
}

#[test]
fn access_not_all_inside_is_refused() {
    for offset in [9, 12, 15, 16, 17, 40, usize::MAX, usize::MAX - 7, usize::MAX - 8] {
        check_refused(offset, AreaError::OutOfRange { offset, size: 8, len: 16 });
    }
}

#[test]
fn access_that_is_misaligned_is_refused() {
    for offset in 1..8 {
        check_refused(offset, AccessError::Misaligned { offset, align: 8 }.into());
    }
}

#[test]
fn access_up_to_the_top_of_the_address_space_works() {
    let mem = heap(u64::MAX - 63, 64);
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(u64::MAX - 31, 32)).unwrap();
    assert_eq!(area.store_release(24, 7_u64), Ok(()));
    assert_eq!(area.load_acquire(24), Ok(7_u64));
    for offset in [25, 32, 96] {
        assert_eq!(area.load_relaxed::<u64>(offset), Err(AreaError::OutOfRange { offset, size: 8, len: 32 }));
    }
}

#[test]
fn access_is_to_the_driver_s_bytes() {
    let mem = heap(0x1000, 64);
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(0x1010, 16)).unwrap();
    area.store_relaxed(2, [0x0102_u16, 0x0304]).unwrap();
    area.store_release(8, 0x0506_0708_u32).unwrap();
    let mut expected = [0; 64];
    expected[18..20].copy_from_slice(&0x0102_u16.to_ne_bytes());
    expected[20..22].copy_from_slice(&0x0304_u16.to_ne_bytes());
    expected[24..28].copy_from_slice(&0x0506_0708_u32.to_ne_bytes());
    assert_eq!(bytes(&mem, mem.range()), expected);
    set_bytes(&mem, range(0x101c, 4), &[1, 2, 3, 4]);
    assert_eq!(area.load_acquire(12), Ok(u32::from_ne_bytes([1, 2, 3, 4])));
    assert_eq!(area.load_relaxed(12), Ok([u16::from_ne_bytes([1, 2]), u16::from_ne_bytes([3, 4])]));
}

/// A device that owns its memory, and moves to its own thread with it.
#[test]
fn area_of_shared_memory_moves_to_another_thread() {
    let mem = Arc::new(heap(0x1000, 0x100));
    let area = Area::<_, ReadWrite, 16>::new(Arc::clone(&mem), range(0x1010, 16)).unwrap();
    let worker = thread::spawn(move || {
        area.store_release(8, 7_u64).unwrap();
        area
    });
    let area = worker.join().unwrap();
    drop(mem);
    assert_eq!(area.load_acquire(8), Ok(7_u64));
    assert_eq!(bytes(area.mem(), range(0x1018, 8)), 7_u64.to_ne_bytes());
}

#[test]
fn errors_are_displayed_with_their_numbers() {
    let addr = DriverAddr(0x12);
    for (error, expected) in [
        (
            AreaError::Misaligned { addr, align: 4 },
            "address 0x12 of the area is not aligned: it must be a multiple of 4",
        ),
        (
            AreaError::HostMisaligned { addr, align: 4 },
            "driver memory at 0x12 is mapped to a host address that differs from it modulo 4: the two addresses \
             must be equal modulo that number, as those of a page are",
        ),
        (unmapped(0x12), "no driver memory at 0x12: the address must lie in memory that driver and device share"),
        (
            AreaError::OutOfRange { offset: 3, size: 4, len: 6 },
            "4 bytes at offset 3 do not fit into an area of 6 bytes",
        ),
        (
            AccessError::Misaligned { offset: 3, align: 4 }.into(),
            "offset 3 is not aligned for one access: its address must be a multiple of 4",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}
