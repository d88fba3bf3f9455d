//! Chains that break a rule, in one format.

use virtio_fake_driver::split::{Descriptor, RawSplit};
use virtio_mem_traits::{Access, DriverAddr, DriverRange, TranslateError};
use virtio_queue_core::ChainErrorKind;
use virtio_ring::split::DescriptorIndex;

use super::rig::Rig;

/// A way to spoil an element of a chain of direct descriptors.
pub(crate) struct Bad {
    pub(crate) name: &'static str,
    /// Whether the descriptors alone show it, or only an access to what they name.
    pub(crate) in_descriptors: bool,
    /// How many bytes of the element, which has four, are sound.
    pub(crate) sound: usize,
    pub(crate) spoil: fn(&Place<'_>) -> ChainErrorKind,
}

/// An element that is to be spoilt.
pub(crate) struct Place<'r> {
    rig: &'r Rig,
    /// The descriptors of the chain, and which of them it is.
    indices: Vec<u16>,
    at: usize,
    access: Access,
}

/// What the memory has nothing at.
const NOWHERE: DriverAddr = DriverAddr(0x10);

const fn in_descriptors(name: &'static str, spoil: fn(&Place<'_>) -> ChainErrorKind) -> Bad {
    Bad { name, in_descriptors: true, sound: 0, spoil }
}

const fn in_memory(name: &'static str, sound: usize, spoil: fn(&Place<'_>) -> ChainErrorKind) -> Bad {
    Bad { name, in_descriptors: false, sound, spoil }
}

/// What can be wrong in either half of a chain.
pub(crate) const IN_EITHER_HALF: &[Bad] = &[
    in_memory("absent (HOST-11)", 0, |place| {
        place.set(|descriptor| descriptor.addr = NOWHERE);
        ChainErrorKind::Memory(TranslateError::Unmapped { addr: NOWHERE })
    }),
    in_memory("hole in the middle (HOST-11)", 2, |place| {
        let hole = place.range().after(2).prefix(1);
        place.rig.mem.unmap(hole);
        ChainErrorKind::Memory(TranslateError::Unmapped { addr: hole.start() })
    }),
    in_memory("denied from the second byte on (HOST-12)", 1, |place| {
        let wrong = if place.access == Access::Read { Access::Write } else { Access::Read };
        let rest = place.range().after(1);
        place.rig.mem.restrict(rest, wrong);
        ChainErrorKind::Memory(TranslateError::Denied { addr: rest.start(), access: place.access })
    }),
    in_descriptors("beyond 2^64 (HOST-9)", |place| overflow(place, u64::MAX, 2)),
    in_descriptors("far beyond 2^64 (HOST-9)", |place| overflow(place, u64::MAX - 255, 512)),
    in_descriptors("all ones (HOST-17)", |place| {
        place.set(|descriptor| *descriptor = Descriptor::from_bytes([0xff; 16]));
        ChainErrorKind::IndirectWithNext
    }),
    in_descriptors("more than 2^32 bytes (DRV-DESC-1)", |place| {
        let before: u64 = place.before().iter().map(|descriptor| u64::from(descriptor.len)).sum();
        place.set(|descriptor| descriptor.len = u32::MAX);
        ChainErrorKind::TooManyBytes { total: before + u64::from(u32::MAX) }
    }),
    in_descriptors("loop without bytes (DRV-DESC-2, HOST-14)", |place| {
        let index = place.indices[place.at];
        place.set(|descriptor| {
            *descriptor = Descriptor { len: 0, flags: descriptor.flags | Descriptor::NEXT, next: index, ..*descriptor };
        });
        ChainErrorKind::TooManyElements { limit: place.rig.queue.size().into() }
    }),
    in_descriptors("next beyond the table (HOST-2)", |place| {
        let (before, next) = (place.indices[place.at - 1], place.rig.queue.size());
        let raw = place.rig.driver.raw();
        raw.set_descriptor(before, Descriptor { next, ..raw.descriptor(before) });
        ChainErrorKind::NextOutOfRange { next: DescriptorIndex(next) }
    }),
    in_descriptors("table of a wrong length (HOST-7)", |place| {
        place.set(|descriptor| descriptor.flags = Descriptor::INDIRECT);
        ChainErrorKind::TableLen { len: 4 }
    }),
    in_descriptors("table nowhere (HOST-11)", |place| {
        place.set(|descriptor| {
            *descriptor = Descriptor { addr: NOWHERE, len: 16, flags: Descriptor::INDIRECT, next: 0 };
        });
        ChainErrorKind::Memory(TranslateError::Unmapped { addr: NOWHERE })
    }),
];

/// What can be wrong in the writable half alone.
pub(crate) const IN_WRITABLE_HALF: &[Bad] = &[in_descriptors("readable after writable (DRV-FRM-1)", |place| {
    place.set(|descriptor| descriptor.flags &= !Descriptor::WRITE);
    ChainErrorKind::ReadableAfterWritable { addr: place.range().start() }
})];

fn overflow(place: &Place<'_>, addr: u64, len: u32) -> ChainErrorKind {
    let addr = DriverAddr(addr);
    place.set(|descriptor| *descriptor = Descriptor { addr, len, ..*descriptor });
    ChainErrorKind::RangeOverflow { addr, len }
}

/// Lets element number `at` of the chain `id`, which is direct, be `len` bytes at `addr`.
pub(crate) fn set_element(raw: &RawSplit, id: u16, at: usize, addr: DriverAddr, len: u32) {
    let index = indices(raw, id)[at];
    raw.set_descriptor(index, Descriptor { addr, len, ..raw.descriptor(index) });
}

/// Returns the descriptors of the chain `id`, which is direct.
fn indices(raw: &RawSplit, id: u16) -> Vec<u16> {
    let mut indices = vec![id];
    while let descriptor @ Descriptor { flags: 1 | 3, .. } = raw.descriptor(indices[indices.len() - 1]) {
        indices.push(descriptor.next);
    }
    indices
}

impl<'r> Place<'r> {
    /// Finds the element number `at` of the chain `id`, which is direct.
    pub(crate) fn find(rig: &'r Rig, id: u16, at: usize) -> Self {
        let raw = rig.driver.raw();
        let indices = indices(raw, id);
        let write = raw.descriptor(indices[at]).flags & Descriptor::WRITE != 0;
        Self { rig, indices, at, access: if write { Access::Write } else { Access::Read } }
    }

    /// Changes the descriptor of the element.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Descriptor)) {
        let (raw, index) = (self.rig.driver.raw(), self.indices[self.at]);
        let mut descriptor = raw.descriptor(index);
        change(&mut descriptor);
        raw.set_descriptor(index, descriptor);
    }

    /// Lets the chain go on at its element number `to`.
    pub(crate) fn go_on_at(&self, to: usize) {
        self.set(|descriptor| (descriptor.flags, descriptor.next) = (descriptor.flags | 1, self.indices[to]));
    }

    fn before(&self) -> Vec<Descriptor> {
        self.indices[..self.at].iter().map(|index| self.rig.driver.raw().descriptor(*index)).collect()
    }

    fn range(&self) -> DriverRange {
        let descriptor = self.rig.driver.raw().descriptor(self.indices[self.at]);
        DriverRange::new(descriptor.addr, descriptor.len.into()).unwrap()
    }
}
