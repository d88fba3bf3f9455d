//! What makes a chain well-formed, in either format.

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::{ChainErrorKind, Element};

/// The most bytes that a chain may have, which is more than 32 bits can say (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// The bytes of a descriptor in an indirect table.
const ENTRY: u32 = 16;

/// The rules that concern a chain as a whole, and how much of what they allow is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many elements there may be, and may still be.
    limit: u32,
    left: u32,
    /// How many bytes there may still be.
    bytes_left: u64,
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

/// The rule that an element breaks. What there is to say of it takes longer, and is said elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Breach {
    Order,
    Elements,
    Bytes,
    Range,
}

impl Rules {
    #[inline]
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, left: limit, bytes_left: MAX_BYTES, writing: false }
    }

    /// Accepts the next element, unless it breaks a rule. Then the chain has ended.
    #[inline]
    pub(crate) fn accept(&mut self, Claim { addr, len, writable }: Claim) -> Result<Element, Breach> {
        if self.writing && !writable {
            return Err(Breach::Order);
        }
        self.writing = writable;
        self.left = self.left.checked_sub(1).ok_or(Breach::Elements)?;
        self.bytes_left = self.bytes_left.checked_sub(len.into()).ok_or(Breach::Bytes)?;
        let range = DriverRange::new(addr, len.into()).ok_or(Breach::Range)?;
        Ok(Element { range, access: if writable { Access::Write } else { Access::Read } })
    }

    /// Returns what is to be said of an element that breaks a rule.
    pub(crate) fn objection(&self, breach: Breach, Claim { addr, len, .. }: Claim) -> ChainErrorKind {
        match breach {
            Breach::Order => ChainErrorKind::ReadableAfterWritable { addr },
            Breach::Elements => ChainErrorKind::TooManyElements { limit: self.limit },
            Breach::Bytes => ChainErrorKind::TooManyBytes { total: MAX_BYTES - self.bytes_left + u64::from(len) },
            Breach::Range => ChainErrorKind::RangeOverflow { addr, len },
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
