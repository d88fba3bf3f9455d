//! The bytes that a driver has lent to a device.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::view::DriverView;
use crate::{packed, split};

/// The device can read the byte.
const READ: u8 = 1;
/// The device can write the byte.
const WRITE: u8 = 2;
/// The byte is part of a ring.
const RING: u8 = 4;
/// The byte is part of an indirect table.
const TABLE: u8 = 8;

/// The places of a queue's areas, and what its descriptors can mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) packed: bool,
    pub(super) indirect: bool,
    pub(super) descriptors: DriverRange,
    pub(super) driver: DriverRange,
    pub(super) device: DriverRange,
}

/// The kind of a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ring,
    Table,
    Buffer,
}

/// The bytes that the driver has lent, with all bytes that any descriptor in memory names.
///
/// The walk of a device through a list is not repeated here. So the driver can change the list while the device walks,
/// and a device that follows the old or the new list accesses lent bytes.
#[derive(Debug)]
pub(super) struct Lent {
    memory: DriverRange,
    layout: Option<Layout>,
    bytes: Vec<u8>,
    tables: Vec<DriverRange>,
}

impl Lent {
    pub(super) fn new(memory: DriverRange) -> Self {
        let len = usize::try_from(memory.len()).expect("the memory is on this host");
        Self { memory, layout: None, bytes: vec![0; len], tables: Vec::new() }
    }

    pub(super) fn set_layout(&mut self, layout: Layout) {
        self.layout = Some(layout);
    }

    /// Forgets what was lent, and looks at all descriptors.
    pub(super) fn scan(&mut self, view: &DriverView) {
        self.bytes.fill(0);
        self.tables.clear();
        let Some(layout) = self.layout else { return };
        let ring = if layout.packed { READ | WRITE | RING } else { READ | RING };
        self.mark(layout.descriptors, ring);
        self.mark(layout.driver, READ | RING);
        self.mark(layout.device, READ | WRITE | RING);
        self.scan_list(view, layout.descriptors, layout.descriptors, false);
    }

    /// Adds an element of a buffer that is in flight. Its descriptors can be gone.
    pub(super) fn add_element(&mut self, element: DriverRange, access: Access) {
        self.mark(element, if access.writes() { WRITE } else { READ });
    }

    /// Adds what the descriptors lend that the driver has just written in `poked`.
    pub(super) fn add(&mut self, view: &DriverView, poked: DriverRange) {
        let Some(layout) = self.layout else { return };
        self.scan_list(view, layout.descriptors, poked, false);
        for table in self.tables.clone() {
            self.scan_list(view, table, poked, true);
        }
    }

    /// Adds what the used descriptors name that the device has just written in `written`.
    ///
    /// In a packed ring, they replace descriptors of the driver, and keep the addresses. A list of a hostile driver can
    /// lead into them.
    pub(super) fn add_used(&mut self, view: &DriverView, written: DriverRange) {
        if let Some(layout) = self.layout.filter(|layout| layout.packed) {
            self.scan_list(view, layout.descriptors, written, false);
        }
    }

    /// Looks at the descriptors of a list that have bytes in `poked`.
    fn scan_list(&mut self, view: &DriverView, list: DriverRange, poked: DriverRange, is_table: bool) {
        let Some(places) = self.clip(list) else { return };
        let bytes = view.peek(list.start(), places.len());
        let entries = (0..).step_by(16).zip(bytes.chunks_exact(16));
        for (_, bytes) in entries.filter(|(offset, _)| overlap(list.after(*offset).prefix(16), poked)) {
            if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                self.lend(view, bytes, is_table);
            }
        }
    }

    fn lend(&mut self, view: &DriverView, bytes: [u8; 16], is_table: bool) {
        let Some(layout) = self.layout else { return };
        let (addr, len, flags) = fields(layout.packed, bytes);
        let Some(range) = self.reachable(addr, len) else { return };
        if flags & split::Descriptor::INDIRECT == 0 || (is_table && layout.packed) {
            self.mark(range, if flags & split::Descriptor::WRITE == 0 { READ } else { WRITE });
        } else if layout.indirect && !is_table && !self.tables.contains(&range) {
            self.mark(range, READ | TABLE);
            self.tables.push(range);
            self.scan_list(view, range, range, true);
        }
    }

    /// Returns the part of an element that is in memory, if its first byte is.
    fn reachable(&self, addr: DriverAddr, len: u32) -> Option<DriverRange> {
        let offset = self.memory.offset_of(addr)?;
        let len = u64::from(len).min(self.memory.len() - offset);
        DriverRange::new(addr, len).filter(|range| !range.is_empty())
    }

    fn mark(&mut self, range: DriverRange, bits: u8) {
        let places = self.clip(range).and_then(|places| self.bytes.get_mut(places));
        places.into_iter().flatten().for_each(|byte| *byte |= bits);
    }

    fn clip(&self, range: DriverRange) -> Option<Range<usize>> {
        let offset = self.memory.offset_of(range.start())?;
        let start = usize::try_from(offset).ok()?;
        Some(start..start + usize::try_from(range.len().min(self.memory.len() - offset)).ok()?)
    }
}

impl Lent {
    /// Returns whether the device can access all of `range` in this way.
    pub(super) fn allows(&self, range: DriverRange, access: Access) -> bool {
        let bits = if access.writes() { WRITE } else { READ };
        let bytes = self.clip(range).and_then(|places| self.bytes.get(places)).unwrap_or_default();
        bytes.len() as u64 == range.len() && bytes.iter().all(|byte| byte & bits != 0)
    }

    /// Returns the kind of the memory at `addr`.
    pub(super) fn place(&self, addr: DriverAddr) -> Place {
        let offset = self.memory.offset_of(addr).and_then(|offset| usize::try_from(offset).ok());
        match offset.and_then(|offset| self.bytes.get(offset)) {
            Some(byte) if byte & RING != 0 => Place::Ring,
            Some(byte) if byte & TABLE != 0 => Place::Table,
            _ => Place::Buffer,
        }
    }
}

/// Returns the address, the length and the flags of a descriptor.
fn fields(is_packed: bool, bytes: [u8; 16]) -> (DriverAddr, u32, u16) {
    if is_packed {
        let packed::Descriptor { addr, len, flags, .. } = packed::Descriptor::from_bytes(bytes);
        (addr, len, flags)
    } else {
        let split::Descriptor { addr, len, flags, .. } = split::Descriptor::from_bytes(bytes);
        (addr, len, flags)
    }
}

fn overlap(one: DriverRange, other: DriverRange) -> bool {
    one.offset_of(other.start()).is_some() || other.offset_of(one.start()).is_some()
}
