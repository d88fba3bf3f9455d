//! Memory that is replaced while a queue is in it.

use std::sync::Arc;
use std::thread;

use static_assertions::assert_impl_all;
use virtio_mem_traits::{Access, DriverMem, StableMem};
use virtio_queue_core::{ConfigError, QueueArea};
use virtio_vm_memory::VmMemory;
use vm_memory::{
    Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap, GuestRegionMmap,
};

use crate::device::{Queue, queue, serve};
use crate::drivers::{Driver, SplitDriver, config};
use crate::memories::{memory, range};

type Guard = GuestMemoryLoadGuard<GuestMemoryMmap>;

assert_impl_all!(VmMemory<Guard>: StableMem, Send, Sync);
assert_impl_all!(Queue<Guard>: Send);

/// Adds a region at 0x4_0000.
fn plug(atomic: &GuestMemoryAtomic<GuestMemoryMmap>) {
    let region = GuestRegionMmap::from_range(GuestAddress(0x4_0000), 0x1000, None).unwrap();
    let larger = atomic.memory().insert_region(Arc::new(region)).unwrap();
    atomic.lock().unwrap().replace(larger);
}

#[test]
fn snapshot_is_the_memory_of_its_moment() {
    let atomic = GuestMemoryAtomic::new(memory());
    let before = VmMemory::from(&atomic);
    plug(&atomic);
    let after = VmMemory::from(&atomic);
    let new = range(0x4_0000, 1);
    assert!(before.translate(new, Access::Read).is_err());
    assert!(after.translate(new, Access::Read).is_ok());
    assert!(VmMemory::new(atomic.memory()).translate(new, Access::Read).is_ok());
    assert!(!Arc::ptr_eq(before.handle(), after.handle()));
    assert!(Arc::ptr_eq(after.handle(), VmMemory::from(&atomic).handle()));
    // What is in both is the same memory.
    before.translate(range(0x2_0000, 4), Access::Write).unwrap().write(0, &7_u32).unwrap();
    assert_eq!(after.translate(range(0x2_0000, 4), Access::Read).unwrap().read::<u32>(0), Ok(7));
}

#[test]
fn snapshot_keeps_replaced_memory() {
    let old = Arc::new(memory::<()>());
    let (weak, atomic) = (Arc::downgrade(&old), GuestMemoryAtomic::from(old));
    let (arc, guard) = (VmMemory::from(&atomic), VmMemory::new(atomic.memory()));
    atomic.lock().unwrap().replace(memory());
    drop(arc);
    guard.translate(range(0x1_0000, 4), Access::Write).unwrap().write(0, &7_u32).unwrap();
    assert_eq!(VmMemory::from(&atomic).translate(range(0x1_0000, 4), Access::Read).unwrap().read::<u32>(0), Ok(0));
    drop(guard);
    assert!(weak.upgrade().is_none());
}

#[test]
fn queue_in_guard_goes_on_in_its_memory_on_another_thread() {
    let atomic = GuestMemoryAtomic::new(memory());
    let guard = atomic.memory();
    let memory = guard.clone().into_inner();
    let mut driver = SplitDriver::new(&*memory);
    let mut queue = queue(&config(&driver), guard);
    memory.write_slice(b"plugged", GuestAddress(0x2_0000)).unwrap();
    driver.offer((0x2_0000, 7), (0x2_1000, 7));
    plug(&atomic);
    assert_eq!(thread::spawn(move || serve(&mut queue)).join().unwrap(), 1);
    assert_eq!(driver.take_used(), Some(7));
    assert_eq!(atomic.memory().read_obj::<[u8; 7]>(GuestAddress(0x2_1000)).unwrap(), *b"PLUGGED");
}

#[test]
fn queue_given_the_new_snapshot_reaches_what_was_plugged_in() {
    let atomic = GuestMemoryAtomic::new(memory());
    let memory = atomic.memory().into_inner();
    let mut driver = SplitDriver::new(&*memory);
    let mut queue = queue(&config(&driver), Arc::clone(&memory));
    memory.write_slice(b"plugged", GuestAddress(0x2_0000)).unwrap();
    driver.offer((0x2_0000, 7), (0x2_1000, 7));
    assert_eq!(serve(&mut queue), 1);
    plug(&atomic);
    queue.replace_mem(VmMemory::from(&atomic)).unwrap();
    driver.offer((0x2_0000, 7), (0x4_0000, 7));
    assert_eq!(serve(&mut queue), 1);
    assert_eq!((driver.take_used(), driver.take_used()), (Some(7), Some(7)));
    assert_eq!(atomic.memory().read_obj::<[u8; 7]>(GuestAddress(0x4_0000)).unwrap(), *b"PLUGGED");
}

#[test]
fn queue_given_memory_without_its_areas_goes_on_in_the_old_one() {
    let atomic = GuestMemoryAtomic::new(memory::<()>());
    let memory = atomic.memory().into_inner();
    let mut driver = SplitDriver::new(&*memory);
    let mut queue = queue(&config(&driver), Arc::clone(&memory));
    let elsewhere = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x9_0000), 0x1000)]).unwrap();
    atomic.lock().unwrap().replace(elsewhere);
    let error = queue.replace_mem(VmMemory::from(&atomic)).unwrap_err();
    assert!(matches!(error, ConfigError::Area { area: QueueArea::Descriptor, .. }), "{error}");
    assert!(Arc::ptr_eq(queue.mem().handle(), &memory));
    driver.offer((0x2_0000, 7), (0x2_1000, 7));
    assert_eq!(serve(&mut queue), 1);
    assert_eq!(driver.take_used(), Some(7));
}
