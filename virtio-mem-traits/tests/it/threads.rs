//! Two threads at the same memory, as a driver and a device are.

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use virtio_mem_traits::{Access, DeviceRange, DriverMem, HeapMem};

use crate::memories::{heap, range};

const BLOCK: usize = 64;
const BLOCKS: usize = 8;
const ROUNDS: u16 = if cfg!(miri) { 64 } else { 20_000 };
/// Where the writer counts what it has written, and the reader what it has read.
const WRITTEN: usize = 0;
const READ: usize = 64;

/// The memory that both threads know: two counters and a ring of blocks.
fn shared() -> HeapMem {
    heap(0x1000, 128 + BLOCK * BLOCKS)
}

fn all(mem: &HeapMem) -> DeviceRange<'_> {
    mem.translate_all(mem.range(), Access::ReadWrite).unwrap()
}

/// Where the block of `round` lies.
fn block(round: u16) -> usize {
    128 + usize::from(round) % BLOCKS * BLOCK
}

/// A byte that is never zero, and never that of the block before.
fn value(round: u16) -> u8 {
    u8::try_from(round % 251).unwrap() + 1
}

/// Waits until `ready`, for at most so long that a hang is a failure.
fn wait(ready: impl Fn() -> bool) {
    for _ in 0..100_000_000_u64 {
        if ready() {
            return;
        }
        thread::yield_now();
    }
    panic!("the other thread has stopped");
}

#[test]
fn data_published_with_release_is_whole_after_acquire() {
    let mem = shared();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mem = all(&mem);
            for round in 0..ROUNDS {
                wait(|| usize::from(round - mem.load_acquire::<u16>(READ).unwrap()) < BLOCKS);
                mem.write_bytes(block(round), &[value(round); BLOCK]).unwrap();
                mem.store_release(WRITTEN, round + 1).unwrap();
            }
        });
        let mem = all(&mem);
        for round in 0..ROUNDS {
            wait(|| mem.load_acquire::<u16>(WRITTEN).unwrap() > round);
            let mut copy = [0; BLOCK];
            mem.read_bytes(block(round), &mut copy).unwrap();
            assert_eq!(copy, [value(round); BLOCK], "round {round}");
            mem.store_release(READ, round + 1).unwrap();
        }
    });
}

/// A copy of bytes that change meanwhile: each of them is an old or a new one.
#[test]
fn data_copied_while_it_is_written_is_old_or_new() {
    let mem = heap(0x1000, 4096);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let block = mem.translate_all(range(0x1001, BLOCK as u64), Access::Write).unwrap();
            for round in 0..ROUNDS {
                block.write_bytes(0, &[if round % 2 == 0 { 0x0f } else { 0xf0 }; BLOCK]).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let block = mem.translate_all(range(0x1001, BLOCK as u64), Access::Read).unwrap();
        while !done.load(Ordering::Relaxed) {
            let copy = block.read::<[u8; BLOCK]>(0).unwrap();
            assert!(copy.iter().all(|byte| [0, 0x0f, 0xf0].contains(byte)), "{copy:x?}");
        }
    });
}
