//! Where regions begin and end, and regions and memories of a user's own.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};
use virtio_vm_memory::{Memory, Region, VmMemory};
use vm_memory::{Bytes as _, GuestAddress, GuestRegionMmap};

use crate::memories::{Bytes, SEAM, memory, range, take_dirty};

#[test]
fn translation_ends_with_its_region() {
    let memory = memory::<()>();
    let mem = VmMemory::new(&memory);
    for (start, len, expected) in [
        (0x1_0000, 1, Some(1)),
        (0x1_0000, 0x8000, Some(0x4000)),
        (SEAM - 1, 2, Some(1)),
        (SEAM, u64::MAX - SEAM, Some(0x4000)),
        (0x1_7ffe, 0x100, Some(2)),
        (0xffff, 2, None),
        (0x1_8000, 1, None),
        (0x2_4000, 1, None),
        (u64::MAX, 1, None),
    ] {
        let piece = mem.translate(range(start, len), Access::Read);
        let unmapped = TranslateError::Unmapped { addr: DriverAddr(start) };
        assert_eq!(piece.map(|piece| piece.len()), expected.ok_or(unmapped), "{start:#x}, {len:#x}");
    }
}

#[test]
fn region_is_all_that_is_mapped_as_one() {
    let memory = memory::<()>();
    let mem = VmMemory::new(&memory);
    for addr in [SEAM, SEAM + 0x123, SEAM + 0x3fff] {
        let (around, piece) = mem.region(range(addr, 1), Access::Write).unwrap();
        assert_eq!((around, piece.len()), (range(SEAM, 0x4000), 0x4000));
        assert_eq!(piece.access(), Access::Write);
    }
}

#[test]
fn what_the_vmm_writes_is_what_the_device_reads() {
    let memory = memory::<()>();
    let mem = VmMemory::new(&memory);
    memory.write_slice(b"across the seam", GuestAddress(SEAM - 3)).unwrap();
    let (mut low, mut high) = ([0; 3], [0; 12]);
    mem.translate_all(range(SEAM - 3, 3), Access::Read).unwrap().read_bytes(0, &mut low).unwrap();
    mem.translate_all(range(SEAM, 12), Access::Read).unwrap().read_bytes(0, &mut high).unwrap();
    assert_eq!((&low, &high), (b"acr", b"oss the seam"));
    mem.translate_all(range(SEAM, 4), Access::Write).unwrap().write(0, b"ANSI").unwrap();
    assert_eq!(memory.read_obj::<[u8; 4]>(GuestAddress(SEAM)).unwrap(), *b"ANSI");
}

/// A region with more to it, and a memory that is not sorted.
struct Slot(GuestRegionMmap<Bytes>);

struct Slots(Vec<Slot>);

impl Region for Slot {
    fn range(&self) -> DriverRange {
        self.0.range()
    }

    fn memory(&self, access: Access) -> Option<DeviceRange<'_>> {
        self.0.memory(access).filter(|_| !access.writes())
    }

    fn mark_dirty(&self, offset: usize, len: usize) {
        Region::mark_dirty(&self.0, offset, len);
    }
}

impl Memory for Slots {
    type Region = Slot;

    fn find(&self, addr: DriverAddr) -> Option<&Slot> {
        self.0.iter().find(|slot| slot.range().offset_of(addr).is_some())
    }

    fn regions(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }
}

#[test]
fn memory_of_ones_own_is_driver_memory() {
    let slot = |start| Slot(GuestRegionMmap::from_range(GuestAddress(start), 0x1000, None).unwrap());
    let slots = Slots(vec![slot(0x5000), slot(0x3000)]);
    let mem = VmMemory::new(&slots);
    assert_eq!(mem.translate(range(0x3ffe, 8), Access::Read).unwrap().len(), 2);
    assert!(mem.translate(range(0x4000, 8), Access::Read).is_err());
    let denied = TranslateError::Denied { addr: DriverAddr(0x5000), access: Access::Write };
    assert_eq!(mem.translate(range(0x5000, 8), Access::Write).unwrap_err(), denied);
}

/// What is found at once is what is found by a search, and nothing else.
#[test]
fn translation_at_once_agrees_with_search() {
    let memory = memory::<()>();
    let mem = VmMemory::new(&memory);
    let starts = [0, 0xffff, 0x1_0000, SEAM - 1, SEAM, SEAM + 8, 0x1_7fff, 0x1_8000, 0x1_ffff, 0x2_3ff8, u64::MAX];
    for (start, len) in starts.into_iter().flat_map(|start| [1, 2, 8, 9, 0x4000, u32::MAX].map(|len| (start, len))) {
        let whole = DriverRange::new(DriverAddr(start), len.into());
        let searched = |access| mem.translate_all(whole?, access).ok();
        for access in [Access::Read, Access::Write] {
            let found = mem.translate_at_once(DriverAddr(start), len, access);
            let places = [found, searched(access)].map(|piece| piece.map(|piece| (piece.as_ptr(), piece.len())));
            assert_eq!(places[0], places[1], "{start:#x}, {len:#x}, {access:?}");
        }
    }
}

/// Regions that overlap are no table, and each address is found as the memory says.
#[test]
fn memory_with_overlapping_regions_is_searched() {
    let slot = |start| Slot(GuestRegionMmap::from_range(GuestAddress(start), 0x1000, None).unwrap());
    let slots = Slots(vec![slot(0x3000), slot(0x3800)]);
    let mem = VmMemory::new(&slots);
    assert_eq!(mem.translate(range(0x3ffe, 8), Access::Read).unwrap().len(), 2);
    assert_eq!(mem.translate(range(0x4000, 8), Access::Read).unwrap().len(), 8);
    assert!(mem.translate_at_once(DriverAddr(0x3ffe), 1, Access::Read).is_none());
}

#[test]
fn report_beyond_memory_marks_what_is_there() {
    let memory = memory::<Bytes>();
    let mem = VmMemory::new(&memory);
    for (start, len, dirty) in [
        (SEAM - 2, 4, vec![SEAM - 2, SEAM - 1, SEAM, SEAM + 1]),
        (0x1_7fff, 0x1_0000, vec![0x1_7fff]),
        (0x1_8000, 8, vec![]),
        (SEAM, 0, vec![]),
        (u64::MAX, 1, vec![]),
    ] {
        mem.written(range(start, len));
        assert_eq!(take_dirty(&memory), dirty, "{start:#x}, {len:#x}");
    }
}
