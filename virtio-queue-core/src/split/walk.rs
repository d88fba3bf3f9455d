//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use crate::rules::{Breach, Claim, Rules, Stage};
use crate::{ChainError, ChainErrorKind, Element, Walk};

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
    table: DescriptorTable<'r, M>,
    /// The descriptor to be read next, or `None` at the end and after an error.
    next: Option<DescriptorIndex>,
    head: DescriptorIndex,
    rules: Rules,
    stage: Stage,
}

impl<'r, M: DriverMem> SplitWalk<'r, M> {
    #[inline]
    pub(super) fn new(table: DescriptorTable<'r, M>, head: DescriptorIndex, limit: u32, indirect: bool) -> Self {
        Self { table, next: Some(head), head, rules: Rules::new(limit), stage: Stage::new(indirect) }
    }

    /// Accepts the element that a descriptor stands for which is not indirect, unless it breaks a rule.
    #[inline]
    fn accept(&mut self, descriptor: Descriptor) -> Result<Element, Breach> {
        self.next = descriptor.flags().contains(DescriptorFlags::NEXT).then(|| descriptor.next());
        self.rules.accept(claim(descriptor))
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (SPLIT-IND-1), and it is
    /// no element itself.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        match self.stage {
            Stage::Direct => {}
            Stage::DirectOnly => return Err(ChainErrorKind::IndirectNotNegotiated),
            Stage::Indirect => return Err(ChainErrorKind::NestedIndirect),
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = self.rules.table(claim(descriptor))?;
        self.table = DescriptorTable::indirect(self.table.mem(), range).map_err(ChainErrorKind::Memory)?;
        self.stage = Stage::Indirect;
        self.next = Some(DescriptorIndex(0));
        Ok(())
    }

    /// Goes on from the descriptor at `index`, wherever it is, and returns where the walk is then and what it has come upon,
    /// if that is an element.
    ///
    /// This and what follows take the walk by value: one that is in registers stays there as long as nobody asks for its
    /// address.
    #[cold]
    #[inline(never)]
    fn anywhere(self, index: DescriptorIndex) -> (Self, Option<Result<Element, ChainError>>) {
        match self.table.get(index) {
            Ok(descriptor) => self.unusual(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Goes on from a descriptor that may be indirect, or an element without bytes.
    #[cold]
    #[inline(never)]
    fn unusual(mut self, descriptor: Descriptor) -> (Self, Option<Result<Element, ChainError>>) {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return match self.enter(descriptor) {
                Ok(()) => (self, None),
                Err(kind) => self.fail(kind),
            };
        }
        match self.accept(descriptor) {
            Ok(element) => (self, Some(Ok(element)).filter(|_| !element.range.is_empty())),
            Err(breach) => self.breached(breach, descriptor),
        }
    }

    /// Ends with a descriptor that breaks a rule.
    #[cold]
    #[inline(never)]
    fn breached(self, breach: Breach, descriptor: Descriptor) -> (Self, Option<Result<Element, ChainError>>) {
        let kind = self.rules.objection(breach, claim(descriptor));
        self.fail(kind)
    }

    #[cold]
    fn fail(mut self, kind: ChainErrorKind) -> (Self, Option<Result<Element, ChainError>>) {
        self.next = None;
        let id = self.head.0;
        (self, Some(Err(ChainError { id, kind })))
    }
}

#[inline]
fn claim(descriptor: Descriptor) -> Claim {
    let writable = descriptor.flags().contains(DescriptorFlags::WRITE);
    Claim { addr: descriptor.addr(), len: descriptor.len(), writable }
}

impl<M: DriverMem> Iterator for SplitWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = self.next?;
            let (walk, item) = match self.table.get_contiguous(index) {
                Some(descriptor) if descriptor.flags().contains(DescriptorFlags::INDIRECT) || descriptor.is_empty() => {
                    self.clone().unusual(descriptor)
                }
                Some(descriptor) => match self.accept(descriptor) {
                    Ok(element) => return Some(Ok(element)),
                    Err(breach) => self.clone().breached(breach, descriptor),
                },
                None => self.clone().anywhere(index),
            };
            *self = walk;
            if item.is_some() {
                return item;
            }
        }
    }
}

impl<M: DriverMem> FusedIterator for SplitWalk<'_, M> {}

impl<'r, M: DriverMem> Walk<'r> for SplitWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        self.table.mem()
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
