//! Serving and gathering many chains of a split ring.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, StableMem};
use virtio_ring::TableEntry;
use virtio_ring::split::{Descriptor, DescriptorIndex, UsedElement};

use super::positions::SplitPositions;
use super::ring::SplitRing;
use super::walk::{SplitWalk, words};
use crate::error::FatalError;
use crate::head::Head;
use crate::ring::{Ring, ServeChain};

/// Serving: each chain is completed as soon as the device has seen it.
impl<M: StableMem> SplitRing<M> {
    /// Does what [`Ring::serve`](crate::Ring::serve) does.
    #[inline(always)]
    pub(super) fn serve_chains(
        &self,
        positions: &mut SplitPositions,
        limit: usize,
        mut work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        let mut served = 0;
        while served < limit {
            let available = self.available(positions)?;
            let count = available.min(u16::try_from(limit - served).unwrap_or(u16::MAX));
            if count == 0 {
                break;
            }
            let run = self.serve_run(positions, count, &mut work)?;
            served += usize::from(run);
            if run == 0 {
                served += usize::from(self.serve_slowly(positions, work.again())?);
            }
        }
        Ok(served)
    }

    /// Serves at most `count` available chains, and returns the number of chains that it served.
    ///
    /// It stops at the end of either ring, and where an access needs a search.
    ///
    /// PERF: values that do not change during a run are looked up once (`direct-1-burst-32`).
    #[inline(always)]
    fn serve_run(
        &self,
        positions: &mut SplitPositions,
        count: u16,
        work: &mut impl ServeChain,
    ) -> Result<u16, FatalError> {
        let entries = self.driver_area.entries(positions.next_available, count);
        let elements = self.device_area.used_elements(positions.next_used, narrow(entries.len()));
        let entries = entries.prefix(elements.len());
        let walk = SplitWalk::new(&self.descriptors, DescriptorIndex(0));
        let mut done = 0;
        while let Some(head) = entries.get(done) {
            if !walk.has(head) {
                self.checked(head)?;
            }
            elements.set(done, UsedElement::new(head, work.serve(walk.of(head))));
            done += 1;
        }
        let done = narrow(done);
        positions.next_available = positions.next_available.advanced(done);
        positions.next_used = positions.next_used.advanced(done);
        Ok(done)
    }

    /// Does what [`Ring::serve_one`](crate::Ring::serve_one) does.
    ///
    /// PERF: this function does only what one chain needs (`direct-1-burst-1`).
    #[inline(always)]
    pub(super) fn serve_one_chain(
        &self,
        positions: &mut SplitPositions,
        work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        if !self.serve_next(positions, work)? {
            return Ok(None);
        }
        self.publish(positions).map(Some)
    }

    /// Serves the next chain, and returns whether there is one.
    #[inline(always)]
    fn serve_next(&self, positions: &mut SplitPositions, mut work: impl ServeChain) -> Result<bool, FatalError> {
        if self.available(positions)? == 0 {
            return Ok(false);
        }
        let head = self.head(positions.next_available)?;
        let written = work.serve(SplitWalk::new(&self.descriptors, head));
        self.device_area.set_used(positions.next_used, UsedElement::new(head, written))?;
        positions.next_available = positions.next_available.advanced(1);
        positions.next_used = positions.next_used.advanced(1);
        Ok(true)
    }

    /// Serves the next chain if an access needs a search.
    #[cold]
    #[inline(never)]
    fn serve_slowly(&self, positions: &mut SplitPositions, work: impl ServeChain) -> Result<bool, FatalError> {
        self.serve_next(positions, work)
    }
}

/// Gathering: chains of one element.
impl<M: StableMem> SplitRing<M> {
    /// Does what [`Ring::gather`](crate::Ring::gather) does.
    #[inline(always)]
    pub(super) fn gather_chains<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut SplitPositions,
        limit: usize,
        mem: &'m P,
        access: Access,
        mut take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        let Some(only) = self.descriptors.limits.only(access) else { return Ok(0) };
        let (available, first) = (self.available(positions)?, positions.next_available);
        let count = available.min(u16::try_from(limit).unwrap_or(u16::MAX));
        let (entries, table) = (self.driver_area.entries(first, count), self.descriptors.table().contiguous());
        let mut done = 0;
        while let Some(head) = entries.get(done) {
            let Some(words) = Descriptor::load(table, head.0.into()).map(words) else { break };
            if !only.accepts(words.1) {
                break;
            }
            let Some(memory) = only.find(mem, words) else { break };
            take(Head::new(head.0, first.advanced(narrow(done)).get(), 1), words.0, memory);
            done += 1;
        }
        positions.next_available = first.advanced(narrow(done));
        Ok(narrow(done))
    }

    /// Does what [`Ring::complete_all`](crate::Ring::complete_all) does.
    #[inline(always)]
    pub(super) fn complete_chains(
        &self,
        positions: &mut SplitPositions,
        heads: impl Iterator<Item = (Head, u32)>,
    ) -> Result<(), FatalError> {
        let mut elements = self.device_area.used_elements(positions.next_used, u16::MAX);
        let (mut first, mut done) = (positions.next_used, 0);
        for (head, written) in heads {
            let element = UsedElement::new(DescriptorIndex(head.id()), written);
            if !elements.set(done, element) {
                first = first.advanced(narrow(done));
                self.device_area.set_used(first, element)?;
                elements = self.device_area.used_elements(first.advanced(head.slots()), u16::MAX);
                (first, done) = (first.advanced(head.slots()), 0);
                continue;
            }
            done += usize::from(head.slots());
        }
        positions.next_used = first.advanced(narrow(done));
        Ok(())
    }
}

/// Converts a number of entries into the type that a ring counts with.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a ring has at most 2^15 entries")]
const fn narrow(entries: usize) -> u16 {
    entries as u16
}
