//! The adapter for the memories of vm-memory: any regions, any range.

use std::sync::Arc;

use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange};
use virtio_vm_memory::VmMemory;
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MmapRegion};

use crate::input::Input;

type Guest = GuestMemoryMmap<AtomicBitmap>;

const PAGE: u64 = 4096;

/// Translates ranges that may be anywhere, and writes to what is there.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let regions: Vec<_> = (0..input.u8() % 5 + 1)
        .map(|_| (GuestAddress(PAGE * u64::from(input.u8() % 16)), PAGE as usize * input.one_of(&[1, 2, 3])))
        .collect();
    let Ok(guest) = Guest::from_ranges(&regions) else { return };
    let guest = Arc::new(guest);
    let mem = VmMemory::new(Arc::clone(&guest));
    while !input.is_empty() {
        let start =
            if input.u8() == 7 { input.u64() } else { u64::from(input.u16()) + u64::from(input.u8() & 1) * 0x8000 };
        let len = if input.u8() == 7 { input.u64() } else { u64::from(input.u16()) };
        let access = input.one_of(&[Access::Read, Access::Write, Access::ReadWrite]);
        let Some(range) = DriverRange::new(DriverAddr(start), len) else { continue };
        check(&mut input, &guest, &mem, range, access);
    }
}

fn check(input: &mut Input<'_>, guest: &Guest, mem: &VmMemory<Arc<Guest>>, range: DriverRange, access: Access) {
    let region = guest.find_region(GuestAddress(range.start().0));
    let piece = match mem.translate(range, access) {
        Ok(piece) => piece,
        Err(_) => return assert!(region.is_none(), "{range} is there"),
    };
    let Some(region) = region else { return assert!(piece.is_empty(), "{range} is not there") };
    let offset = range.start().0 - region.start_addr().0;
    let expected = range.len().min(region.len() - offset);
    assert_eq!((piece.len() as u64, piece.access()), (expected, access), "{range}");
    let at_once = u32::try_from(range.len()).ok().and_then(|len| mem.translate_at_once(range.start(), len, access));
    // Not every range has a quick answer, but each quick answer is the whole range. An empty range between two regions
    // is the end of one and the beginning of the other.
    if let Some(all) = at_once {
        assert_eq!((all.len() as u64, expected), (range.len(), range.len()), "{range}");
        assert!(all.is_empty() || all.as_ptr() == piece.as_ptr(), "{range} is somewhere else");
    }
    if access.writes() && !piece.is_empty() {
        let mapping: &MmapRegion<AtomicBitmap> = region;
        mapping.bitmap().reset();
        let at = input.u16() as usize % piece.len();
        piece.write_bytes(at, &[input.u8()]).unwrap();
        mem.written(range.after(at as u64).prefix(1));
        let dirty = |page: u64| region.bitmap().dirty_at((page * PAGE) as usize);
        let written = (offset + at as u64) / PAGE;
        assert!((0..region.len() / PAGE).all(|page| dirty(page) == (page == written)), "page {written} alone is dirty");
    }
}
