//! What is marked in a dirty bitmap.

use std::sync::Arc;

use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use crate::device::{queue, serve};
use crate::drivers::{DEVICE_AREA, Driver, PackedDriver, SplitDriver, config};
use crate::memories::{Bytes, SEAM, memory, take_dirty};

/// Lets a device write five bytes across the seam, and returns what became dirty of its own doing.
fn dirty_after_chain<D: Driver>(memory: &Arc<GuestMemoryMmap<Bytes>>, mut driver: D) -> Vec<u64> {
    memory.write_slice(b"hello", GuestAddress(0x2_0000)).unwrap();
    driver.offer((0x2_0000, 5), (SEAM - 2, 100));
    let mut queue = queue(&config(&driver), Arc::clone(memory));
    let _ = take_dirty(memory);
    assert_eq!(serve(&mut queue), 1);
    let dirty = take_dirty(memory);
    assert_eq!(driver.take_used(), Some(5));
    dirty
}

/// The bytes of the answer.
fn answer() -> impl Iterator<Item = u64> {
    SEAM - 2..SEAM + 3
}

/// The used index, the used element, and the bytes of the answer: not the rest of the buffer, and nothing that was
/// read.
#[test]
fn split_queue_marks_exactly_what_it_writes() {
    let memory = Arc::new(memory());
    let dirty = dirty_after_chain(&memory, SplitDriver::new(&*memory));
    let ring = DEVICE_AREA + 2..DEVICE_AREA + 12;
    assert_eq!(dirty, ring.chain(answer()).collect::<Vec<_>>());
}

/// Length, id and flags of the used descriptor, and the bytes of the answer.
#[test]
fn packed_queue_marks_exactly_what_it_writes() {
    let memory = Arc::new(memory());
    let dirty = dirty_after_chain(&memory, PackedDriver::new(&*memory));
    let ring = 0x1_0008..0x1_0010;
    assert_eq!(dirty, ring.chain(answer()).collect::<Vec<_>>());
}
