//! The driver of a split ring.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use anyhow::Result;

use super::{Buffers, DriverSide};
use crate::support::polling::buffer::LEN;
use crate::support::ring::Ring;

/// INVARIANT: the pointers are those to the areas of a ring that has `mask + 1` slots and is still there.
pub(crate) struct SplitSide {
    descriptors: *mut Descriptor,
    available: *mut u16,
    used: *mut u16,
    mask: u16,
    /// The available index, and how far used chains were taken back.
    next: u16,
    taken: u16,
    /// How often the device would have been kicked.
    kicks: u64,
    buffers: Buffers,
}

#[repr(C)]
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// A descriptor that the device writes.
const WRITE: u16 = 2;

/// The words before the entries in either ring: flags and index. And what the driver's flags say: it needs no
/// notifications.
const INDEX: usize = 1;
const ENTRIES: usize = 2;
const NO_INTERRUPT: u16 = 1;

impl SplitSide {
    /// Returns a word of the available ring.
    #[inline]
    fn available(&self, word: usize) -> &AtomicU16 {
        // SAFETY: the words that are asked for are in the area, and both sides access them atomically.
        unsafe { AtomicU16::from_ptr(self.available.wrapping_add(word)) }
    }

    /// Returns the flags or the index of the used ring.
    #[inline]
    fn used(&self, word: usize) -> &AtomicU16 {
        // SAFETY: as above.
        unsafe { AtomicU16::from_ptr(self.used.wrapping_add(word)) }
    }
}

impl DriverSide for SplitSide {
    unsafe fn new(ring: &Ring) -> Self {
        let size = usize::from(ring.shape.size());
        let memory = &ring.memory;
        let side = Self {
            descriptors: memory.range(ring.descriptor_area, 16 * size).as_ptr().as_ptr().cast(),
            available: memory.range(ring.driver_area, 6 + 2 * size).as_ptr().as_ptr().cast(),
            used: memory.range(ring.device_area, 6 + 8 * size).as_ptr().as_ptr().cast(),
            mask: ring.shape.size() - 1,
            next: 0,
            taken: 0,
            kicks: 0,
            buffers: Buffers::new(ring),
        };
        side.available(0).store(NO_INTERRUPT, Ordering::Relaxed);
        side
    }

    #[inline]
    fn add(&mut self, chains: u16) {
        for _ in 0..chains {
            let slot = self.next & self.mask;
            let descriptor = Descriptor { addr: self.buffers.addr(slot), len: LEN, flags: WRITE, next: 0 };
            let place = self.descriptors.wrapping_add(slot.into());
            // SAFETY: the slot is in the ring, and its last chain came back.
            unsafe { place.write(descriptor) };
            self.available(ENTRIES + usize::from(slot)).store(slot, Ordering::Relaxed);
            self.next = self.next.wrapping_add(1);
        }
        // Release: entries, descriptors and buffers come before it.
        self.available(INDEX).store(self.next, Ordering::Release);
        fence(Ordering::SeqCst);
        self.kicks += u64::from(self.used(0).load(Ordering::Relaxed) == 0);
    }

    #[inline]
    fn take(&mut self, limit: u16) -> Result<u16> {
        // Acquire: elements and buffers come after it.
        let index = self.used(INDEX).load(Ordering::Acquire);
        let count = index.wrapping_sub(self.taken).min(limit);
        for _ in 0..count {
            let slot = self.taken & self.mask;
            let element: *const [u32; 2] = self.used.wrapping_add(ENTRIES + 4 * usize::from(slot)).cast();
            // SAFETY: the slot is in the ring, and the device has published it.
            let [id, len] = unsafe { element.read() };
            self.buffers.check(slot, id.into(), len.into())?;
            self.taken = self.taken.wrapping_add(1);
        }
        Ok(count)
    }
}
