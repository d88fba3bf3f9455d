//! Walking along a chain of a split ring.

use core::iter::FusedIterator;

use virtio_mem_traits::{Access, DriverMem};
use virtio_ring::split::{Descriptor, DescriptorFlags, DescriptorIndex, DescriptorTable};

use crate::{ChainError, ChainErrorKind, Element, Walk};

/// The most bytes that a chain may have, which is more than 32 bits can say (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// The bytes of a descriptor in an indirect table.
const ENTRY: u32 = 16;

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
    limit: u32,
    left: u32,
    /// The bytes of all elements so far.
    total: u64,
    /// Whether there was a writable element, if only one without bytes.
    writing: bool,
    stage: Stage,
}

/// What may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The queue's table, without the feature for indirect ones.
    DirectOnly,
    /// The queue's table, and perhaps an indirect one at the end.
    Direct,
    /// An indirect table.
    Indirect,
}

impl<'r, M: DriverMem> SplitWalk<'r, M> {
    #[inline]
    pub(super) fn new(table: DescriptorTable<'r, M>, head: DescriptorIndex, limit: u32, indirect: bool) -> Self {
        let stage = if indirect { Stage::Direct } else { Stage::DirectOnly };
        Self { table, next: Some(head), head, limit, left: limit, total: 0, writing: false, stage }
    }

    /// Accepts the element that `descriptor` stands for, unless it is indirect or against a rule. Then nothing changes.
    #[inline]
    fn accept(&mut self, descriptor: &Descriptor) -> Option<Element> {
        let (len, flags) = (u64::from(descriptor.len()), descriptor.flags());
        let writable = flags.contains(DescriptorFlags::WRITE);
        let total = self.total + len;
        if flags.contains(DescriptorFlags::INDIRECT)
            || self.left == 0
            || total > MAX_BYTES
            || (self.writing && !writable)
        {
            return None;
        }
        let range = descriptor.range()?;
        self.left -= 1;
        self.total = total;
        self.writing = writable;
        self.next = flags.contains(DescriptorFlags::NEXT).then(|| descriptor.next());
        Some(Element { range, access: if writable { Access::Write } else { Access::Read } })
    }

    /// Returns the rule that [`accept`](Self::accept) found `descriptor` to be against.
    fn objection(&self, descriptor: &Descriptor) -> ChainErrorKind {
        let (addr, len) = (descriptor.addr(), descriptor.len());
        let total = self.total + u64::from(len);
        if self.left == 0 {
            ChainErrorKind::TooManyElements { limit: self.limit }
        } else if total > MAX_BYTES {
            ChainErrorKind::TooManyBytes { total }
        } else if self.writing && !descriptor.flags().contains(DescriptorFlags::WRITE) {
            ChainErrorKind::ReadableAfterWritable { addr }
        } else {
            ChainErrorKind::RangeOverflow { addr, len }
        }
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
        let len = descriptor.len();
        let entries = len / ENTRY;
        if len % ENTRY != 0 || entries == 0 || entries > self.limit {
            return Err(ChainErrorKind::TableLen { len });
        }
        let range = descriptor.range().ok_or(ChainErrorKind::RangeOverflow { addr: descriptor.addr(), len })?;
        self.table = DescriptorTable::indirect(self.table.mem(), range).map_err(ChainErrorKind::Memory)?;
        self.stage = Stage::Indirect;
        self.next = Some(DescriptorIndex(0));
        Ok(())
    }

    /// Goes on from `index`, whatever is there, and returns where the walk is then. It was read already if `descriptor` says so.
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
                let element = self.accept(&descriptor).ok_or_else(|| self.objection(&descriptor))?;
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
