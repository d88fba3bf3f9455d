//! Descriptors, and lists of them, as both formats have them.

use alloc::vec::Vec;

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

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
    pub(super) fn element(self) -> Option<(DriverRange, Access)> {
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

/// Returns the entries of an indirect table, as far as it is in memory.
pub(super) fn entries(view: &DriverView, memory: DriverRange, table: Descriptor) -> Vec<[u8; 16]> {
    let Some(offset) = memory.offset_of(DriverAddr(table.addr)) else { return Vec::new() };
    let len = u64::from(table.len).min(memory.len() - offset);
    let bytes = view.peek(DriverAddr(table.addr), usize::try_from(len).expect("the memory is on this host"));
    bytes.chunks_exact(16).filter_map(|entry| entry.try_into().ok()).collect()
}
