//! Rings of both formats, for a driver without rules.

mod packed;
mod split;

use alloc::vec::Vec;

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

pub(super) use self::packed::{PackedRing, available};
pub(super) use self::split::SplitRing;
use crate::pool::AddressPool;
use crate::view::DriverView;

/// The flags that both formats have.
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

/// A descriptor of either format.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Descriptor {
    pub(super) addr: u64,
    pub(super) len: u32,
    pub(super) flags: u16,
    /// The field `next` of a split ring, the Buffer ID of a packed one.
    pub(super) link: u16,
}

impl Descriptor {
    pub(super) fn range(self) -> Option<DriverRange> {
        DriverRange::new(DriverAddr(self.addr), self.len.into())
    }

    /// Returns the element that it describes, or the table.
    fn element(self) -> Option<(DriverRange, Access)> {
        let is_writable = self.flags & (WRITE | INDIRECT) == WRITE;
        self.range().map(|range| (range, if is_writable { Access::Write } else { Access::Read }))
    }
}

/// A list of descriptors in a ring.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) slots: Vec<Slot>,
}

/// A place in a ring, with the wrap counter there. Split rings have no wrap counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) index: u16,
    pub(super) wrap: bool,
}

/// A list that the device can find in a ring.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) id: u32,
    /// The slots that the device skips for it in a packed ring, or the descriptors in a split one.
    pub(super) slots: Vec<u16>,
    /// The elements and tables, in order.
    pub(super) elements: Vec<(DriverRange, Access)>,
}

impl Made {
    /// Returns the writable elements, in order.
    pub(super) fn writable(&self) -> Vec<DriverRange> {
        let writable = self.elements.iter().filter(|(_, access)| access.writes());
        writable.map(|(range, _)| *range).collect()
    }
}

/// The lists that the device can find.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) lists: Vec<Made>,
    /// The driver's position makes no sense: the device must report an error, or can do anything that is bounded.
    pub(super) is_lost: bool,
}

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

/// Returns the entries of an indirect table, as far as it is in memory.
pub(super) fn entries(view: &DriverView, memory: DriverRange, table: Descriptor) -> Vec<[u8; 16]> {
    let Some(offset) = memory.offset_of(DriverAddr(table.addr)) else { return Vec::new() };
    let len = u64::from(table.len).min(memory.len() - offset);
    let bytes = view.peek(DriverAddr(table.addr), usize::try_from(len).expect("the memory is on this host"));
    bytes.chunks_exact(16).filter_map(|entry| entry.try_into().ok()).collect()
}
