//! Rings of both formats, for a driver without rules.

pub(super) mod packed;
pub(super) mod split;

use virtio_mem_traits::{DriverAddr, DriverRange};

use self::packed::PackedRing;
use self::split::SplitRing;
use super::descriptor::{Descriptor, Found, List, Made, Slot};
use crate::pool::AddressPool;
use crate::view::DriverView;

/// A ring of either format, and both positions in it.
#[derive(Debug)]
pub(super) enum Ring {
    Split(SplitRing),
    Packed(PackedRing),
}

/// Evaluates the same expression for the ring of each format.
macro_rules! either {
    ($self:ident, $ring:ident => $result:expr) => {
        match $self {
            Self::Split($ring) => $result,
            Self::Packed($ring) => $result,
        }
    };
}

impl Ring {
    pub(super) fn new(is_packed: bool, view: DriverView, size: u16, pool: &mut AddressPool) -> Self {
        if is_packed {
            Self::Packed(PackedRing::new(view, size, pool))
        } else {
            Self::Split(SplitRing::new(view, size, pool))
        }
    }

    pub(super) const fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Returns the addresses of the Descriptor Area, the Driver Area and the Device Area.
    pub(super) fn areas(&self) -> [DriverRange; 3] {
        either!(self, ring => ring.areas())
    }

    /// Takes the ring to other areas.
    pub(super) fn place(&mut self, areas: [DriverAddr; 3]) {
        either!(self, ring => ring.place(areas));
    }

    /// Gives `elements` their places in the ring, and links them.
    pub(super) fn link(&mut self, elements: &[Descriptor]) -> List {
        either!(self, ring => ring.link(elements))
    }

    /// Writes a list, which does not become available by that.
    pub(super) fn write(&self, list: &List) {
        either!(self, ring => ring.write(list));
    }

    /// Makes the list available.
    pub(super) fn publish(&mut self, list: &List) {
        either!(self, ring => ring.publish(list));
    }

    /// Returns the bytes of a descriptor that is the one at `slot`, or an entry of a table.
    pub(super) fn to_bytes(&self, descriptor: Descriptor) -> [u8; 16] {
        either!(self, ring => ring.to_bytes(descriptor))
    }

    /// Returns the place of the descriptor of a slot.
    pub(super) fn descriptor(&self, slot: Slot) -> DriverRange {
        either!(self, ring => ring.descriptor(slot))
    }

    /// Returns the lists that became available since the last call.
    pub(super) fn find(&mut self, indirect: bool) -> Found {
        either!(self, ring => ring.find(indirect))
    }

    /// Returns the id and the length of the next used buffer.
    pub(super) fn used(&self) -> Option<(u32, u32)> {
        either!(self, ring => ring.used())
    }

    /// Goes on to the next used buffer, after those for `lists`, and clears descriptors, so that stale ones lend
    /// nothing.
    pub(super) fn pass(&mut self, lists: &[Made]) {
        either!(self, ring => ring.pass(lists));
    }
}
