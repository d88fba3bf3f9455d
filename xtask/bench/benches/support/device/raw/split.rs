//! The raw loop over a split ring.

use std::sync::atomic::{AtomicU16, Ordering, fence};

use super::{Raw, RawRing, Served};
use crate::support::device::Contender;
use crate::support::ring::{Addresses, Ring};
use crate::support::shape::Format;

pub(crate) const RAW_SPLIT: Contender = Contender {
    addresses: Addresses::Direct,
    // SAFETY: (1) the device keeps the memory; (2) the benchmark's driver does that.
    ..Contender::new("raw-split", Format::Split, |ring| Box::new(Raw::new(unsafe { RawSplit::new(ring) }, ring)))
};

/// The pointers to a split ring.
///
/// INVARIANT: everything that the driver says in it is true, as [`new`](Self::new) demands.
#[derive(Clone, Copy)]
pub(crate) struct RawSplit {
    descriptors: *const Descriptor,
    available: *mut u16,
    used: *mut u16,
    /// How far addresses on this side are from the driver's.
    offset: u64,
    mask: u16,
    event_idx: bool,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// The flags of a descriptor.
const NEXT: u16 = 1;
const INDIRECT: u16 = 4;

/// The words before the entries in either ring: flags and index.
const INDEX: usize = 1;
const ENTRIES: usize = 2;

impl RawSplit {
    /// Returns the pointers to a ring.
    ///
    /// # Safety
    ///
    /// 1. The memory of `ring` outlives what is returned.
    /// 2. The driver makes nothing available but well-formed chains, by
    ///    [direct](Addresses::Direct) addresses.
    pub(crate) unsafe fn new(ring: &Ring) -> Self {
        let memory = &ring.memory;
        let size = ring.shape.size();
        Self {
            descriptors: memory.range(ring.descriptor_area, 16 * usize::from(size)).as_ptr().as_ptr().cast(),
            available: memory.range(ring.driver_area, 6 + 2 * usize::from(size)).as_ptr().as_ptr().cast(),
            used: memory.range(ring.device_area, 6 + 8 * usize::from(size)).as_ptr().as_ptr().cast(),
            offset: memory.offset(),
            mask: size - 1,
            event_idx: ring.shape.event_idx,
        }
    }

    #[inline]
    fn available_index(&self) -> u16 {
        // SAFETY: the index is part of the area.
        let index = unsafe { AtomicU16::from_ptr(self.available.wrapping_add(INDEX)) };
        index.load(Ordering::Acquire)
    }

    #[inline]
    fn head(&self, index: u16) -> u16 {
        let entry = self.available.wrapping_add(ENTRIES + usize::from(index & self.mask));
        // SAFETY: the mask keeps it inside of the area, and the driver does not write it until it was used.
        unsafe { entry.read() }
    }

    /// Returns an entry of the ring's table, or of an indirect one.
    #[inline]
    fn descriptor(table: *const Descriptor, index: u16) -> Descriptor {
        let descriptor = table.wrapping_add(index.into());
        // SAFETY: the driver says that it is there, and does not write it until it was used.
        unsafe { descriptor.read() }
    }

    #[inline]
    pub(crate) fn use_head(&self, index: u16, head: u16, written: u32) {
        let element = self.used.wrapping_add(ENTRIES + 4 * usize::from(index & self.mask));
        let element: *mut [u32; 2] = element.cast();
        // SAFETY: the mask keeps it inside of the area, where elements are aligned to 4 bytes; the driver does not read
        // it yet.
        unsafe { element.write([head.into(), written]) };
    }

    #[inline]
    pub(crate) fn publish(&self, index: u16) {
        // SAFETY: the index is part of the area.
        let used = unsafe { AtomicU16::from_ptr(self.used.wrapping_add(INDEX)) };
        used.store(index, Ordering::Release);
    }

    /// Returns whether the driver wants to know of `count` chains that made the used index `index`.
    #[inline]
    pub(crate) fn wants_signal(&self, index: u16, count: u16) -> bool {
        fence(Ordering::SeqCst);
        let word = if self.event_idx { ENTRIES + usize::from(self.mask) + 1 } else { 0 };
        // SAFETY: flags and `used_event` are part of the area.
        let word = unsafe { AtomicU16::from_ptr(self.available.wrapping_add(word)) }.load(Ordering::Relaxed);
        if self.event_idx { index.wrapping_sub(word).wrapping_sub(1) < count } else { word & 1 == 0 }
    }
}

impl RawRing for RawSplit {
    /// Both indices: what was fetched has been used.
    type Position = u16;

    fn start() -> u16 {
        0
    }

    #[inline]
    fn burst(&self, start: u16, limit: u16, mut each: impl FnMut(u64, u32)) -> Served<u16> {
        let chains = self.available_index().wrapping_sub(start).min(limit);
        if chains == 0 {
            return Served { position: start, chains, signal: false };
        }
        let end = start.wrapping_add(chains);
        let mut index = start;
        while index != end {
            let head = self.head(index);
            let mut table = self.descriptors;
            let mut descriptor = Self::descriptor(table, head);
            if descriptor.flags & INDIRECT != 0 {
                let addr = descriptor.addr.wrapping_add(self.offset);
                table = std::ptr::with_exposed_provenance(usize::try_from(addr).expect("this is a 64-bit machine"));
                descriptor = Self::descriptor(table, 0);
            }
            loop {
                each(descriptor.addr.wrapping_add(self.offset), descriptor.len);
                if descriptor.flags & NEXT == 0 {
                    break;
                }
                descriptor = Self::descriptor(table, descriptor.next);
            }
            self.use_head(index, head, descriptor.len);
            index = index.wrapping_add(1);
        }
        self.publish(end);
        Served { position: end, chains, signal: self.wants_signal(end, chains) }
    }
}
