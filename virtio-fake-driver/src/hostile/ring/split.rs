//! A split ring of a driver without rules.

use alloc::vec::Vec;

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::hostile::descriptor::{Descriptor, Found, INDIRECT, List, Made, NEXT, Slot, entries};
use crate::pool::AddressPool;
use crate::split::{self, RawSplit, SplitAreas};
use crate::view::DriverView;

/// The largest number of steps of a walk: a table can be as long as the memory.
const MAX_STEPS: usize = 1024;

/// A split ring, and the positions of both sides in it.
#[derive(Debug)]
pub(in crate::hostile) struct SplitRing {
    pub(in crate::hostile) raw: RawSplit,
    /// The descriptor that the next list takes first.
    free: u16,
    /// The available index.
    pub(in crate::hostile) next: u16,
    /// The available index up to which lists were found.
    seen: u16,
    /// The used index up to which buffers were taken back.
    used: u16,
}

impl SplitRing {
    pub(super) fn new(view: DriverView, size: u16, pool: &mut AddressPool) -> Self {
        let areas = SplitAreas::alloc(size, pool).expect("the memory has room for a ring");
        Self { raw: RawSplit::new(view, areas), free: 0, next: 0, seen: 0, used: 0 }
    }

    fn size(&self) -> u16 {
        self.raw.areas().size
    }

    pub(super) fn areas(&self) -> [DriverRange; 3] {
        let areas = self.raw.areas();
        [areas.descriptors(), areas.available_ring(), areas.used_ring()]
    }

    pub(super) fn place(&mut self, [descriptor_area, driver_area, device_area]: [DriverAddr; 3]) {
        let areas = SplitAreas { size: self.size(), descriptor_area, driver_area, device_area };
        self.raw = RawSplit::new(self.raw.view().clone(), areas);
    }

    pub(super) fn link(&mut self, elements: &[Descriptor]) -> List {
        let mut list = List { descriptors: elements.to_vec(), slots: Vec::new() };
        for (index, descriptor) in (1..).zip(&mut list.descriptors) {
            list.slots.push(Slot { index: self.free, wrap: true });
            self.free = (self.free + 1) % self.size();
            if index == elements.len() {
                descriptor.link = u16::MAX;
            } else {
                (descriptor.flags, descriptor.link) = (descriptor.flags | NEXT, self.free);
            }
        }
        list
    }

    pub(super) fn write(&self, list: &List) {
        for (slot, descriptor) in list.slots.iter().zip(&list.descriptors) {
            self.raw.view().poke(self.descriptor(*slot).start(), &self.to_bytes(*descriptor));
        }
    }

    pub(super) fn publish(&mut self, list: &List) {
        if let Some(head) = list.slots.first() {
            self.publish_head(head.index);
        }
    }

    pub(in crate::hostile) fn publish_head(&mut self, head: u16) {
        self.raw.set_available_entry(self.next % self.size(), head);
        self.set_index(self.next.wrapping_add(1));
    }

    pub(in crate::hostile) fn set_index(&mut self, index: u16) {
        self.next = index;
        self.raw.set_available_index(index);
    }

    #[expect(clippy::unused_self, reason = "both formats have this method")]
    pub(super) fn to_bytes(&self, descriptor: Descriptor) -> [u8; 16] {
        let Descriptor { addr, len, flags, link } = descriptor;
        split::Descriptor { addr: DriverAddr(addr), len, flags, next: link }.to_bytes()
    }

    pub(super) fn descriptor(&self, slot: Slot) -> DriverRange {
        self.raw.areas().descriptor(slot.index)
    }

    pub(super) fn find(&mut self, indirect: bool) -> Found {
        let index = self.raw.available_index();
        let mut found = Found { is_lost: index.wrapping_sub(self.seen) > self.size(), ..Found::default() };
        while self.seen != index && !found.is_lost {
            let head = self.raw.available_entry(self.seen % self.size());
            self.seen = self.seen.wrapping_add(1);
            if head < self.size() {
                found.lists.push(self.walk(head, indirect));
            } else {
                found.is_lost = true;
            }
        }
        found
    }

    /// Follows a list as far as that is possible, even where a device must stop.
    fn walk(&self, head: u16, indirect: bool) -> Made {
        let mut made = Made { id: head.into(), slots: Vec::new(), elements: Vec::new() };
        let mut next = Some(head);
        while let Some(index) = next.filter(|index| *index < self.size() && made.slots.len() < MAX_STEPS) {
            made.slots.push(index);
            let descriptor = from(self.raw.descriptor(index));
            made.elements.extend(descriptor.element().filter(|_| indirect || descriptor.flags & INDIRECT == 0));
            if indirect && descriptor.flags & INDIRECT != 0 {
                made.elements.extend(self.walk_table(descriptor));
            }
            next = (descriptor.flags & NEXT != 0).then_some(descriptor.link);
        }
        made
    }

    fn walk_table(&self, table: Descriptor) -> Vec<(DriverRange, Access)> {
        let view = self.raw.view();
        let entries = entries(view, view.mem().range(), table);
        let (mut elements, mut next, mut steps) = (Vec::new(), Some(0_u16), 0);
        while let Some(entry) = next.and_then(|next| entries.get(usize::from(next))).filter(|_| steps < MAX_STEPS) {
            let entry = from(split::Descriptor::from_bytes(*entry));
            elements.extend(entry.element().filter(|_| entry.flags & INDIRECT == 0));
            next = (entry.flags & NEXT != 0).then_some(entry.link);
            steps += 1;
        }
        elements
    }

    pub(super) fn used(&self) -> Option<(u32, u32)> {
        let element = self.raw.used_element(self.used % self.size());
        (self.raw.used_index() != self.used).then_some((element.id, element.len))
    }

    pub(super) fn pass(&mut self, lists: &[Made]) {
        let count = u16::try_from(lists.len()).unwrap_or(u16::MAX);
        self.used = self.used.wrapping_add(count);
        for slot in lists.iter().flat_map(|list| &list.slots) {
            self.raw.set_descriptor(*slot, split::Descriptor::default());
        }
    }
}

fn from(descriptor: split::Descriptor) -> Descriptor {
    let split::Descriptor { addr, len, flags, next } = descriptor;
    Descriptor { addr: addr.0, len, flags, link: next }
}
