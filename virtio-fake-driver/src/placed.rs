//! Chains with a place in memory.

use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange};

use crate::chain::DriverChain;
use crate::chain::{Content, TablePlace};
use crate::error::AddError;
use crate::pool::AddressPool;
use crate::used::poison;
use crate::view::DriverView;

/// The size of a descriptor in bytes. Both formats have the same.
const DESCRIPTOR: u64 = 16;

/// A chain in memory without its descriptors, which depend on the format of the ring.
#[derive(Debug)]
pub struct Placed {
    /// The elements that have their descriptors in the ring.
    pub(crate) direct: Vec<Element>,
    /// The other elements.
    pub(crate) table: Option<Table>,
    /// The ranges that must go back to the pool.
    owned: Vec<DriverRange>,
}

/// An element of a chain in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub(crate) addr: DriverAddr,
    pub(crate) len: u32,
    pub(crate) writable: bool,
}

/// The place of an indirect table, and its entries.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) addr: DriverAddr,
    pub(crate) entries: Vec<Element>,
    /// Additional flags of all entries.
    pub(crate) flags: u16,
}

impl Placed {
    /// Finds places for all elements of `chain`, and fills them. Readable elements get their bytes. Writable elements
    /// get poison (FD-7).
    pub(crate) fn new(
        chain: &DriverChain,
        view: &DriverView<impl DriverMem>,
        pool: &mut AddressPool,
    ) -> Result<Self, AddError> {
        let mut placed = Self { direct: Vec::new(), table: None, owned: Vec::new() };
        match placed.find(chain, pool) {
            Ok(()) => {
                placed.fill(chain, view);
                Ok(placed)
            }
            Err(error) => {
                placed.give_back(pool);
                Err(error)
            }
        }
    }

    fn find(&mut self, chain: &DriverChain, pool: &mut AddressPool) -> Result<(), AddError> {
        for part in chain.parts() {
            let len = part.len();
            let addr = part.at.map_or_else(|| self.alloc(pool, len, 1), Ok)?;
            let len = u32::try_from(len).expect("an element has less than 2^32 bytes");
            self.direct.push(Element { addr, len, writable: part.is_writable() });
        }
        if chain.has_table() {
            let entries = self.direct.split_off(chain.direct_elements());
            let len = DESCRIPTOR * entries.len() as u64;
            let addr = match chain.table() {
                TablePlace::At(addr) => addr,
                TablePlace::Misaligned(by) => DriverAddr(self.alloc(pool, by + len, DESCRIPTOR)?.0 + by),
            };
            self.table = Some(Table { addr, entries, flags: chain.flags_in_table() });
        }
        Ok(())
    }

    fn alloc(&mut self, pool: &mut AddressPool, len: u64, align: u64) -> Result<DriverAddr, AddError> {
        let range = pool.alloc(len, align).ok_or(AddError::NoMemory { len })?;
        self.owned.push(range);
        Ok(range.start())
    }

    fn fill(&self, chain: &DriverChain, view: &DriverView<impl DriverMem>) {
        let mut poison = (0..).map(poison);
        for (part, element) in chain.parts().iter().zip(self.elements()) {
            match &part.content {
                Content::Readable(bytes) => view.poke(element.addr, bytes),
                Content::Writable(_) => {
                    let bytes: Vec<u8> = poison.by_ref().take(element.byte_count()).collect();
                    view.poke(element.addr, &bytes);
                }
            }
        }
    }

    /// Returns all elements, direct ones first.
    fn elements(&self) -> impl Iterator<Item = &Element> {
        self.direct.iter().chain(self.table.iter().flat_map(|table| &table.entries))
    }

    /// Returns the bytes of all writable elements.
    pub(crate) fn writable_bytes(&self, view: &DriverView<impl DriverMem>) -> Vec<u8> {
        let writable = self.elements().filter(|element| element.writable);
        writable.flat_map(|element| view.peek(element.addr, element.byte_count())).collect()
    }

    pub(crate) fn give_back(self, pool: &mut AddressPool) {
        for range in self.owned {
            pool.free(range);
        }
    }
}

impl Element {
    fn byte_count(self) -> usize {
        usize::try_from(self.len).expect("the length of an element in memory fits into a `usize`")
    }
}

impl Table {
    /// Returns the length of the table in bytes.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(DESCRIPTOR * self.entries.len() as u64).expect("a table has less than 2^32 bytes")
    }

    /// Returns the address of an entry.
    pub(crate) fn entry(&self, index: u16) -> DriverAddr {
        DriverAddr(self.addr.0 + DESCRIPTOR * u64::from(index))
    }
}
