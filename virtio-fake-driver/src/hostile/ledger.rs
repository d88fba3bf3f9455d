//! The account of the buffers that a device gets and uses.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use virtio_mem_traits::{Access, DriverRange};

use super::breach::Breach;
use super::descriptor::Made;
use super::memory::HostileMem;
use super::ring::Ring;

/// How much of the account can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// The driver has lost its position, or changes lists of a packed ring while the device is at work.
    Nothing,
    /// The driver changes elements while the device is at work.
    Ids,
    /// Ids and lengths.
    All,
}

/// The account of all buffers of one queue.
#[derive(Debug)]
pub(super) struct Ledger {
    trust: Trust,
    indirect: bool,
    /// Whether a used buffer stands for all before it.
    in_order: bool,
    /// The buffers that are available and not used, in the order in which they became available.
    available: VecDeque<Made>,
    used: BTreeSet<u32>,
}

impl Ledger {
    pub(super) const fn new(indirect: bool, in_order: bool) -> Self {
        Self { trust: Trust::All, indirect, in_order, available: VecDeque::new(), used: BTreeSet::new() }
    }

    /// Trusts the account no more than that from now on.
    pub(super) fn trust(&mut self, trust: Trust) {
        self.trust = self.trust.min(trust);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trust != Trust::Nothing
    }

    /// Returns the ids of the buffers that are available and not used.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.available.iter().map(|list| list.id).collect()
    }

    /// Returns the elements and tables of these buffers.
    pub(super) fn elements(&self) -> Vec<(DriverRange, Access)> {
        self.available.iter().flat_map(|list| list.elements.iter().copied()).collect()
    }

    /// Takes note of the buffers that became available.
    pub(super) fn find(&mut self, ring: &mut Ring, mem: &HostileMem) {
        if !self.is_trusted() {
            return;
        }
        let found = ring.find(self.indirect);
        found.lists.iter().flat_map(Made::writable).for_each(|range| mem.forget(range));
        self.available.extend(found.lists);
        if found.is_lost {
            self.trust(Trust::Nothing);
        }
    }

    /// Takes used buffers back.
    pub(super) fn take_back(&mut self, ring: &mut Ring, mem: &HostileMem) -> Vec<Breach> {
        let mut breaches = Vec::new();
        while let Some((id, len)) = ring.used().filter(|_| self.is_trusted()) {
            let Some(nth) = self.available.iter().position(|list| list.id == id) else {
                let is_known = self.used.contains(&id);
                breaches.push(if is_known { Breach::UsedTwice { id } } else { Breach::NeverAvailable { id } });
                self.trust(Trust::Nothing);
                break;
            };
            let skipped = if self.in_order { 0 } else { nth };
            let lists: Vec<Made> = self.available.drain(skipped..=nth).collect();
            ring.pass(&lists);
            breaches.extend(lists.last().and_then(|list| self.check_len(list, len, mem)));
            self.used.insert(id);
        }
        breaches
    }

    fn check_len(&self, list: &Made, len: u32, mem: &HostileMem) -> Option<Breach> {
        let written = mem.written_prefix(&list.writable());
        (self.trust == Trust::All && u64::from(len) > written).then_some(Breach::TooLong { id: list.id, len, written })
    }
}
