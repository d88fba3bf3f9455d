//! The raw loop over a packed ring.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{Raw, RawRing, Served};
use crate::support::device::Contender;
use crate::support::ring::{Addresses, Ring};
use crate::support::shape::Format;

pub(crate) const RAW_PACKED: Contender = Contender {
    addresses: Addresses::Direct,
    // SAFETY: (1) the device keeps the memory; (2) the benchmark's driver does that.
    ..Contender::new("raw-packed", Format::Packed, |ring| Box::new(Raw::new(unsafe { RawPacked::new(ring) }, ring)))
};

/// The pointers to a packed ring.
///
/// INVARIANT: everything that the driver says in it is true, as [`new`](Self::new) demands.
#[derive(Clone, Copy)]
pub(crate) struct RawPacked {
    /// Each descriptor is two words: the address; and length, Buffer ID and flags.
    descriptors: *mut u64,
    event: *mut u32,
    /// How far addresses on this side are from the driver's.
    offset: u64,
    size: usize,
    event_idx: bool,
}

/// The flags of a descriptor, in the word where they are.
const NEXT: u64 = 1 << 48;
const WRITE: u64 = 2 << 48;
const INDIRECT: u64 = 4 << 48;
const AVAIL: u64 = 1 << 7 << 48;
const USED: u64 = 1 << 15 << 48;

/// The Buffer ID and the length, in the same word.
const ID: u64 = 0xffff << 32;
const LEN: u64 = 0xffff_ffff;

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
fn len(tail: u64) -> u32 {
    tail as u32
}

/// A slot, and the flags that mark a descriptor in it as available.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    slot: usize,
    available: u64,
}

impl Position {
    /// Returns the next slot. The flags change with the lap.
    #[inline]
    fn next(self, size: usize) -> Self {
        let slot = self.slot + 1;
        if slot < size { Self { slot, ..self } } else { Self { slot: 0, available: self.available ^ (AVAIL | USED) } }
    }

    /// Returns the flags of what was used here.
    #[inline]
    fn used(self) -> u64 {
        if self.available == AVAIL { AVAIL | USED } else { 0 }
    }

    /// Returns the wrap counter.
    #[inline]
    fn wrap(self) -> bool {
        self.available == AVAIL
    }
}

impl RawPacked {
    /// Returns the pointers to a ring.
    ///
    /// # Safety
    ///
    /// 1. The memory of `ring` outlives what is returned.
    /// 2. The driver makes nothing available but well-formed chains, by
    ///    [direct](Addresses::Direct) addresses.
    pub(crate) unsafe fn new(ring: &Ring) -> Self {
        let memory = &ring.memory;
        let size = usize::from(ring.shape.size());
        Self {
            descriptors: memory.range(ring.descriptor_area, 16 * size).as_ptr().as_ptr().cast(),
            event: memory.range(ring.driver_area, 4).as_ptr().as_ptr().cast(),
            offset: memory.offset(),
            size,
            event_idx: ring.shape.event_idx,
        }
    }

    /// Returns the second word of a descriptor.
    #[inline]
    fn tail(&self, slot: usize) -> &AtomicU64 {
        // SAFETY: the slot is in the ring, and the words of a descriptor are aligned.
        unsafe { AtomicU64::from_ptr(self.descriptors.wrapping_add(2 * slot + 1)) }
    }

    /// Returns one of the words of a table: the ring, or an indirect one.
    #[inline]
    fn word(table: *const u64, index: usize) -> u64 {
        let word = table.wrapping_add(index);
        // SAFETY: the driver says that it is there, and does not write it until it was used.
        unsafe { word.read() }
    }

    /// Goes through the indirect table that a descriptor stands for, and returns the second word of its last entry.
    #[inline]
    fn indirect(&self, addr: u64, head: u64, each: &mut impl FnMut(u64, u32)) -> u64 {
        let addr = usize::try_from(addr.wrapping_add(self.offset)).expect("this is a 64-bit machine");
        let table = std::ptr::with_exposed_provenance(addr);
        let mut tail = 0;
        for entry in (0..len(head) as usize / 8).step_by(2) {
            tail = Self::word(table, entry + 1);
            each(Self::word(table, entry).wrapping_add(self.offset), len(tail));
        }
        tail
    }

    /// Returns whether the driver wants to know of what was used from `start` to `end`.
    #[inline]
    fn wants_signal(&self, start: Position, end: Position) -> bool {
        fence(Ordering::SeqCst);
        // SAFETY: the structure is four aligned bytes.
        let event = unsafe { AtomicU32::from_ptr(self.event) }.load(Ordering::Relaxed);
        match event >> 16 & 3 {
            1 => false,
            2 if self.event_idx => {
                // Both as distances before `end`, which may be in the lap after them.
                let before = |slot: usize, wrap: bool| {
                    let lap = if wrap == end.wrap() { 0 } else { self.size };
                    (end.slot + lap).wrapping_sub(slot)
                };
                let place = event as usize & 0x7fff;
                before(place, event >> 15 & 1 != 0).wrapping_sub(1) < before(start.slot, start.wrap())
            }
            _ => true,
        }
    }
}

impl RawRing for RawPacked {
    type Position = Position;

    fn start() -> Position {
        Position { slot: 0, available: AVAIL }
    }

    #[inline]
    fn burst(&self, start: Position, limit: u16, mut each: impl FnMut(u64, u32)) -> Served<Position> {
        let (mut position, mut chains, mut first) = (start, 0, 0);
        while chains < limit {
            let head = self.tail(position.slot).load(Ordering::Acquire);
            if head & (AVAIL | USED) != position.available {
                break;
            }
            let (mut next, mut tail) = (position, head);
            if head & INDIRECT == 0 {
                loop {
                    let addr = Self::word(self.descriptors, 2 * next.slot);
                    each(addr.wrapping_add(self.offset), len(tail));
                    next = next.next(self.size);
                    if tail & NEXT == 0 {
                        break;
                    }
                    tail = self.tail(next.slot).load(Ordering::Relaxed);
                }
            } else {
                tail = self.indirect(Self::word(self.descriptors, 2 * next.slot), head, &mut each) & !ID | head & ID;
                next = next.next(self.size);
            }
            let used = tail & (ID | LEN | WRITE) | position.used();
            // The driver stops at the first that is not used, so that the first one publishes all.
            if chains == 0 {
                first = used;
            } else {
                self.tail(position.slot).store(used, Ordering::Relaxed);
            }
            chains += 1;
            position = next;
        }
        if chains == 0 {
            return Served { position, chains, signal: false };
        }
        self.tail(start.slot).store(first, Ordering::Release);
        Served { position, chains, signal: self.wants_signal(start, position) }
    }
}
