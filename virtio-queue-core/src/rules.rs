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

/// How much is left of what the limits allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many elements there may still be.
    left: u32,
    /// How many bytes there were.
    bytes: u64,
    /// The flags that the descriptor of a plain element has, and no other that matters: `WRITE` as soon as there was a writable
    /// element, if only one without bytes. `EXACT` as soon as there was one that is not harmless, and in a list that is too long:
    /// then somebody has to look at the sum or at the number, and none is plain.
    expected: u32,
}

/// The flags that matter, which are the same in both formats.
const WRITE: u32 = 2;
const INDIRECT: u32 = 4;

/// A flag that no descriptor has.
const EXACT: u32 = 1 << 16;

/// An element as the driver claims it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) addr: DriverAddr,
    pub(crate) len: u32,
    /// The flags of its descriptor.
    pub(crate) flags: u16,
}

impl Rules {
    #[inline]
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self { left: limits.elements, bytes: 0, expected: 0 }
    }

    /// Returns the rules for a list of so many elements. If that is too many, none of them is plain: somebody has to count.
    #[inline]
    pub(crate) const fn for_list(limits: &Limits, elements: u16) -> Self {
        let expected = if elements as u32 > limits.elements { EXACT } else { 0 };
        Self { left: limits.elements, bytes: 0, expected }
    }

    /// Accepts the next element if it is plain: there is nothing to be said of it, and it is no indirect table. Otherwise
    /// nothing has changed, and [`accept`](Self::accept) says what there is.
    #[inline(always)]
    pub(crate) fn accept_plain(&mut self, limits: &Limits, claim: Claim) -> Option<Element> {
        let element = self.accept_one_of(self.left, limits, claim)?;
        self.left -= 1;
        Some(element)
    }

    /// Accepts the next element of a list if it is plain. It is not counted: if there are too many, it is not plain.
    #[inline(always)]
    pub(crate) fn accept_plain_in_list(&mut self, limits: &Limits, claim: Claim) -> Option<Element> {
        self.accept_one_of(1, limits, claim)
    }

    /// Accepts the next element if it is plain, and one of so many that are left. That this is asked among the rest, and not before by
    /// who counts, saves three instructions for a split chain.
    #[inline(always)]
    fn accept_one_of(&mut self, left: u32, limits: &Limits, claim: Claim) -> Option<Element> {
        let flags = u32::from(claim.flags);
        if flags & (self.expected | INDIRECT) != self.expected {
            return None;
        }
        // The length less one: no bytes are more than any other number of them.
        if claim.len.wrapping_sub(1) >= limits.harmless || left == 0 {
            return None;
        }
        let element = claim.element()?;
        self.bytes += u64::from(claim.len);
        self.expected = flags & WRITE;
        Some(element)
    }

    /// Accepts the next element, which is left out if it has no bytes, unless it breaks a rule. Then the chain has ended.
    pub(crate) fn accept(&mut self, limits: &Limits, claim: Claim) -> Result<Option<Element>, ChainErrorKind> {
        let Claim { addr, len, flags } = claim;
        let write = u32::from(flags) & WRITE;
        if write < self.expected & WRITE {
            return Err(ChainErrorKind::ReadableAfterWritable { addr });
        }
        self.expected |= write;
        let limit = limits.elements;
        self.left = self.left.checked_sub(1).ok_or(ChainErrorKind::TooManyElements { limit })?;
        self.bytes += u64::from(len);
        if self.bytes > MAX_BYTES {
            return Err(ChainErrorKind::TooManyBytes { total: self.bytes });
        }
        if len > limits.harmless {
            self.expected |= EXACT;
        }
        let element = claim.element().ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok(Some(element).filter(|element| !element.range.is_empty()))
    }
}

impl Claim {
    #[inline(always)]
    fn element(self) -> Option<Element> {
        let range = DriverRange::new(self.addr, self.len.into())?;
        let writable = u32::from(self.flags) & WRITE != 0;
        Some(Element { range, access: if writable { Access::Write } else { Access::Read } })
    }
}
