//! The two reports that an area owes its memory for each access.

use core::cell::Cell;

use virtio_mem_traits::{
    Access, Area, DeviceRange, DriverMem, DriverRange, HeapMem, ReadOnly, ReadWrite, TranslateError, WriteOnly,
};

use crate::memories::{Logged, Report, heap, range};

/// Checks that `access` to an area at 0x1010 is reported as `expected`, exactly once.
fn check(access: impl FnOnce(&Area<&Logged<HeapMem>, ReadWrite, 16>), expected: Report) {
    let mem = Logged::new(heap(0x1000, 0x100));
    let area = Area::new(&mem, range(0x1010, 32)).unwrap();
    assert_eq!(mem.take(), [], "making an area is no access");
    access(&area);
    assert_eq!(mem.take(), [expected]);
}

#[test]
fn load_is_reported_once_with_its_range() {
    check(|area| assert_eq!(area.load_relaxed(2), Ok(0_u16)), Report::BeforeRead(range(0x1012, 2)));
    check(|area| assert_eq!(area.load_relaxed(8), Ok([0_u64; 3])), Report::BeforeRead(range(0x1018, 24)));
    check(|area| assert_eq!(area.load_acquire(28), Ok(0_u32)), Report::BeforeRead(range(0x102c, 4)));
}

#[test]
fn store_is_reported_once_with_its_range() {
    check(|area| assert_eq!(area.store_relaxed(2, 1_u16), Ok(())), Report::Written(range(0x1012, 2)));
    check(|area| assert_eq!(area.store_relaxed(8, [1_u64; 3]), Ok(())), Report::Written(range(0x1018, 24)));
    check(|area| assert_eq!(area.store_release(28, 1_u32), Ok(())), Report::Written(range(0x102c, 4)));
}

#[test]
fn store_that_is_refused_is_not_reported() {
    let mem = Logged::new(heap(0x1000, 0x100));
    let area = Area::<_, WriteOnly, 16>::new(&mem, range(0x1010, 32)).unwrap();
    for offset in [29, 32, 1, usize::MAX] {
        assert!(area.store_relaxed(offset, 1_u32).is_err());
        assert!(area.store_relaxed(offset, [1_u32; 2]).is_err());
        assert!(area.store_release(offset, 1_u32).is_err());
    }
    assert_eq!(mem.take(), []);
}

#[test]
fn access_through_the_array_is_left_to_the_caller_to_report() {
    let mem = Logged::new(heap(0x1000, 0x100));
    let area = Area::<_, ReadOnly, 16>::new(&mem, range(0x1010, 32)).unwrap();
    assert_eq!(area.array(0, 1).load_relaxed(0), Some(0_u16));
    assert_eq!(mem.take(), []);
}

/// Memory that is brought in when it is about to be read, and taken away when it has been written.
struct Incoherent {
    heap: HeapMem,
    driver_says: u32,
    device_said: Cell<u32>,
}

impl Incoherent {
    fn place(&self, range: DriverRange) -> DeviceRange<'_> {
        self.heap.translate_all(range, Access::ReadWrite).unwrap()
    }
}

impl DriverMem for Incoherent {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.heap.translate(range, access)
    }

    fn before_read(&self, range: DriverRange) {
        self.place(range).store_relaxed(0, self.driver_says).unwrap();
    }

    fn written(&self, range: DriverRange) {
        self.device_said.set(self.place(range).load_relaxed(0).unwrap());
    }
}

#[test]
fn reads_come_after_their_report_and_writes_before_it() {
    let mem = Incoherent { heap: heap(0x1000, 0x100), driver_says: 7, device_said: Cell::new(0) };
    let area = Area::<_, ReadWrite, 16>::new(&mem, range(0x1010, 32)).unwrap();
    assert_eq!(area.load_relaxed(4), Ok(7_u32));
    assert_eq!(area.load_acquire(8), Ok(7_u32));
    area.store_relaxed(12, 8_u32).unwrap();
    assert_eq!(mem.device_said.get(), 8);
    area.store_release(16, 9_u32).unwrap();
    assert_eq!(mem.device_said.get(), 9);
}
