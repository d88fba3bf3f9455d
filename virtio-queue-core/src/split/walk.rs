//! Walking along a chain of a split ring.

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
    /// The bytes of all elements so far, and of the writable ones among them.
    total: u64,
    writable: u64,
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
        Self { table, next: Some(head), head, limit, left: limit, total: 0, writable: 0, writing: false, stage }
    }

    /// Goes on in the table that an indirect descriptor stands for. Its WRITE flag has no meaning (SPLIT-IND-1), and it is
    /// no element itself.
    #[inline]
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

    /// Takes the element that `descriptor` stands for, which may have no bytes.
    #[inline]
    fn take(&mut self, descriptor: &Descriptor) -> Result<Element, ChainErrorKind> {
        let (addr, len) = (descriptor.addr(), descriptor.len());
        self.left = self.left.checked_sub(1).ok_or(ChainErrorKind::TooManyElements { limit: self.limit })?;
        self.total += u64::from(len);
        if self.total > MAX_BYTES {
            return Err(ChainErrorKind::TooManyBytes { total: self.total });
        }
        let access = if descriptor.flags().contains(DescriptorFlags::WRITE) {
            self.writing = true;
            self.writable += u64::from(len);
            Access::Write
        } else if self.writing {
            return Err(ChainErrorKind::ReadableAfterWritable { addr });
        } else {
            Access::Read
        };
        let range = descriptor.range().ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        let more = descriptor.flags().contains(DescriptorFlags::NEXT);
        self.next = more.then(|| descriptor.next());
        Ok(Element { range, access })
    }

    /// Ends the walk with an error.
    #[cold]
    fn fail(&mut self, kind: ChainErrorKind) -> ChainError {
        self.next = None;
        ChainError { id: self.head.0, kind }
    }
}

impl<'r, M: DriverMem> Walk<'r> for SplitWalk<'r, M> {
    type Mem = M;

    #[inline]
    fn mem(&self) -> &'r M {
        self.table.mem()
    }

    #[inline]
    fn next_element(&mut self) -> Result<Option<Element>, ChainError> {
        while let Some(index) = self.next {
            let descriptor = self.table.get(index).map_err(|error| self.fail(error.into()))?;
            if descriptor.flags().contains(DescriptorFlags::INDIRECT) {
                self.enter(&descriptor).map_err(|kind| self.fail(kind))?;
                continue;
            }
            let element = self.take(&descriptor).map_err(|kind| self.fail(kind))?;
            if !element.range.is_empty() {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    #[inline]
    fn writable_bytes(&self) -> u64 {
        self.writable
    }
}

impl<M> Clone for SplitWalk<'_, M> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}
