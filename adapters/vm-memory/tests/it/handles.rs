//! Which handles keep what was translated.

use std::rc::Rc;
use std::sync::Arc;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::{Access, Area, DriverMem, ReadWrite, StableMem};
use virtio_vm_memory::{Handle, Memory, VmMemory};
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::{GuestMemoryMmap, Iommu, IommuMemory, Iotlb, Permissions};

use crate::memories::{memory, range};

/// An IOMMU that is never asked.
#[derive(Debug)]
struct Mappings(Iotlb);

impl Iommu for Mappings {
    type IotlbGuard<'a> = &'a Iotlb;

    fn translate(
        &self,
        iova: vm_memory::GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<vm_memory::iommu::IotlbIterator<&Iotlb>, vm_memory::iommu::Error> {
        Iotlb::lookup(&self.0, iova, length, access).map_err(|_| unreachable!())
    }
}

assert_impl_all!(VmMemory<Arc<GuestMemoryMmap>>: StableMem, Send, Sync);
assert_impl_all!(VmMemory<Arc<GuestMemoryMmap<AtomicBitmap>>>: StableMem, Send, Sync);
assert_impl_all!(VmMemory<Rc<GuestMemoryMmap>>: StableMem);
assert_not_impl_any!(VmMemory<Rc<GuestMemoryMmap>>: Send);
assert_impl_all!(VmMemory<&'static GuestMemoryMmap>: StableMem, Send, Sync);
assert_not_impl_any!(VmMemory<Box<GuestMemoryMmap>>: DriverMem, StableMem);
assert_not_impl_any!(IommuMemory<GuestMemoryMmap, Mappings>: Memory);
assert_not_impl_any!(VmMemory<Arc<IommuMemory<GuestMemoryMmap, Mappings>>>: DriverMem, StableMem);

#[test]
fn memory_lives_as_long_as_an_area_in_it() {
    fn check<H: Handle>(mem: VmMemory<H>) {
        let area = Area::<_, ReadWrite, 4>::new(mem, range(0x1_0000, 16)).unwrap();
        let moved = Box::new(area);
        moved.store_relaxed(4, 7_u32).unwrap();
        assert_eq!(moved.load_relaxed::<u32>(4), Ok(7));
    }

    let memory = Arc::new(memory::<()>());
    let weak = Arc::downgrade(&memory);
    check(VmMemory::new(memory));
    assert!(weak.upgrade().is_none());
}

#[test]
fn handle_is_the_one_that_was_given() {
    let memory = Arc::new(memory::<()>());
    let mem = VmMemory::new(Arc::clone(&memory));
    assert!(Arc::ptr_eq(mem.handle(), &memory));
    assert!(Arc::ptr_eq(mem.clone().handle(), &memory));
    assert!(mem.translate(range(0x1_0000, 1), Access::Read).is_ok());
}
