//! The driver's side of a split ring.

use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{DriverAddr, DriverMem};

use super::areas::SplitAreas;
use super::descriptor::Descriptor;
use super::raw::RawSplit;
use crate::error::DeviceViolation;
use crate::features::{EVENT_IDX, IN_ORDER, RING_PACKED};
use crate::format::{InFlight, Side, Used};
use crate::free_list::FreeList;
use crate::options::DriverOptions;
use crate::placed::{Element, Placed, Table};
use crate::pool::AddressPool;
use crate::view::DriverView;

/// NO_NOTIFY in the flags of the used ring, and NO_INTERRUPT in the flags of the available ring.
const NO_NOTIFICATION: u16 = 1;

/// The driver's side of a split ring. The id of a chain is its head.
#[derive(Debug)]
pub struct SplitSide<M> {
    raw: RawSplit<M>,
    /// The descriptors that no chain occupies.
    free: FreeList,
    event_idx: bool,
}

impl<M: DriverMem> SplitSide<M> {
    pub(super) fn with_areas(view: DriverView<M>, areas: SplitAreas, options: &DriverOptions) -> Self {
        let DriverOptions { features, start, scramble } = *options;
        let size = areas.size;
        assert!(size.is_power_of_two(), "queue size {size} is not a power of two: it must be one (DRV-CFG-3)");
        let raw = RawSplit::new(view, areas);
        for area in [areas.descriptors(), areas.available_ring(), areas.used_ring()] {
            raw.view().zero(area);
        }
        let start = start.unwrap_or(0);
        raw.view().poke(areas.used_index().start(), &start.to_le_bytes());
        raw.set_available_index(start);
        let in_order = features & IN_ORDER != 0;
        let free = if in_order { FreeList::circle(size) } else { FreeList::new(size, scramble) };
        Self { raw, free, event_idx: features & EVENT_IDX != 0 }
    }

    pub(crate) const fn raw(&self) -> &RawSplit<M> {
        &self.raw
    }

    /// Returns the slot of a position. The slot of an index is the index modulo the size (SPLIT-AVAIL-2).
    fn slot(&self, position: u64) -> u16 {
        self.to_wire(position) % self.size()
    }

    /// Returns the number of elements that the device has used from a position on.
    fn used_count(&self, position: u64) -> u16 {
        self.raw.used_index().wrapping_sub(self.to_wire(position))
    }

    /// Writes an indirect table, and returns the descriptor that refers to it.
    fn write_table(&mut self, table: &Table) -> Descriptor {
        let mut entries: Vec<Descriptor> = table.entries.iter().map(descriptor).collect();
        let order = self.free.table_order(u16::try_from(entries.len()).expect("an index of a table has 16 bits"));
        Descriptor::link(&mut entries, &order);
        for (mut entry, index) in entries.into_iter().zip(order) {
            entry.flags |= table.flags;
            self.raw.set_descriptor_at(table.entry(index), entry);
        }
        Descriptor { addr: table.addr, len: table.len(), flags: Descriptor::INDIRECT, next: 0 }
    }
}

fn descriptor(element: &Element) -> Descriptor {
    let flags = if element.writable { Descriptor::WRITE } else { 0 };
    Descriptor { addr: element.addr, len: element.len, flags, next: 0 }
}

impl<M: DriverMem> Side<M> for SplitSide<M> {
    fn new(view: DriverView<M>, size: u16, pool: &mut AddressPool, options: &DriverOptions) -> Self {
        let areas = SplitAreas::alloc(size, pool).expect("the memory has room for the queue");
        Self::with_areas(view, areas, options)
    }

    fn features(features: u64) -> u64 {
        features & !RING_PACKED
    }

    fn size(&self) -> u16 {
        self.raw.areas().size
    }

    fn areas(&self) -> [DriverAddr; 3] {
        let areas = self.raw.areas();
        [areas.descriptor_area, areas.driver_area, areas.device_area]
    }

    fn view(&self) -> &DriverView<M> {
        self.raw.view()
    }

    fn takes_mixed_chains(&self) -> bool {
        true
    }

    /// Returns the low 16 bits, because an index has 16 bits.
    #[expect(clippy::cast_possible_truncation, reason = "an index is the position modulo 2^16")]
    fn to_wire(&self, position: u64) -> u16 {
        position as u16
    }

    fn position(&self, wire: u16) -> u64 {
        wire.into()
    }

    fn write(&mut self, position: u64, placed: Placed) -> InFlight {
        let mut own: Vec<Descriptor> = placed.direct.iter().map(descriptor).collect();
        own.extend(placed.table.iter().map(|table| self.write_table(table)));
        let descriptors = self.free.take(own.len());
        Descriptor::link(&mut own, &descriptors);
        for (descriptor, index) in own.into_iter().zip(&descriptors) {
            self.raw.set_descriptor(*index, descriptor);
        }
        let id = *descriptors.first().expect("a chain has at least one descriptor");
        self.raw.set_available_entry(self.slot(position), id);
        InFlight { id, descriptors, placed }
    }

    fn publish(&mut self, position: u64) {
        self.raw.set_available_index(self.to_wire(position));
    }

    fn advance(&self, _chain: &InFlight) -> u64 {
        1
    }

    fn used(&self, position: u64, available: u16) -> Result<Option<Used>, DeviceViolation> {
        let used = self.used_count(position);
        if used == 0 {
            return Ok(None);
        }
        if used > available {
            return Err(DeviceViolation::TooManyUsed { used, available });
        }
        let element = self.raw.used_element(self.slot(position));
        Ok(Some(Used { id: element.id, len: element.len, at_most: used.into() }))
    }

    fn used_until(&self, position: u64, _in_flight: Vec<&InFlight>) -> u64 {
        position + u64::from(self.used_count(position))
    }

    fn advance_of_unknown(&self) -> u64 {
        1
    }

    fn free(&mut self, chain: &InFlight) {
        self.free.give_back(&chain.descriptors);
    }

    fn wants_kick(&self, mut new: Range<u64>) -> bool {
        if self.event_idx {
            let event = self.raw.avail_event();
            new.any(|position| self.to_wire(position) == event)
        } else {
            self.raw.used_flags() & NO_NOTIFICATION == 0
        }
    }

    fn disable_interrupts(&self, position: u64) {
        if self.event_idx {
            self.raw.set_used_event(self.to_wire(position).wrapping_sub(1));
        } else {
            self.raw.set_available_flags(NO_NOTIFICATION);
        }
    }

    fn enable_interrupts(&self, position: u64) {
        if self.event_idx {
            self.raw.set_used_event(self.to_wire(position));
        } else {
            self.raw.set_available_flags(0);
        }
    }
}
