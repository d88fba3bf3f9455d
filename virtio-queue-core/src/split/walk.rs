//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use crate::rules::{Claim, Limits, Rules};
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
    rules: Rules<'r>,
    /// Whether `table` is an indirect one.
    indirect: bool,
}

impl<'r, M: DriverMem> SplitWalk<'r, M> {
    #[inline]
    pub(super) fn new(table: DescriptorTable<'r, M>, head: DescriptorIndex, limits: &'r Limits) -> Self {
        Self { table, next: Some(head), head, rules: Rules::new(limits), indirect: false }
    }

    /// Accepts the element that a descriptor stands for, if there is nothing unusual about it.
    #[inline]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return None;
        }
        let element = self.rules.accept_plain(claim(descriptor))?;
        self.next = next(descriptor);
        Some(element)
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (SPLIT-IND-1), and it is
    /// no element itself.
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        if !self.rules.limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.indirect {
            return Err(ChainErrorKind::NestedIndirect);
        }
        if descriptor.flags().contains(DescriptorFlags::NEXT) {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, _) = self.rules.limits.table(claim(descriptor))?;
        self.table = DescriptorTable::indirect(self.table.mem(), range).map_err(ChainErrorKind::Memory)?;
        self.indirect = true;
        self.next = Some(DescriptorIndex(0));
        Ok(())
    }

    /// Goes on from the descriptor at `index`, wherever that is, as [`step`](Self::step) does.
    #[cold]
    #[inline(never)]
    fn step_anywhere(self, index: DescriptorIndex) -> (Self, Option<Result<Element, ChainError>>) {
        match self.table.get(index) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Goes on from a descriptor, whatever it stands for, and returns where the walk is then and what it has come upon, if that
    /// is an element.
    ///
    /// It takes the walk by value: one that is in registers stays there as long as nobody asks for its address.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> (Self, Option<Result<Element, ChainError>>) {
        let accepted = if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            self.enter(descriptor).map(|()| None)
        } else {
            self.next = next(descriptor);
            self.rules.accept(claim(descriptor))
        };
        match accepted {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

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

#[inline]
fn next(descriptor: Descriptor) -> Option<DescriptorIndex> {
    descriptor.flags().contains(DescriptorFlags::NEXT).then(|| descriptor.next())
}

impl<M: DriverMem> Iterator for SplitWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = self.next?;
            let (walk, item) = match self.table.get_contiguous(index) {
                Some(descriptor) => match self.accept_plain(descriptor) {
                    Some(element) => return Some(Ok(element)),
                    None => self.clone().step(descriptor),
                },
                None => self.clone().step_anywhere(index),
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
