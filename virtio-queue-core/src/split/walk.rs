//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{DeviceArray, DriverRange, StableMem};
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::ring::SplitRing;
use crate::rules::{Claim, Limits, Rules};
use crate::walk::{Step, finish};
use crate::{ChainError, ChainErrorKind, Element, Ring, Walk};

/// A walk along a chain in a split ring: first in the queue's table, then perhaps in an indirect one.
///
/// ```text
/// loop:
///     read the descriptor at `next`, once
///     indirect?   go on at entry 0 of its table, which must be the last thing in the chain
///     otherwise   it is an element; `next` is where it says, or nowhere
/// ```
///
/// Each descriptor takes one from the number of elements that are left, so that a loop ends; elements without bytes take
/// one as well (DRV-DESC-2).
#[derive(Debug)]
pub struct SplitWalk<'r, M> {
    ring: &'r SplitRing<M>,
    /// What can be read at once of the table that it is in.
    entries: DeviceArray<'r, [u64; 2]>,
    place: SplitPlace,
}

/// A place in a chain of a split ring.
#[derive(Clone, Copy, Debug)]
pub struct SplitPlace {
    /// Where the table is, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next, or `None` at the end and after an error.
    next: Option<DescriptorIndex>,
    head: DescriptorIndex,
    rules: Rules,
}

/// A walk that came upon a descriptor which is not plain, if it could be read at once, and is still in front of it.
type Stopped<'r, M> = (SplitWalk<'r, M>, Option<Descriptor>);

impl SplitPlace {
    #[inline(always)]
    pub(super) const fn new(limits: &Limits, head: DescriptorIndex) -> Self {
        Self { indirect: None, next: Some(head), head, rules: Rules::new(limits) }
    }

    /// Accepts the element that a descriptor stands for, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        let element = self.rules.accept_plain(claim(descriptor))?;
        self.next = next(descriptor);
        Some(element)
    }

    /// Takes one step, as the [walk from here](SplitWalk::from_place) does.
    // PERF: a plain descriptor of the queue's own table changes the place where it lies (`bench instructions`, payload-read-64).
    #[inline(always)]
    pub(super) fn step<M: StableMem>(&mut self, ring: &SplitRing<M>) -> Option<Result<Element, ChainError>> {
        if self.indirect.is_some() {
            return self.step_in_table(ring);
        }
        let descriptor = ring.table().get_contiguous(self.next?);
        match descriptor.and_then(|descriptor| self.accept_plain(descriptor)) {
            Some(element) => Some(Ok(element)),
            None => self.step_on(ring, descriptor),
        }
    }

    /// Takes one step in an indirect table.
    #[inline(never)]
    fn step_in_table<M: StableMem>(&mut self, ring: &SplitRing<M>) -> Option<Result<Element, ChainError>> {
        let mut walk = SplitWalk::from_place(ring, *self);
        let item = walk.next();
        *self = walk.place;
        item
    }

    /// Takes one step from a descriptor that is not plain, or cannot be read at once.
    #[cold]
    fn step_on<M: StableMem>(
        &mut self,
        ring: &SplitRing<M>,
        descriptor: Option<Descriptor>,
    ) -> Option<Result<Element, ChainError>> {
        let (mut walk, item) = SplitWalk::from_place(ring, *self).step_on(descriptor);
        // There may be nothing to be seen after the first step.
        let item = item.or_else(|| walk.next());
        *self = walk.place;
        item
    }
}

impl<'r, M: StableMem> SplitWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(ring: &'r SplitRing<M>, head: DescriptorIndex) -> Self {
        Self { ring, entries: ring.table().contiguous(), place: SplitPlace::new(ring.limits(), head) }
    }

    /// Returns a walk that goes on from `place`. An indirect table is translated anew: what cannot be read at once is looked for
    /// when it is to be read.
    #[inline(always)]
    pub(super) fn from_place(ring: &'r SplitRing<M>, place: SplitPlace) -> Self {
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
    fn run<E>(self, work: &mut impl FnMut(Element) -> Result<(), E>) -> Result<Option<Stopped<'r, M>>, E> {
        let table = self.table();
        let Some(mut index) = self.place.next else { return Ok(None) };
        let mut rules = self.place.rules;
        let descriptor = loop {
            let Some(descriptor) = table.get_contiguous(index) else { break None };
            let Some(element) = rules.accept_plain(claim(descriptor)) else { break Some(descriptor) };
            work(element)?;
            let Some(next) = next(descriptor) else { return Ok(None) };
            index = next;
        };
        let place = SplitPlace { next: Some(index), rules, ..self.place };
        Ok(Some((Self { place, ..self }, descriptor)))
    }

    /// Goes on at the beginning of the indirect table that a descriptor stands for, which must be the last thing in its chain.
    #[inline(always)]
    fn enter(self, descriptor: Descriptor) -> Result<Self, ChainErrorKind> {
        let limits = self.ring.limits();
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = limits.table(claim(descriptor))?;
        let table = DescriptorTable::indirect(self.ring.mem(), range).map_err(ChainErrorKind::Memory)?;
        let place = SplitPlace { indirect: Some(range), next: Some(DescriptorIndex(0)), ..self.place };
        Ok(Self { entries: table.contiguous(), place, ..self })
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
    fn step_anywhere(self) -> Step<Self> {
        let Some(index) = self.place.next else { return (self, None) };
        match self.table().get(index) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. There may be nothing to be seen after it.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<Self> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            let entered = match self.place.indirect {
                Some(_) => Err(ChainErrorKind::NestedIndirect),
                None => self.clone().enter(descriptor),
            };
            return entered.map_or_else(|kind| self.fail(kind), |walk| (walk, None));
        }
        self.place.next = next(descriptor);
        match self.place.rules.accept(self.ring.limits(), claim(descriptor)) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<Self> {
        self.place.next = None;
        let id = self.place.head.0;
        (self, Some(Err(ChainError { id, kind })))
    }
}

#[inline(always)]
fn claim(descriptor: Descriptor) -> Claim {
    Claim { addr: descriptor.addr(), len: descriptor.len(), flags: descriptor.flags().0 }
}

/// Returns where a chain goes on after a descriptor, if it does.
#[inline(always)]
fn next(descriptor: Descriptor) -> Option<DescriptorIndex> {
    descriptor.flags().contains(DescriptorFlags::NEXT).then(|| descriptor.next())
}

impl<M: StableMem> Iterator for SplitWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (walk, item) = match self.table().get_contiguous(self.place.next?) {
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

impl<M: StableMem> FusedIterator for SplitWalk<'_, M> {}

impl<M: StableMem> Walk for SplitWalk<'_, M> {
    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, mut work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        // Each table has a loop of its own, which most chains do not leave.
        let Some((walk, descriptor)) = self.run(&mut work)? else { return Ok(()) };
        let walk = match descriptor {
            Some(descriptor)
                if walk.place.indirect.is_none() && descriptor.flags().contains(DescriptorFlags::INDIRECT) =>
            {
                let id = walk.place.head.0;
                walk.enter(descriptor).map_err(|kind| ChainError { id, kind })?
            }
            other => return finish(walk.step_on(other), &mut work),
        };
        let Some((walk, descriptor)) = walk.run(&mut work)? else { return Ok(()) };
        finish(walk.step_on(descriptor), &mut work)
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
