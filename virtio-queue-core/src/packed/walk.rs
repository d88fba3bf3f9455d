//! Walking along a list of a packed ring.

use core::iter::FusedIterator;
use core::slice;

use virtio_mem_traits::{DeviceArray, DriverRange, StableMem};
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::ring::PackedRing;
use crate::rules::{Claim, Limits, Rules};
use crate::walk::{Step, finish};
use crate::{ChainError, ChainErrorKind, Element, Ring, Walk};

/// A walk along a list in a packed ring, or along the indirect table that its only descriptor stands for.
///
/// ```text
/// as often as the list has slots, as was found when it was fetched:
///     read the descriptor in the next slot, once
///     indirect?   it must be the only one; go on with all entries of its table
///     otherwise   it is an element
/// ```
///
/// Neither in the ring nor in a table does a flag say how to go on: the list was measured when it was fetched, and a table
/// is as long as it is (PACK-IND-1). So there are no loops.
#[derive(Debug)]
pub struct PackedWalk<'r, M> {
    ring: &'r PackedRing<M>,
    /// What can be read at once of the table that it is in.
    entries: DeviceArray<'r, [u64; 2]>,
    place: PackedPlace,
}

/// A place in a list of a packed ring.
#[derive(Clone, Copy, Debug)]
pub struct PackedPlace {
    /// Where the table is, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next; at the end of the ring, that is the first one.
    next: u16,
    /// How many descriptors are still to be read; 0 after an error.
    left: u32,
    id: BufferId,
    /// How many descriptors the list has.
    slots: u16,
    rules: Rules,
}

/// A walk that came upon a descriptor which is not plain, if it could be read at once, and is still in front of it.
type Stopped<'r, M> = (PackedWalk<'r, M>, Option<Descriptor>);

impl PackedPlace {
    #[inline(always)]
    pub(super) const fn new(limits: &Limits, id: BufferId, first: u16, slots: u16) -> Self {
        Self { indirect: None, next: first, left: slots as u32, id, slots, rules: Rules::for_list(limits, slots) }
    }

    /// Accepts the element that a descriptor stands for, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        let element = self.rules.accept_plain_in_list(claim(descriptor))?;
        self.advance();
        Some(element)
    }

    /// Goes on to the descriptor after the next one. That there is none at the end of the ring is seen when it is to be read.
    #[inline(always)]
    const fn advance(&mut self) {
        self.next = self.next.wrapping_add(1);
        self.left = self.left.wrapping_sub(1);
    }

    /// Takes one step, as the [walk from here](PackedWalk::from_place) does.
    // PERF: a plain descriptor of the queue's own table changes the place where it lies (`bench instructions`, payload-read-64).
    #[inline(always)]
    pub(super) fn step<M: StableMem>(&mut self, ring: &PackedRing<M>) -> Option<Result<Element, ChainError>> {
        if self.left == 0 {
            return None;
        }
        if self.indirect.is_some() {
            return self.step_in_table(ring);
        }
        let descriptor = ring.table().get_contiguous(DescriptorIndex(self.next));
        match descriptor.and_then(|descriptor| self.accept_plain(descriptor)) {
            Some(element) => Some(Ok(element)),
            None => self.step_on(ring, descriptor),
        }
    }

    /// Takes one step in an indirect table.
    #[inline(never)]
    fn step_in_table<M: StableMem>(&mut self, ring: &PackedRing<M>) -> Option<Result<Element, ChainError>> {
        let mut walk = PackedWalk::from_place(ring, *self);
        let item = walk.next();
        *self = walk.place;
        item
    }

    /// Takes one step from a descriptor that is not plain, or cannot be read at once.
    #[cold]
    fn step_on<M: StableMem>(
        &mut self,
        ring: &PackedRing<M>,
        descriptor: Option<Descriptor>,
    ) -> Option<Result<Element, ChainError>> {
        let (mut walk, item) = PackedWalk::from_place(ring, *self).step_on(descriptor);
        // There may be nothing to be seen after the first step.
        let item = item.or_else(|| walk.next());
        *self = walk.place;
        item
    }
}

impl<'r, M: StableMem> PackedWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(ring: &'r PackedRing<M>, id: BufferId, first: u16, slots: u16) -> Self {
        Self { ring, entries: ring.table().contiguous(), place: PackedPlace::new(ring.limits(), id, first, slots) }
    }

    /// Returns a walk that goes on from `place`. An indirect table is translated anew: what cannot be read at once is looked for
    /// when it is to be read.
    #[inline(always)]
    pub(super) fn from_place(ring: &'r PackedRing<M>, place: PackedPlace) -> Self {
        let entries = match place.indirect {
            None => ring.table().contiguous(),
            Some(range) => DescriptorTable::indirect(ring.mem(), range)
                .map_or(DeviceArray::empty(), |table: DescriptorTable<'_, M>| table.contiguous()),
        };
        Self { ring, entries, place }
    }

    /// Returns the table that it is in.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.ring.table();
        DescriptorTable::from_parts(table.mem(), self.place.indirect.unwrap_or(table.range()), self.entries)
    }

    /// Calls `work` with each element until a descriptor is not plain.
    #[inline(always)]
    fn run<E>(mut self, work: &mut impl FnMut(Element) -> Result<(), E>) -> Result<Option<Stopped<'r, M>>, E> {
        let table = self.table();
        while self.place.left != 0 {
            let Some(descriptor) = table.get_contiguous(DescriptorIndex(self.place.next)) else {
                return Ok(Some((self, None)));
            };
            let Some(element) = self.place.accept_plain(descriptor) else { return Ok(Some((self, Some(descriptor)))) };
            work(element)?;
        }
        Ok(None)
    }

    /// Goes on in the indirect table that a descriptor stands for. Its WRITE flag has no meaning (PACK-IND-4), and it is no element
    /// itself. It has to be alone in its list (PACK-SG-5).
    #[inline(always)]
    fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = self.ring.limits();
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.place.slots != 1 {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, left) = limits.table(claim(descriptor))?;
        if left > MAX_ENTRIES {
            return Err(ChainErrorKind::TableLen { len: descriptor.len() });
        }
        let table = DescriptorTable::indirect(self.ring.mem(), range).map_err(ChainErrorKind::Memory)?;
        let place = PackedPlace { indirect: Some(range), next: 0, left, ..self.place };
        Ok(Self { entries: table.contiguous(), place, ..self })
    }

    /// Returns whether it is at the end of the ring, where it goes on at the beginning.
    #[inline(always)]
    fn is_at_end(&self) -> bool {
        self.place.indirect.is_none() && self.place.next == self.ring.size()
    }

    /// Takes a step from where it has stopped.
    #[inline(always)]
    fn step_on(self, descriptor: Option<Descriptor>) -> Step<Self> {
        match descriptor {
            Some(descriptor) => self.step(descriptor),
            None => self.step_anywhere(),
        }
    }

    /// Reads the next descriptor, which cannot be read at once, and takes a step.
    #[cold]
    #[inline(never)]
    fn step_anywhere(mut self) -> Step<Self> {
        if self.is_at_end() {
            self.place.next = 0;
        }
        match self.table().get(DescriptorIndex(self.place.next)) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. There may be nothing to be seen after it.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<Self> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) && self.place.indirect.is_none() {
            let entered = self.clone().enter(descriptor);
            return entered.map_or_else(|kind| self.fail(kind), |walk| (walk, None));
        }
        self.place.advance();
        match self.place.rules.accept(self.ring.limits(), claim(descriptor)) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<Self> {
        self.place.left = 0;
        let id = self.place.id.0;
        (self, Some(Err(ChainError { id, kind })))
    }
}

/// The most entries that a table can have: each has an index.
const MAX_ENTRIES: u32 = 1 << 16;

#[inline(always)]
fn claim(descriptor: Descriptor) -> Claim {
    Claim { addr: descriptor.addr(), len: descriptor.len(), flags: descriptor.flags().0 }
}

impl<M: StableMem> Iterator for PackedWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.place.left == 0 {
                return None;
            }
            let (walk, item) = match self.table().get_contiguous(DescriptorIndex(self.place.next)) {
                Some(descriptor) => match self.place.accept_plain(descriptor) {
                    Some(element) => return Some(Ok(element)),
                    None => self.clone().step(descriptor),
                },
                None => self.clone().step_anywhere(),
            };
            *self = walk;
            if item.is_some() {
                return item;
            }
        }
    }
}

impl<M: StableMem> FusedIterator for PackedWalk<'_, M> {}

impl<M: StableMem> Walk for PackedWalk<'_, M> {
    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, mut work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        // Most chains do not leave the first loop. The second one is for a table, or for what is at the beginning of the ring.
        let Some((walk, descriptor)) = self.run(&mut work)? else { return Ok(()) };
        let walk = match descriptor {
            Some(descriptor)
                if walk.place.indirect.is_none() && descriptor.flags().contains(DescriptorFlags::INDIRECT) =>
            {
                let id = walk.place.id.0;
                walk.enter(descriptor).map_err(|kind| ChainError { id, kind })?
            }
            None if walk.is_at_end() => Self { place: PackedPlace { next: 0, ..walk.place }, ..walk },
            other => return finish(walk.step_on(other), &mut work),
        };
        let Some((walk, descriptor)) = walk.run(&mut work)? else { return Ok(()) };
        finish(walk.step_on(descriptor), &mut work)
    }
}

impl<M> Clone for PackedWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// A walk along a list that was stored when it was fetched, because used descriptors were written over it since.
///
/// The rules are those of a [`PackedWalk`]; what was stored is as little to be trusted as the ring.
#[derive(Debug)]
pub(super) struct StoredList<'r, M> {
    ring: &'r PackedRing<M>,
    /// What is still to be looked at.
    left: slice::Iter<'r, Descriptor>,
    /// Where it goes on in an indirect table.
    table: Option<PackedWalk<'r, M>>,
    place: PackedPlace,
}

impl<'r, M: StableMem> StoredList<'r, M> {
    pub(super) fn new(ring: &'r PackedRing<M>, id: BufferId, stored: &'r [Descriptor]) -> Self {
        // More than a ring has are too many for every rule.
        let slots = u16::try_from(stored.len()).unwrap_or(u16::MAX);
        Self { ring, left: stored.iter(), table: None, place: PackedPlace::new(ring.limits(), id, 0, slots) }
    }

    /// Goes on in the table that a descriptor stands for.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        let walk = PackedWalk { ring: self.ring, entries: DeviceArray::empty(), place: self.place };
        self.table = Some(walk.enter(descriptor)?);
        Ok(())
    }

    fn accept(&mut self, descriptor: Descriptor) -> Result<Option<Element>, ChainErrorKind> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return self.enter(descriptor).map(|()| None);
        }
        self.place.rules.accept(self.ring.limits(), claim(descriptor))
    }

    /// Ends the walk with an error.
    fn fail(&mut self, kind: ChainErrorKind) -> ChainError {
        self.left = [].iter();
        ChainError { id: self.place.id.0, kind }
    }
}

impl<M: StableMem> Iterator for StoredList<'_, M> {
    type Item = Result<Element, ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(table) = &mut self.table {
                return table.next();
            }
            let descriptor = *self.left.next()?;
            match self.accept(descriptor) {
                Ok(None) => {}
                Ok(Some(element)) => return Some(Ok(element)),
                Err(kind) => return Some(Err(self.fail(kind))),
            }
        }
    }
}
