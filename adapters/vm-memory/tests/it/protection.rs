//! Regions that are not mapped for everything.

use std::sync::Arc;

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE};
use virtio_mem_traits::{Access, Area, AreaError, DriverAddr, DriverMem, ReadOnly, TranslateError};
use virtio_vm_memory::VmMemory;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::memories::range;

/// A page at 0x1000 that is mapped with `prot`, and one at 0x2000 as usual.
fn memory(prot: i32) -> VmMemory<Arc<GuestMemoryMmap>> {
    let builder = MmapRegionBuilder::new(0x1000).with_mmap_flags(MAP_ANONYMOUS | MAP_PRIVATE).with_mmap_prot(prot);
    let first = GuestRegionMmap::new(builder.build().unwrap(), GuestAddress(0x1000)).unwrap();
    let second = GuestRegionMmap::from_range(GuestAddress(0x2000), 0x1000, None).unwrap();
    VmMemory::new(Arc::new(GuestMemoryMmap::from_regions(vec![first, second]).unwrap()))
}

#[test]
fn region_not_mapped_for_reading_and_writing_is_denied() {
    for prot in [PROT_NONE, PROT_READ, PROT_WRITE] {
        let mem = memory(prot);
        for access in [Access::Read, Access::Write, Access::ReadWrite] {
            let denied = TranslateError::Denied { addr: DriverAddr(0x1ff0), access };
            assert_eq!(mem.translate(range(0x1ff0, 1), access).unwrap_err(), denied, "{prot}");
            assert_eq!(mem.region(range(0x1ff0, 1), access).unwrap_err(), denied, "{prot}");
            assert!(mem.translate_at_once(DriverAddr(0x1ff0), 1, access).is_none(), "{prot}");
            assert!(mem.translate(range(0x2000, 1), access).is_ok(), "{prot}");
        }
    }
}

#[test]
fn region_mapped_for_both_is_accessible() {
    let mem = memory(PROT_READ | PROT_WRITE);
    assert_eq!(mem.translate(range(0x1ff0, 0x20), Access::ReadWrite).unwrap().len(), 0x10);
}

#[test]
fn area_in_read_only_region_is_refused() {
    let error = Area::<_, ReadOnly, 4>::new(memory(PROT_READ), range(0x1000, 16)).unwrap_err();
    let denied = TranslateError::Denied { addr: DriverAddr(0x1000), access: Access::Read };
    assert_eq!(error, AreaError::Translate(denied));
}
