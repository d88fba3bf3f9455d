//! Walking along a list of a packed ring.

use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;
use virtio_ring::packed::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable, QueueSize};

use crate::rules::{Claim, Limits, Rules};
use crate::{ChainError, ChainErrorKind, Element, Head, Walk};

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
    table: DescriptorTable<'r, M>,
    /// The descriptor to be read next, and the last one of the table, after which comes the first.
    next: u16,
    last: u16,
    /// How many descriptors there are beyond those that may be elements, which `rules` counts; 0 after an error.
    excess: u32,
    head: Head,
    rules: Rules<'r>,
    /// Whether `table` is an indirect one.
    indirect: bool,
}

impl<'r, M: DriverMem> PackedWalk<'r, M> {
    #[inline]
    pub(super) fn new(
        table: DescriptorTable<'r, M>,
        head: Head,
        slot: u16,
        size: QueueSize,
        limits: &'r Limits,
    ) -> Self {
        let (rules, excess) = Rules::with_count(limits, head.slots().into());
        Self { table, next: slot, last: size.get() - 1, excess, head, rules, indirect: false }
    }

    /// Accepts the element that a descriptor stands for, if there is nothing unusual about it.
    #[inline]
    fn accept_plain(&mut self, descriptor: Descriptor) -> Option<Element> {
        if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
            return None;
        }
        let element = self.rules.accept_plain(claim(descriptor))?;
        self.advance();
        Some(element)
    }

    #[inline]
    fn advance(&mut self) {
        self.next = if self.next == self.last { 0 } else { self.next.wrapping_add(1) };
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (PACK-IND-4), and it is no
    /// element itself. It has to be alone in its list (PACK-SG-5).
    fn enter(&mut self, descriptor: Descriptor) -> Result<(), ChainErrorKind> {
        if !self.rules.limits.indirect {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.head.slots() != 1 {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, entries) = self.rules.limits.table(claim(descriptor))?;
        let last = u16::try_from(entries - 1).map_err(|_| ChainErrorKind::TableLen { len: descriptor.len() })?;
        self.table = DescriptorTable::indirect(self.table.mem(), range).map_err(ChainErrorKind::Memory)?;
        self.indirect = true;
        (self.next, self.last) = (0, last);
        (self.rules, self.excess) = Rules::with_count(self.rules.limits, entries);
        Ok(())
    }

    /// Goes on from the descriptor in the next slot, wherever that is, as [`step`](Self::step) does.
    #[cold]
    #[inline(never)]
    fn step_anywhere(self, index: DescriptorIndex) -> (Self, Option<Result<Element, ChainError>>) {
        match self.table.get(index) {
            Ok(descriptor) => self.step(descriptor),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Goes on from a descriptor, whatever it stands for, and returns where the walk is then and what it has come upon, if that
    /// is an element. In a table, all flags but WRITE are ignored (PACK-IND-2).
    ///
    /// It takes the walk by value: one that is in registers stays there as long as nobody asks for its address.
    #[cold]
    #[inline(never)]
    fn step(mut self, descriptor: Descriptor) -> (Self, Option<Result<Element, ChainError>>) {
        let accepted = if descriptor.flags().contains(DescriptorFlags::INDIRECT) && !self.indirect {
            self.enter(descriptor).map(|()| None)
        } else {
            self.advance();
            self.rules.accept(claim(descriptor))
        };
        match accepted {
            Ok(element) => (self, element.map(Ok)),
            Err(kind) => self.fail(kind),
        }
    }

    fn fail(mut self, kind: ChainErrorKind) -> (Self, Option<Result<Element, ChainError>>) {
        (self.rules.left, self.excess) = (0, 0);
        let id = self.head.id();
        (self, Some(Err(ChainError { id, kind })))
    }
}

#[inline]
fn claim(descriptor: Descriptor) -> Claim {
    let writable = descriptor.flags().contains(DescriptorFlags::WRITE);
    Claim { addr: descriptor.addr(), len: descriptor.len(), writable }
}

impl<M: DriverMem> Iterator for PackedWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = DescriptorIndex(self.next);
            let (walk, item) = if self.rules.left != 0 {
                match self.table.get_contiguous(index) {
                    Some(descriptor) => match self.accept_plain(descriptor) {
                        Some(element) => return Some(Ok(element)),
                        None => self.clone().step(descriptor),
                    },
                    None => self.clone().step_anywhere(index),
                }
            } else if self.excess == 0 {
                return None;
            } else {
                self.clone().step_anywhere(index)
            };
            *self = walk;
            if item.is_some() {
                return item;
            }
        }
    }
}

impl<M: DriverMem> FusedIterator for PackedWalk<'_, M> {}

impl<'r, M: DriverMem> Walk<'r> for PackedWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        self.table.mem()
    }
}

impl<M> Clone for PackedWalk<'_, M> {
    #[inline]
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
