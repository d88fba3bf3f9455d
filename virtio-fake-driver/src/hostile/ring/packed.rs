//! A packed ring of a driver without rules.

use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverRange};

use crate::hostile::descriptor::{Descriptor, Found, INDIRECT, List, Made, NEXT, Slot, WRITE, entries};
use crate::packed::{self, PackedAreas, RawPacked};
use crate::pool::AddressPool;
use crate::view::DriverView;

/// A packed ring, and the positions of both sides in it.
#[derive(Debug)]
pub(in crate::hostile) struct PackedRing {
    pub(in crate::hostile) raw: RawPacked,
    /// The slot that the next list takes first.
    pub(in crate::hostile) next: Slot,
    /// The slot up to which lists were found.
    seen: Slot,
    /// The slot up to which buffers were taken back.
    used: Slot,
}

impl PackedRing {
    pub(super) fn new(view: DriverView, size: u16, pool: &mut AddressPool) -> Self {
        let areas = PackedAreas::alloc(size, pool).expect("the memory has room for a ring");
        let start = Slot { index: 0, wrap: true };
        Self { raw: RawPacked::new(view, areas), next: start, seen: start, used: start }
    }

    fn size(&self) -> u16 {
        self.raw.areas().size
    }

    pub(super) fn areas(&self) -> [DriverRange; 3] {
        let areas = self.raw.areas();
        [areas.descriptors(), areas.driver_events(), areas.device_events()]
    }

    pub(super) fn place(&mut self, [descriptor_area, driver_area, device_area]: [DriverAddr; 3]) {
        let areas = PackedAreas { size: self.size(), descriptor_area, driver_area, device_area };
        self.raw = RawPacked::new(self.raw.view().clone(), areas);
    }

    /// Returns the slot after `slot`.
    pub(in crate::hostile) fn after(&self, slot: Slot) -> Slot {
        match slot.index + 1 {
            index if index >= self.size() => Slot { index: 0, wrap: !slot.wrap },
            index => Slot { index, wrap: slot.wrap },
        }
    }

    pub(super) fn link(&mut self, elements: &[Descriptor]) -> List {
        let mut list = List { descriptors: elements.to_vec(), slots: Vec::new() };
        let id = self.next.index;
        for (index, descriptor) in (1..).zip(&mut list.descriptors) {
            list.slots.push(self.next);
            self.next = self.after(self.next);
            if index == elements.len() {
                descriptor.link = id;
            } else {
                (descriptor.flags, descriptor.link) = (descriptor.flags | NEXT, u16::MAX);
            }
        }
        list
    }

    pub(super) fn write(&self, list: &List) {
        for (nth, (slot, descriptor)) in list.slots.iter().zip(&list.descriptors).enumerate() {
            let bytes = self.to_bytes(*descriptor);
            let (rest, _) = bytes.split_at(14);
            self.raw.view().poke(self.descriptor(*slot).start(), rest);
            if nth != 0 {
                self.raw.set_flags(slot.index, flags(*slot, *descriptor));
            }
        }
    }

    pub(super) fn publish(&mut self, list: &List) {
        if let (Some(slot), Some(descriptor)) = (list.slots.first(), list.descriptors.first()) {
            self.raw.set_flags(slot.index, flags(*slot, *descriptor));
        }
    }

    #[expect(clippy::unused_self, reason = "both formats have this method")]
    pub(super) fn to_bytes(&self, descriptor: Descriptor) -> [u8; 16] {
        let Descriptor { addr, len, flags, link } = descriptor;
        packed::Descriptor { addr: DriverAddr(addr), len, id: link, flags }.to_bytes()
    }

    pub(super) fn descriptor(&self, slot: Slot) -> DriverRange {
        self.raw.areas().descriptor(slot.index)
    }

    pub(super) fn find(&mut self, indirect: bool) -> Found {
        let mut found = Found::default();
        while !found.is_lost && self.is_available(self.seen) {
            match self.walk(indirect) {
                Some(list) => found.lists.push(list),
                None => found.is_lost = true,
            }
        }
        found
    }

    fn is_available(&self, slot: Slot) -> bool {
        let both = self.raw.descriptor(slot.index).flags & (packed::Descriptor::AVAIL | packed::Descriptor::USED);
        both == available(slot)
    }

    /// Takes the next list, or returns `None` if it has no end.
    fn walk(&mut self, indirect: bool) -> Option<Made> {
        let mut made = Made { id: 0, slots: Vec::new(), elements: Vec::new() };
        while made.slots.len() < self.size().into() {
            let descriptor = from(self.raw.descriptor(self.seen.index));
            made.slots.push(self.seen.index);
            made.id = descriptor.link.into();
            made.elements.extend(descriptor.element().filter(|_| indirect || descriptor.flags & INDIRECT == 0));
            if indirect && descriptor.flags & INDIRECT != 0 {
                made.elements.extend(self.table(descriptor).filter_map(Descriptor::element));
            }
            self.seen = self.after(self.seen);
            if descriptor.flags & NEXT == 0 {
                return Some(made);
            }
        }
        None
    }

    fn table(&self, table: Descriptor) -> impl Iterator<Item = Descriptor> {
        let view = self.raw.view();
        let entries = entries(view, view.mem().range(), table);
        // In a table, WRITE is the only flag.
        let entries = entries.into_iter().map(|entry| from(packed::Descriptor::from_bytes(entry)));
        entries.map(|entry| Descriptor { flags: entry.flags & WRITE, ..entry })
    }

    pub(super) fn used(&self) -> Option<(u32, u32)> {
        let used = self.raw.used_descriptor(self.used.index);
        used.is_used(self.used.wrap).then_some((used.id.into(), used.written()))
    }

    pub(super) fn pass(&mut self, lists: &[Made]) {
        for _ in lists.iter().flat_map(|list| &list.slots) {
            // The flags still tell the lap.
            self.raw.set_all_but_flags(self.used.index, packed::Descriptor::default());
            self.used = self.after(self.used);
        }
    }
}

/// Returns the flags of a descriptor that is available at `slot`.
fn flags(slot: Slot, descriptor: Descriptor) -> u16 {
    let both = packed::Descriptor::AVAIL | packed::Descriptor::USED;
    descriptor.flags & !both | available(slot)
}

/// Returns the flags that make a descriptor at `slot` available.
pub(in crate::hostile) const fn available(slot: Slot) -> u16 {
    if slot.wrap { packed::Descriptor::AVAIL } else { packed::Descriptor::USED }
}

fn from(descriptor: packed::Descriptor) -> Descriptor {
    let packed::Descriptor { addr, len, id, flags } = descriptor;
    Descriptor { addr: addr.0, len, flags, link: id }
}
