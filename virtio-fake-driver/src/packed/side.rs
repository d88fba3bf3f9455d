//! The driver's side of a packed ring.

use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{DriverAddr, DriverMem};

use super::areas::PackedAreas;
use super::descriptor::Descriptor;
use super::event_suppression::EventSuppression;
use super::raw::RawPacked;
use crate::error::DeviceViolation;
use crate::features::{EVENT_IDX, IN_ORDER, RING_PACKED};
use crate::format::{InFlight, Side, Used};
use crate::free_list::FreeList;
use crate::options::DriverOptions;
use crate::placed::{Element, Placed, Table};
use crate::pool::AddressPool;
use crate::view::DriverView;

/// The bit of the wrap counter, in the form of a position in events and notifications.
const WRAP: u16 = 1 << 15;

/// Both bits that show the lap.
const BOTH: u16 = Descriptor::AVAIL | Descriptor::USED;

/// The driver's side of a packed ring. The id of a chain is its Buffer ID, which is less than the queue size.
#[derive(Debug)]
pub struct PackedSide<M> {
    raw: RawPacked<M>,
    ids: FreeList,
    /// The slot of the first descriptor that the device does not see yet, and the flags that are not written yet.
    withheld: Option<(u16, u16)>,
    event_idx: bool,
    in_order: bool,
}

impl<M: DriverMem> PackedSide<M> {
    pub(super) fn with_areas(view: DriverView<M>, areas: PackedAreas, options: &DriverOptions) -> Self {
        let DriverOptions { features, start, scramble } = *options;
        let size = areas.size;
        assert!((1..=1 << 15).contains(&size), "queue size {size} is wrong: it must be from 1 to 32768 (DRV-CFG-3)");
        let side = Self {
            raw: RawPacked::new(view, areas),
            ids: FreeList::new(size, scramble),
            withheld: None,
            event_idx: features & EVENT_IDX != 0,
            in_order: features & IN_ORDER != 0,
        };
        for area in [areas.descriptors(), areas.driver_events(), areas.device_events()] {
            side.view().zero(area);
        }
        // All descriptors in the ring are used, in the lap of the start or in the lap before it.
        let start = side.position(start.unwrap_or(WRAP));
        for passed in (start..).take(size.into()) {
            let flags = if side.wrap(passed) { 0 } else { BOTH };
            side.raw.set_flags(side.slot(passed), flags);
        }
        side
    }

    pub(crate) const fn raw(&self) -> &RawPacked<M> {
        &self.raw
    }

    /// Returns the slot of a position.
    fn slot(&self, position: u64) -> u16 {
        u16::try_from(position % u64::from(self.size())).expect("it is less than the size")
    }

    /// Returns the wrap counter of a position. It is 1 in the first lap (PACK-WRAP-1).
    fn wrap(&self, position: u64) -> bool {
        position / u64::from(self.size()) % 2 == 0
    }

    /// Returns the flags that make the descriptor at `position` available. They depend on the wrap counter
    /// (PACK-WRAP-2).
    fn available(&self, position: u64) -> u16 {
        if self.wrap(position) { Descriptor::AVAIL } else { Descriptor::USED }
    }

    /// Returns the device's report at `position`, or `None` if there is no report.
    fn used_at(&self, position: u64) -> Option<Used> {
        let used = self.raw.used_descriptor(self.slot(position));
        let report = Used { id: used.id.into(), len: used.written(), at_most: usize::MAX };
        used.is_used(self.wrap(position)).then_some(report)
    }

    /// Writes an indirect table, and returns the descriptor that refers to it.
    ///
    /// The entries have no NEXT flag. Their Buffer IDs have no meaning (PACK-IND-1, PACK-IND-3), so their values are
    /// absurd.
    fn write_table(&self, table: &Table) -> Descriptor {
        for (element, index) in table.entries.iter().zip(0..) {
            let mut entry = Descriptor { id: !index, ..descriptor(element) };
            entry.flags |= table.flags;
            self.raw.set_descriptor_at(table.entry(index), entry);
        }
        Descriptor { addr: table.addr, len: table.len(), flags: Descriptor::INDIRECT, id: 0 }
    }
}

fn descriptor(element: &Element) -> Descriptor {
    let flags = if element.writable { Descriptor::WRITE } else { 0 };
    Descriptor { addr: element.addr, len: element.len, flags, id: 0 }
}

impl<M: DriverMem> Side<M> for PackedSide<M> {
    fn new(view: DriverView<M>, size: u16, pool: &mut AddressPool, options: &DriverOptions) -> Self {
        let areas = PackedAreas::alloc(size, pool).expect("the memory has room for the queue");
        Self::with_areas(view, areas, options)
    }

    fn features(features: u64) -> u64 {
        features | RING_PACKED
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
        false
    }

    fn to_wire(&self, position: u64) -> u16 {
        self.slot(position) | if self.wrap(position) { WRAP } else { 0 }
    }

    fn position(&self, wire: u16) -> u64 {
        let (slot, size) = (wire & !WRAP, self.size());
        assert!(slot < size, "slot {slot} is not in a ring of {size}: it must be less than {size}");
        u64::from(slot) + if wire & WRAP == 0 { size.into() } else { 0 }
    }

    /// Writes all descriptors, but withholds the flags of the first one. The device reads descriptors in order, and
    /// stops at the first that is not available. So it does not see the descriptors after the first one (PACK-SG-6).
    fn write(&mut self, position: u64, placed: Placed) -> InFlight {
        let mut list: Vec<Descriptor> = placed.direct.iter().map(descriptor).collect();
        list.extend(placed.table.iter().map(|table| self.write_table(table)));
        let id = *self.ids.take(1).first().expect("there is a Buffer ID for every descriptor");
        Descriptor::link(&mut list, id);
        let mut slots = Vec::new();
        for (mut descriptor, position) in list.into_iter().zip(position..) {
            let slot = self.slot(position);
            slots.push(slot);
            descriptor.flags |= self.available(position);
            if self.withheld.is_some() {
                self.raw.set_descriptor(slot, descriptor);
            } else {
                self.raw.set_all_but_flags(slot, descriptor);
                self.withheld = Some((slot, descriptor.flags));
            }
        }
        InFlight { id, descriptors: slots, placed }
    }

    fn publish(&mut self, _position: u64) {
        if let Some((slot, flags)) = self.withheld.take() {
            self.raw.set_flags(slot, flags);
        }
    }

    fn advance(&self, chain: &InFlight) -> u64 {
        chain.descriptors.len() as u64
    }

    fn used(&self, position: u64, available: u16) -> Result<Option<Used>, DeviceViolation> {
        match self.used_at(position) {
            Some(_) if available == 0 => Err(DeviceViolation::TooManyUsed { used: 1, available }),
            used => Ok(used),
        }
    }

    /// The place of a used descriptor depends on the lengths of the lists before it.
    fn used_until(&self, mut position: u64, mut left: Vec<&InFlight>) -> u64 {
        while let Some(used) = self.used_at(position) {
            let Some(place) = left.iter().position(|chain| u32::from(chain.id) == used.id) else { break };
            let first = if self.in_order { 0 } else { place };
            position += left.drain(first..=place).map(|chain| self.advance(chain)).sum::<u64>();
        }
        position
    }

    /// Returns 0, because the length of the list is not known.
    fn advance_of_unknown(&self) -> u64 {
        0
    }

    fn free(&mut self, chain: &InFlight) {
        self.ids.give_back(&[chain.id]);
    }

    fn wants_kick(&self, mut new: Range<u64>) -> bool {
        let events = self.raw.device_events();
        match events.flags & 3 {
            EventSuppression::DISABLE => false,
            EventSuppression::DESC if self.event_idx => new.any(|position| self.to_wire(position) == events.off_wrap),
            // The device asks for all kicks, or has a value that it must not have. An unnecessary kick does no harm.
            _ => true,
        }
    }

    fn disable_interrupts(&self, _position: u64) {
        self.raw.set_driver_events(EventSuppression { off_wrap: u16::MAX, flags: EventSuppression::DISABLE });
    }

    /// Without EVENT_IDX, the offset has no meaning.
    ///
    /// So its value is absurd (PACK-EVT-6).
    fn enable_interrupts(&self, position: u64) {
        self.raw.set_driver_events(if self.event_idx {
            EventSuppression { off_wrap: self.to_wire(position), flags: EventSuppression::DESC }
        } else {
            EventSuppression { off_wrap: u16::MAX, flags: EventSuppression::ENABLE }
        });
    }
}
