//! Chains that are kept while memory comes and goes under their queue.

use std::sync::Arc;
use std::thread;

use adapter_test_support::answer;
use virtio_chain::WritableChain;
use virtio_queue_core::AnyRing;
use virtio_util::SharedQueue;
use virtio_vm_memory::VmMemory;
use vm_memory::{
    Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap, GuestRegionMmap, MemoryRegionAddress,
};

use crate::device::{Nobody, queue};
use crate::drivers::{Driver, PackedDriver, SplitDriver, config};
use crate::memories::memory;

type Mem = VmMemory<Arc<GuestMemoryMmap>>;

/// Where the VMM plugs memory in.
const PLUGGED: GuestAddress = GuestAddress(0x4_0000);

/// A region is plugged in and taken away while chains are out. Each chain keeps the memory that it was fetched from.
fn check(base: Arc<GuestMemoryMmap>, mut driver: impl Driver) {
    let atomic = GuestMemoryAtomic::from(Arc::clone(&base));
    let queue = SharedQueue::new(queue(&config(&driver), Arc::clone(&base)));
    let replace = |memory: GuestMemoryMmap, queue: &SharedQueue<AnyRing<Mem>, Nobody>| {
        atomic.lock().unwrap().replace(memory);
        queue.replace_mem(VmMemory::from(&atomic)).unwrap();
    };
    base.write_slice(b"early", GuestAddress(0x2_0000)).unwrap();
    base.write_slice(b"later", GuestAddress(0x2_0100)).unwrap();
    driver.offer((0x2_0000, 5), (0x2_1000, 5));
    let early = queue.next_chain().unwrap().unwrap();

    let region = Arc::new(GuestRegionMmap::from_range(PLUGGED, 0x1000, None).unwrap());
    replace(base.insert_region(Arc::clone(&region)).unwrap(), &queue);
    driver.offer((0x2_0100, 5), (PLUGGED.0, 5));
    let later = queue.next_chain().unwrap().unwrap();

    let (smaller, _) = atomic.memory().remove_region(PLUGGED, 0x1000).unwrap();
    replace(smaller, &queue);
    // The memory of the second chain is gone from the VMM's map, but not from the chain.
    thread::spawn(move || answer(later)).join().unwrap();
    let mut written = [0; 5];
    region.read_slice(&mut written, MemoryRegionAddress(0)).unwrap();
    assert_eq!(&written, b"LATER");
    answer(early);
    base.read_slice(&mut written, GuestAddress(0x2_1000)).unwrap();
    assert_eq!(&written, b"EARLY");
    assert_eq!((driver.take_used(), driver.take_used(), driver.take_used()), (Some(5), Some(5), None));

    // A chain that names the region now is malformed, and goes back.
    driver.offer((0x2_0000, 5), (PLUGGED.0, 5));
    let mut refused = WritableChain::new(queue.next_chain().unwrap().unwrap());
    assert!(refused.write(b"?").is_err());
    drop(refused);
    assert_eq!((driver.take_used(), queue.in_flight()), (Some(0), 0));
}

#[test]
fn chains_of_split_queue_keep_their_memory() {
    let memory = Arc::new(memory());
    check(Arc::clone(&memory), SplitDriver::new(&*memory));
}

#[test]
fn chains_of_packed_queue_keep_their_memory() {
    let memory = Arc::new(memory());
    check(Arc::clone(&memory), PackedDriver::new(&*memory));
}
