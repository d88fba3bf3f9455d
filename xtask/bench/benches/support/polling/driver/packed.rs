//! The driver of a packed ring.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use anyhow::Result;

use super::{Buffers, DriverSide};
use crate::support::polling::buffer::LEN;
use crate::support::ring::Ring;

/// INVARIANT: the pointers are those to the areas of a ring that has `size` slots and is still there.
pub(crate) struct PackedSide {
    /// Each descriptor is two words: the address, then length, Buffer ID and flags.
    descriptors: *mut u64,
    event: *mut u32,
    size: u16,
    /// Where the next chain goes, and where the next one comes back.
    next: Position,
    taken: Position,
    /// How often the device would have been kicked.
    kicks: u64,
    buffers: Buffers,
}

#[derive(Clone, Copy)]
struct Position {
    slot: u16,
    wrap: bool,
}

impl Position {
    const START: Self = Self { slot: 0, wrap: true };

    #[inline]
    fn advanced(self, size: u16) -> Self {
        let slot = self.slot + 1;
        if slot < size { Self { slot, ..self } } else { Self { slot: 0, wrap: !self.wrap } }
    }
}

/// The flags of a descriptor, in the word where they are: one that the device writes, and who has written it last.
const WRITE: u64 = 2 << 48;
const AVAIL: u64 = 1 << 7 << 48;
const USED: u64 = 1 << 15 << 48;

/// The event suppression structure of a side that needs no notifications.
const DISABLE: u32 = 1 << 16;

impl PackedSide {
    /// Returns one of the two words in a slot.
    #[inline]
    fn word(&self, slot: u16, word: usize) -> &AtomicU64 {
        // SAFETY: the slot is in the ring. The device accesses some of it by other sizes, but not at the same time.
        unsafe { AtomicU64::from_ptr(self.descriptors.wrapping_add(2 * usize::from(slot) + word)) }
    }
}

impl DriverSide for PackedSide {
    unsafe fn new(ring: &Ring) -> Self {
        let size = ring.shape.size();
        let memory = &ring.memory;
        memory.range(ring.driver_area, 4).store_relaxed(0, DISABLE).expect("it is aligned");
        Self {
            descriptors: memory.range(ring.descriptor_area, 16 * usize::from(size)).as_ptr().as_ptr().cast(),
            event: memory.range(ring.device_area, 4).as_ptr().as_ptr().cast(),
            size,
            next: Position::START,
            taken: Position::START,
            kicks: 0,
            buffers: Buffers::new(ring),
        }
    }

    #[inline]
    fn add(&mut self, chains: u16) {
        let first = self.next;
        let tail = |Position { slot, wrap }: Position| {
            u64::from(LEN) | u64::from(slot) << 32 | WRITE | if wrap { AVAIL } else { USED }
        };
        for index in 0..chains {
            let Position { slot, .. } = self.next;
            self.word(slot, 0).store(self.buffers.addr(slot), Ordering::Relaxed);
            if index > 0 {
                self.word(slot, 1).store(tail(self.next), Ordering::Relaxed);
            }
            self.next = self.next.advanced(self.size);
        }
        // The device stops at the first that is not available, so that the first one publishes all. Release: all
        // others, and the buffers, come before it.
        self.word(first.slot, 1).store(tail(first), Ordering::Release);
        fence(Ordering::SeqCst);
        // SAFETY: the structure is four aligned bytes, and both sides access them atomically.
        let event = unsafe { AtomicU32::from_ptr(self.event) };
        self.kicks += u64::from(event.load(Ordering::Relaxed) != DISABLE);
    }

    #[inline]
    fn take(&mut self, limit: u16) -> Result<u16> {
        for count in 0..limit {
            let Position { slot, wrap } = self.taken;
            // Acquire: the buffers come after it, and so does what was used after this one.
            let tail = self.word(slot, 1).load(Ordering::Acquire);
            if tail & (AVAIL | USED) != if wrap { AVAIL | USED } else { 0 } {
                return Ok(count);
            }
            self.buffers.check(slot, tail >> 32 & 0xffff, tail & 0xffff_ffff)?;
            self.taken = self.taken.advanced(self.size);
        }
        Ok(limit)
    }
}
