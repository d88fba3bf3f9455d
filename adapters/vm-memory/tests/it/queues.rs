//! Queues in the memories of vm-memory.

use std::sync::Arc;

use virtio_mem_traits::DriverAddr;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::MockSplitQueue;
use virtio_queue_core::{QueueConfig, RingFeatures};
use virtio_vm_memory::{Handle, Memory};
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

use crate::device::{queue, serve};
use crate::drivers::{Driver, PackedDriver, SplitDriver, config};
use crate::memories::{SEAM, memory};

/// One buffer that is in two regions, and one that is alone.
const BUFFERS: [(u64, u32); 2] = [(SEAM - 5, 12), (0x2_0000, 12)];

/// Sends chains until the ring has come around several times, two in a burst.
fn send<H: Handle<Target = M>, M: Memory + GuestMemory>(handle: H, mut driver: impl Driver) {
    let memory = handle.clone();
    let mut queue = queue(&config(&driver), handle);
    assert_eq!(serve(&mut queue), 0);
    for round in 0..40 {
        let [readable, writable] = if round % 2 == 0 { BUFFERS } else { [BUFFERS[1], BUFFERS[0]] };
        let text = format!("message {round:04}");
        memory.write_slice(text.as_bytes(), GuestAddress(readable.0)).unwrap();
        driver.offer(readable, writable);
        driver.offer(readable, (writable.0, 20));
        assert_eq!(serve(&mut queue), 2);
        assert_eq!((driver.take_used(), driver.take_used(), driver.take_used()), (Some(12), Some(12), None));
        let mut answer = [0; 12];
        memory.read_slice(&mut answer, GuestAddress(writable.0)).unwrap();
        assert_eq!(answer, text.to_uppercase().as_bytes());
    }
}

#[test]
fn split_queue_in_arc_runs() {
    let memory: Arc<GuestMemoryMmap> = Arc::new(memory());
    send(Arc::clone(&memory), SplitDriver::new(&*memory));
}

/// The whole queue that rust-vmm tests devices with, as its driver sets it up.
#[test]
fn queue_of_mock_split_queue_runs() {
    let memory: Arc<GuestMemoryMmap> = Arc::new(memory());
    let mock = MockSplitQueue::create(&*memory, GuestAddress(0x1_0000), 16);
    let areas = [mock.desc_table_addr(), mock.avail_addr(), mock.used_addr()].map(|addr| DriverAddr(addr.0));
    let [descriptors, driver, device] = areas;
    let features = RingFeatures::from_negotiated(1 << 32).unwrap();
    let mut queue = queue(&QueueConfig::new(16, features, descriptors, driver, device), Arc::clone(&memory));
    memory.write_slice(b"hello", GuestAddress(SEAM - 2)).unwrap();
    for round in 0..2_u16 {
        let first = 8 * round;
        let chains = (first..first + 8).step_by(2).flat_map(|head| {
            let writable = Descriptor::new(0x2_0000 + 16 * u64::from(head), 16, 2, 0);
            [Descriptor::new(SEAM - 2, 5, 1, head + 1), writable].map(RawDescriptor::from)
        });
        mock.add_desc_chains(&chains.collect::<Vec<_>>(), first).unwrap();
        assert_eq!((serve(&mut queue), mock.used().idx().load()), (4, 4 * (round + 1)));
    }
    for nth in 0..8_u8 {
        let used = mock.used().ring().ref_at(nth.into()).unwrap().load();
        assert_eq!((used.id(), used.len()), (2 * u32::from(nth), 5));
        let mut answer = [0; 6];
        memory.read_slice(&mut answer, GuestAddress(0x2_0000 + 32 * u64::from(nth))).unwrap();
        assert_eq!(&answer, b"HELLO\0");
    }
}

#[test]
fn packed_queue_in_arc_runs() {
    let memory: Arc<GuestMemoryMmap<AtomicBitmap>> = Arc::new(memory());
    send(Arc::clone(&memory), PackedDriver::new(&*memory));
}

#[cfg(feature = "atomic")]
#[test]
fn queues_in_guard_run() {
    use vm_memory::{GuestAddressSpace, GuestMemoryAtomic};

    let atomic = GuestMemoryAtomic::new(memory::<AtomicBitmap>());
    let guard = atomic.memory();
    send(guard.clone(), SplitDriver::new(&*guard));
    let atomic = GuestMemoryAtomic::new(memory::<()>());
    let guard = atomic.memory();
    send(guard.clone(), PackedDriver::new(&*guard));
}
