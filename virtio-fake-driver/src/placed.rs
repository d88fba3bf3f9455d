//! Chains that have got their place in memory.

use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverRange};

use crate::chain::{Content, TablePlace};
use crate::used::poison;
use crate::{AddError, AddressPool, DriverChain, DriverView};

/// A chain in memory, whatever the format of the ring.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) elements: Vec<Element>,
    /// Where the indirect table goes, if there is one.
    pub(crate) table: Option<DriverAddr>,
    /// What has to be given back to the pool.
    owned: Vec<DriverRange>,
}

/// An element of a chain in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub(crate) addr: DriverAddr,
    pub(crate) len: u32,
    pub(crate) writable: bool,
}

impl Placed {
    /// Finds a place for everything in `chain`, with tables of `entry` bytes for each element, then fills the elements:
    /// the readable ones with what they hold, the writable ones with poison (FD-7).
    pub(crate) fn new(
        chain: &DriverChain,
        entry: u64,
        view: &DriverView,
        pool: &mut AddressPool,
    ) -> Result<Self, AddError> {
        let mut placed = Self { elements: Vec::new(), table: None, owned: Vec::new() };
        match placed.find(chain, entry, pool) {
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

    fn find(&mut self, chain: &DriverChain, entry: u64, pool: &mut AddressPool) -> Result<(), AddError> {
        for part in chain.parts() {
            let len = part.len();
            let addr = part.at.map_or_else(|| self.alloc(pool, len, 1), Ok)?;
            let len = u32::try_from(len).expect("an element has less than 2^32 bytes");
            self.elements.push(Element { addr, len, writable: part.is_writable() });
        }
        if chain.has_table() {
            let len = entry * (chain.elements() - chain.direct_elements()) as u64;
            self.table = Some(match chain.table() {
                TablePlace::At(addr) => addr,
                TablePlace::Misaligned(by) => DriverAddr(self.alloc(pool, by + len, 16)?.0 + by),
            });
        }
        Ok(())
    }

    fn alloc(&mut self, pool: &mut AddressPool, len: u64, align: u64) -> Result<DriverAddr, AddError> {
        let range = pool.alloc(len, align).ok_or(AddError::NoMemory { len })?;
        self.owned.push(range);
        Ok(range.start())
    }

    fn fill(&self, chain: &DriverChain, view: &DriverView) {
        let mut poison = (0..).map(poison);
        for (part, element) in chain.parts().iter().zip(&self.elements) {
            match &part.content {
                Content::Readable(bytes) => view.poke(element.addr, bytes),
                Content::Writable(_) => {
                    let bytes: Vec<u8> = poison.by_ref().take(element.byte_count()).collect();
                    view.poke(element.addr, &bytes);
                }
            }
        }
    }

    /// Returns what all writable elements hold.
    pub(crate) fn writable_bytes(&self, view: &DriverView) -> Vec<u8> {
        let writable = self.elements.iter().filter(|element| element.writable);
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
        usize::try_from(self.len).expect("what is in memory has a length of that kind")
    }
}
