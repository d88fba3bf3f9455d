//! Walking along a list of a packed ring.

use core::iter::FusedIterator;

use virtio_mem_traits::DriverMem;
use virtio_ring::packed::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable, QueueSize};

use crate::rules::{Claim, Rules, Stage};
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
    /// How many descriptors are to be read; 0 at the end and after an error.
    descriptors: u32,
    head: Head,
    rules: Rules,
    stage: Stage,
}

impl<'r, M: DriverMem> PackedWalk<'r, M> {
    #[inline]
    pub(super) fn new(
        table: DescriptorTable<'r, M>,
        head: Head,
        slot: u16,
        size: QueueSize,
        limit: u32,
        indirect: bool,
    ) -> Self {
        Self {
            table,
            next: slot,
            last: size.get() - 1,
            descriptors: head.slots.into(),
            head,
            rules: Rules::new(limit),
            stage: Stage::new(indirect),
        }
    }

    /// Returns whether `descriptor` stands for an indirect table. In a table, all flags but WRITE are ignored (PACK-IND-2).
    #[inline]
    fn is_indirect(&self, descriptor: &Descriptor) -> bool {
        descriptor.flags().contains(DescriptorFlags::INDIRECT) && self.stage != Stage::Indirect
    }

    /// Accepts the element that `descriptor` stands for, unless it is indirect or against a rule. Then nothing changes.
    #[inline]
    fn accept(&mut self, descriptor: &Descriptor) -> Option<Element> {
        if self.is_indirect(descriptor) {
            return None;
        }
        let element = self.rules.accept(claim(descriptor))?;
        self.next = if self.next == self.last { 0 } else { self.next.wrapping_add(1) };
        self.descriptors -= 1;
        Some(element)
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (PACK-IND-4), and it is no
    /// element itself. It has to be alone in its list (PACK-SG-5).
    fn enter(&mut self, descriptor: &Descriptor) -> Result<(), ChainErrorKind> {
        if self.stage == Stage::DirectOnly {
            return Err(ChainErrorKind::IndirectNotNegotiated);
        }
        if self.head.slots != 1 {
            return Err(ChainErrorKind::IndirectWithNext);
        }
        let (range, entries) = self.rules.table(claim(descriptor))?;
        let last = u16::try_from(entries - 1).map_err(|_| ChainErrorKind::TableLen { len: descriptor.len() })?;
        self.table = DescriptorTable::indirect(self.table.mem(), range).map_err(ChainErrorKind::Memory)?;
        self.stage = Stage::Indirect;
        (self.next, self.last, self.descriptors) = (0, last, entries);
        Ok(())
    }

    /// Goes on from `descriptor`, or from what is in the next slot, whatever it is, and returns where the walk is then.
    ///
    /// By value: a walk that is in registers stays there as long as nobody asks for its address.
    #[cold]
    #[inline(never)]
    fn next_of_any_kind(mut self, mut descriptor: Option<Descriptor>) -> (Self, Option<<Self as Iterator>::Item>) {
        while self.descriptors != 0 {
            let read = descriptor.take().map_or_else(|| self.table.get(DescriptorIndex(self.next)), Ok);
            let taken = read.map_err(ChainErrorKind::from).and_then(|descriptor| {
                if self.is_indirect(&descriptor) {
                    return self.enter(&descriptor).map(|()| None);
                }
                let element = self.accept(&descriptor).ok_or_else(|| self.rules.objection(claim(&descriptor)))?;
                Ok(Some(element).filter(|element| !element.range.is_empty()))
            });
            match taken {
                Ok(Some(element)) => return (self, Some(Ok(element))),
                Ok(None) => {}
                Err(kind) => {
                    self.descriptors = 0;
                    let id = self.head.id;
                    return (self, Some(Err(ChainError { id, kind })));
                }
            }
        }
        (self, None)
    }
}

#[inline]
fn claim(descriptor: &Descriptor) -> Claim {
    let writable = descriptor.flags().contains(DescriptorFlags::WRITE);
    Claim { addr: descriptor.addr(), len: descriptor.len(), writable }
}

impl<M: DriverMem> Iterator for PackedWalk<'_, M> {
    type Item = Result<Element, ChainError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.descriptors == 0 {
            return None;
        }
        let descriptor = self.table.get_contiguous(DescriptorIndex(self.next));
        if let Some(descriptor) = descriptor.filter(|descriptor| !descriptor.is_empty()) {
            if let Some(element) = self.accept(&descriptor) {
                return Some(Ok(element));
            }
        }
        let (walk, item) = self.clone().next_of_any_kind(descriptor);
        *self = walk;
        item
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
