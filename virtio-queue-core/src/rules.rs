//! What makes a chain well-formed, in either format.

use virtio_mem_traits::{Access, DriverAddr, DriverRange};

use crate::{ChainErrorKind, Element, QueueConfig, RingFeatures};

/// The most bytes that a chain may have, which is more than 32 bits can say (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// The bytes of a descriptor in an indirect table.
const ENTRY: u32 = 16;

/// What a queue allows in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many elements there may be.
    elements: u32,
    /// As many elements as there may be cannot add up to too many bytes, if none has more than this.
    harmless: u32,
    /// Whether there may be indirect tables.
    pub(crate) indirect: bool,
}

impl Limits {
    pub(crate) fn new(config: &QueueConfig) -> Self {
        let elements = config.chain_limit();
        let harmless = (MAX_BYTES / u64::from(elements.max(1))).try_into().unwrap_or(u32::MAX);
        Self { elements, harmless, indirect: config.features.contains(RingFeatures::INDIRECT_DESC) }
    }

    /// Returns where an indirect table is, and how many descriptors it has.
    pub(crate) fn table(&self, Claim { addr, len, .. }: Claim) -> Result<(DriverRange, u32), ChainErrorKind> {
        let entries = len / ENTRY;
        if len % ENTRY != 0 || entries == 0 || entries > self.elements {
            return Err(ChainErrorKind::TableLen { len });
        }
        let range = DriverRange::new(addr, len.into()).ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok((range, entries))
    }
}

/// The rules that concern a chain as a whole, and how much of what they allow is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'r> {
    pub(crate) limits: &'r Limits,
    /// How many elements there may still be.
    pub(crate) left: u32,
    /// How many bytes there were.
    bytes: u64,
    /// Nobody has to look at the sum until there was an element with more bytes than this. From then on everybody does, and
    /// this is 0.
    harmless: u32,
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

impl<'r> Rules<'r> {
    #[inline]
    pub(crate) const fn new(limits: &'r Limits) -> Self {
        Self { limits, left: limits.elements, bytes: 0, harmless: limits.harmless, writing: false }
    }

    /// Returns the rules for a chain of `count` elements, and how many of those are too many.
    #[inline]
    pub(crate) const fn with_count(limits: &'r Limits, count: u32) -> (Self, u32) {
        let excess = count.saturating_sub(limits.elements);
        (Self { left: count - excess, ..Self::new(limits) }, excess)
    }

    /// Accepts the next element if there is nothing to be said of it. Otherwise nothing has changed, and
    /// [`accept`](Self::accept) says it.
    #[inline]
    pub(crate) fn accept_plain(&mut self, claim: Claim) -> Option<Element> {
        // The length less one: no bytes are more than any other number of them. And no branch for each of two bools.
        let out_of_order = u8::from(claim.writable) < u8::from(self.writing);
        if claim.len.wrapping_sub(1) >= self.harmless || out_of_order {
            return None;
        }
        let left = self.left.checked_sub(1)?;
        let element = claim.element()?;
        (self.left, self.writing) = (left, claim.writable);
        self.bytes += u64::from(claim.len);
        Some(element)
    }

    /// Accepts the next element, which is left out if it has no bytes, unless it breaks a rule. Then the chain has ended.
    pub(crate) fn accept(&mut self, claim: Claim) -> Result<Option<Element>, ChainErrorKind> {
        let Claim { addr, len, writable } = claim;
        if self.writing && !writable {
            return Err(ChainErrorKind::ReadableAfterWritable { addr });
        }
        self.writing = writable;
        let limit = self.limits.elements;
        self.left = self.left.checked_sub(1).ok_or(ChainErrorKind::TooManyElements { limit })?;
        self.bytes += u64::from(len);
        if self.bytes > MAX_BYTES {
            return Err(ChainErrorKind::TooManyBytes { total: self.bytes });
        }
        if len > self.harmless {
            self.harmless = 0;
        }
        let element = claim.element().ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok(Some(element).filter(|element| !element.range.is_empty()))
    }
}

impl Claim {
    #[inline]
    fn element(self) -> Option<Element> {
        let range = DriverRange::new(self.addr, self.len.into())?;
        Some(Element { range, access: if self.writable { Access::Write } else { Access::Read } })
    }
}
