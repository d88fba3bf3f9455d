//! What makes a chain well-formed, in either format.

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::{ChainErrorKind, Element};

/// The most bytes that a chain may have, which is more than 32 bits can say (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// The bytes of a descriptor in an indirect table.
const ENTRY: u32 = 16;

/// The rules that concern a chain as a whole, and how much of what they allow has been used up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    limit: u32,
    /// How many elements there may still be.
    left: u32,
    /// The bytes of all elements so far.
    total: u64,
    /// Whether there was a writable element, if only one without bytes.
    writing: bool,
}

/// An element as the driver claims it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) addr: DriverAddr,
    pub(crate) len: u32,
    pub(crate) writable: bool,
}

impl Rules {
    #[inline]
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, left: limit, total: 0, writing: false }
    }

    /// Accepts the next element, unless it is against a rule. Then nothing changes.
    #[inline]
    pub(crate) fn accept(&mut self, Claim { addr, len, writable }: Claim) -> Option<Element> {
        let total = self.total + u64::from(len);
        if self.left == 0 || total > MAX_BYTES || (self.writing && !writable) {
            return None;
        }
        let range = DriverRange::new(addr, len.into())?;
        self.left -= 1;
        self.total = total;
        self.writing = writable;
        Some(Element { range, access: if writable { Access::Write } else { Access::Read } })
    }

    /// Returns the rule that [`accept`](Self::accept) found the element to be against.
    pub(crate) fn objection(&self, Claim { addr, len, writable }: Claim) -> ChainErrorKind {
        let total = self.total + u64::from(len);
        if self.left == 0 {
            ChainErrorKind::TooManyElements { limit: self.limit }
        } else if total > MAX_BYTES {
            ChainErrorKind::TooManyBytes { total }
        } else if self.writing && !writable {
            ChainErrorKind::ReadableAfterWritable { addr }
        } else {
            ChainErrorKind::RangeOverflow { addr, len }
        }
    }

    /// Returns where an indirect table is, and how many descriptors it has.
    pub(crate) fn table(&self, Claim { addr, len, .. }: Claim) -> Result<(DriverRange, u32), ChainErrorKind> {
        let entries = len / ENTRY;
        if len % ENTRY != 0 || entries == 0 || entries > self.limit {
            return Err(ChainErrorKind::TableLen { len });
        }
        let range = DriverRange::new(addr, len.into()).ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok((range, entries))
    }
}

/// Where indirect tables may occur in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the queue's own table, without the feature for indirect ones.
    DirectOnly,
    /// In the queue's own table.
    Direct,
    /// In an indirect table.
    Indirect,
}

impl Stage {
    #[inline]
    pub(crate) const fn new(indirect: bool) -> Self {
        if indirect { Self::Direct } else { Self::DirectOnly }
    }
}
