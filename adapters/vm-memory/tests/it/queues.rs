//! Queues in the memories of vm-memory.

use std::sync::Arc;

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
