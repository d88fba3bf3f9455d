//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{DeviceArray, DriverRange, StableMem};
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use super::ring::SplitRing;
use crate::rules::{Claim, Rules};
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
    /// Where that table is, if it is an indirect one.
    indirect: Option<DriverRange>,
    /// The descriptor to be read next, or `None` at the end and after an error.
    next: Option<DescriptorIndex>,
    head: DescriptorIndex,
    rules: Rules,
}

/// A walk that came upon a descriptor which is not plain, if it could be read at once, and is still in front of it.
type Stopped<'r, M> = (SplitWalk<'r, M>, Option<Descriptor>);

/// A walk after a step, and what was seen.
type Step<'r, M> = (SplitWalk<'r, M>, Option<Result<Element, ChainError>>);

impl<'r, M: StableMem> SplitWalk<'r, M> {
    #[inline(always)]
    pub(super) fn new(ring: &'r SplitRing<M>, head: DescriptorIndex) -> Self {
        Self {
            ring,
            entries: ring.table().contiguous(),
            indirect: None,
            next: Some(head),
            head,
            rules: Rules::new(ring.limits()),
        }
    }

    /// Returns the table that it is in.
    #[inline(always)]
    fn table(&self) -> DescriptorTable<'r, M> {
        let table = self.ring.table();
        DescriptorTable::from_parts(table.mem(), self.indirect.unwrap_or(table.range()), self.entries)
    }

    /// Calls `work` with each element until a descriptor is not plain.
    #[inline(always)]
    fn run<E>(self, work: &mut impl FnMut(Element) -> Result<(), E>) -> Result<Option<Stopped<'r, M>>, E> {
        let (table, limits) = (self.table(), self.ring.limits());
        let Some(mut index) = self.next else { return Ok(None) };
        let mut rules = self.rules;
        let descriptor = loop {
            let Some(descriptor) = table.get_contiguous(index) else { break None };
            let Some(element) = rules.accept_plain(limits, claim(descriptor)) else { break Some(descriptor) };
            work(element)?;
            let Some(next) = next(descriptor) else { return Ok(None) };
            index = next;
        };
        Ok(Some((Self { next: Some(index), rules, ..self }, descriptor)))
    }

    /// Accepts the element that a descriptor stands for, if it is plain.
    #[inline(always)]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        let element = self.rules.accept_plain(self.ring.limits(), claim(descriptor))?;
        self.next = next(descriptor);
        Some(element)
    }

    /// Goes on at the beginning of an indirect table, which must be the last thing in a chain.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        let limits = self.ring.limits();
        if !limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.indirect.is_some() {
            return Err(ChainErrorKind::NestedIndirect);
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = limits.table(claim(descriptor))?;
        let table = DescriptorTable::indirect(self.mem(), range).map_err(ChainErrorKind::Memory)?;
        (self.entries, self.indirect) = (table.contiguous(), Some(range));
        self.next = Some(DescriptorIndex(0));
        Ok(())
    }

    /// Reads the next descriptor, which cannot be read at once, and takes a step.
    #[cold]
    #[inline(never)]
    fn step_anywhere(self) -> Step<'r, M> {
        let Some(index) = self.next else { return (self, None) };
        match self.table().get(index) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Takes a step from a descriptor that is not plain. There may be nothing to be seen after it.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> Step<'r, M> {
        match self.accept(descriptor) {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    fn accept(&mut self, descriptor: Descriptor) -> Result<Option<Element>, ChainErrorKind> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return self.enter(descriptor).map(|()| None);
        }
        self.next = next(descriptor);
        self.rules.accept(self.ring.limits(), claim(descriptor))
    }

    /// Ends the walk with an error.
    fn fail(mut self, kind: ChainErrorKind) -> Step<'r, M> {
        self.next = None;
        let id = self.head.0;
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
            let (walk, item) = match self.table().get_contiguous(self.next?) {
                Some(descriptor) => match self.accept_plain(descriptor) {
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

impl<'r, M: StableMem> Walk<'r> for SplitWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        self.ring.mem()
    }

    #[inline(always)]
    fn try_each<E: From<ChainError>>(self, mut work: impl FnMut(Element) -> Result<(), E>) -> Result<(), E> {
        let mut stopped = self.run(&mut work)?;
        while let Some((walk, descriptor)) = stopped {
            let (walk, item) = match descriptor {
                Some(descriptor) => walk.step(descriptor),
                None => walk.step_anywhere(),
            };
            if let Some(element) = item {
                work(element?)?;
            }
            stopped = walk.run(&mut work)?;
        }
        Ok(())
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
