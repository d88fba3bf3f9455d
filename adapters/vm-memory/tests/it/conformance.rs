//! The suite for implementors of `DriverMem`.

use std::rc::Rc;
use std::sync::Arc;

use virtio_mem_traits::conformance::{Probe, check};
use virtio_mem_traits::{Access, DriverAddr, DriverRange};
use virtio_vm_memory::{Handle, VmMemory};
use vm_memory::bitmap::{AtomicBitmap, NewBitmap};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::memories::{Bytes, memory, range};

fn passes(memory: impl Handle, mapped: DriverRange, absent: u64) {
    check(&VmMemory::new(memory), &Probe { mapped, access: Access::ReadWrite, absent: DriverAddr(absent) });
}

fn passes_with<B: NewBitmap + 'static>() {
    let one = GuestMemoryMmap::<B>::from_ranges(&[(GuestAddress(0x1000), 0x1000)]).unwrap();
    passes(&one, range(0x1000, 0x1000), 0xfff);
    passes(&one, range(0x1000, 0x1000), 0x2000);
    // Not a whole number of pages, and at odd addresses.
    let odd = GuestMemoryMmap::<B>::from_ranges(&[(GuestAddress(0x1003), 0x7d)]).unwrap();
    passes(&odd, range(0x1003, 0x7d), 0x1080);
    let several = memory::<B>();
    passes(&several, range(0x1_0000, 0x8000), 0x1_8000);
    passes(&several, range(0x1_3fd0, 0x60), 0x1_ffff);
    passes(&several, range(0x2_0000, 0x4000), 0x2_4000);
}

#[test]
fn suite_without_bitmap_passes() {
    passes_with::<()>();
}

#[test]
fn suite_with_bitmap_passes() {
    passes_with::<AtomicBitmap>();
    passes_with::<Bytes>();
}

#[test]
fn suite_at_the_end_of_addresses_passes() {
    let top = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(u64::MAX - 0x1000), 0x1000)]).unwrap();
    passes(&top, range(u64::MAX - 0x1000, 0x1000), u64::MAX);
}

#[test]
fn suite_with_owning_handles_passes() {
    passes(Arc::new(memory::<()>()), range(0x1_0000, 0x8000), 0x1_8000);
    passes(Rc::new(memory::<()>()), range(0x1_0000, 0x8000), 0x1_8000);
}

#[cfg(feature = "atomic")]
#[test]
fn suite_with_guard_passes() {
    use vm_memory::{GuestAddressSpace, GuestMemoryAtomic};

    let atomic = GuestMemoryAtomic::new(memory::<AtomicBitmap>());
    passes(atomic.memory(), range(0x1_0000, 0x8000), 0x1_8000);
}

/// The types are those of vm-memory 0.17.1 here, in the same program as those of 0.18.
#[cfg(all(feature = "vm-memory-0-17", feature = "atomic"))]
#[test]
fn suite_with_previous_version_passes() {
    use virtio_mem_traits::DriverMem;
    use vm_memory_0_17::{GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};

    let regions = [(GuestAddress(0x1000), 0x1000), (GuestAddress(0x2000), 0x1000)];
    let memory = Arc::new(GuestMemoryMmap::<()>::from_ranges(&regions).unwrap());
    passes(Arc::clone(&memory), range(0x1000, 0x2000), 0x3000);
    let atomic = GuestMemoryAtomic::from(memory);
    passes(atomic.memory(), range(0x1000, 0x2000), 0x3000);
    assert!(DriverMem::translate(&VmMemory::from(&atomic), range(0x1800, 8), Access::Write).is_ok());
}
