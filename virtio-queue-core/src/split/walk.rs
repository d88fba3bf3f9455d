//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use crate::rules::{Claim, Rules, Stage};
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

    /// Accepts the element that `descriptor` stands for, unless it is indirect or against a rule. Then nothing changes.
    #[inline]
    fn accept(&mut self, descriptor: &Descriptor) -> Option<Element> {
        let flags = descriptor.flags();
        if flags.contains(DescriptorFlags::INDIRECT) {
            return None;
        }
        let element = self.rules.accept(claim(descriptor))?;
        self.next = flags.contains(DescriptorFlags::NEXT).then(|| descriptor.next());
        Some(element)
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (SPLIT-IND-1), and it is
    /// no element itself.
    fn enter(&mut self, descriptor: &Descriptor) -> Result<(), ChainErrorKind> {
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

    /// Goes on from `index`, whatever is there, and returns where the walk is then. It was read already if `descriptor` says
    /// so.
    ///
    /// By value: a walk that is in registers stays there as long as nobody asks for its address.
    #[cold]
    #[inline(never)]
    fn next_of_any_kind(
        mut self,
        mut index: DescriptorIndex,
        mut descriptor: Option<Descriptor>,
    ) -> (Self, Option<<Self as Iterator>::Item>) {
        loop {
            let read = descriptor.take().map_or_else(|| self.table.get(index), Ok);
            let taken = read.map_err(ChainErrorKind::from).and_then(|descriptor| {
                if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
                    return self.enter(&descriptor).map(|()| None);
                }
                let element = self.accept(&descriptor).ok_or_else(|| self.rules.objection(claim(&descriptor)))?;
                Ok(Some(element).filter(|element| !element.range.is_empty()))
            });
            match taken {
                Ok(Some(element)) => return (self, Some(Ok(element))),
                Ok(None) => {}
                Err(kind) => {
                    self.next = None;
                    let id = self.head.0;
                    return (self, Some(Err(ChainError { id, kind })));
                }
            }
            match self.next {
                Some(next) => index = next,
                None => return (self, None),
            }
        }
    }
}

#[inline]
fn claim(descriptor: &Descriptor) -> Claim {
    let writable = descriptor.flags().contains(DescriptorFlags::WRITE);
    Claim { addr: descriptor.addr(), len: descriptor.len(), writable }
}

impl<M: DriverMem> Iterator for SplitWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next?;
        let descriptor = self.table.get_contiguous(index);
        if let Some(descriptor) = descriptor.filter(|descriptor| !descriptor.is_empty()) {
            if let Some(element) = self.accept(&descriptor) {
                return Some(Ok(element));
            }
        }
        let (walk, item) = self.clone().next_of_any_kind(index, descriptor);
        *self = walk;
        item
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
