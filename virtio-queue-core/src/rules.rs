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
    /// The flags that a plain element may have: `READABLE` until there was a writable one, if only one without bytes, then `WRITABLE`.
    plain: u32,
    /// The most bytes that a plain element may have. None may have any as soon as there was one that is not harmless, and in a list that
    /// is too long: then somebody has to look at the sum or at the number.
    harmless: u32,
}

/// The flag of a writable element, in either format.
const WRITE: u16 = 2;

/// The flags of a plain element, as sets: bit `n` says whether their lower five bits may be `n`. NEXT is of no matter here, and neither
/// are the bits above, such as AVAIL and USED. INDIRECT is in no set, and the two bits between that have no meaning deserve a second look.
const READABLE: u32 = 0b1111;
const WRITABLE: u32 = 0b1100;

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
        Self { left: limits.elements, bytes: 0, plain: READABLE, harmless: limits.harmless }
    }

    /// Returns the rules for a list of so many elements. If that is too many, none of them is plain: somebody has to count.
    #[inline]
    pub(crate) const fn for_list(limits: &Limits, elements: u16) -> Self {
        let harmless = if elements as u32 > limits.elements { 0 } else { limits.harmless };
        Self { harmless, ..Self::new(limits) }
    }

    /// Accepts the next element if it is plain: there is nothing to be said of it, and it is no indirect table. Otherwise
    /// nothing has changed, and [`accept`](Self::accept) says what there is.
    #[inline(always)]
    pub(crate) fn accept_plain(&mut self, claim: Claim) -> Option<Element> {
        if self.left == 0 {
            return None;
        }
        let element = self.accept_plain_in_list(claim)?;
        self.left -= 1;
        Some(element)
    }

    /// Accepts the next element of a list if it is plain. It is not counted: if there are too many, it is not plain.
    #[inline(always)]
    pub(crate) fn accept_plain_in_list(&mut self, claim: Claim) -> Option<Element> {
        if self.plain >> (claim.flags & 31) & 1 == 0 {
            return None;
        }
        // The length less one: no bytes are more than any other number of them.
        if claim.len.wrapping_sub(1) >= self.harmless {
            return None;
        }
        // Lengths have 32 bits: an element that begins below this cannot end beyond 2^64.
        if claim.addr.0 >= u64::MAX << 32 {
            return None;
        }
        let element = claim.element()?;
        self.bytes += u64::from(claim.len);
        if claim.is_writable() {
            self.plain = WRITABLE;
        }
        Some(element)
    }

    /// Accepts the next element, which is left out if it has no bytes, unless it breaks a rule. Then the chain has ended.
    pub(crate) fn accept(&mut self, limits: &Limits, claim: Claim) -> Result<Option<Element>, ChainErrorKind> {
        let Claim { addr, len, .. } = claim;
        if claim.is_writable() {
            self.plain = WRITABLE;
        } else if self.plain == WRITABLE {
            return Err(ChainErrorKind::ReadableAfterWritable { addr });
        }
        let limit = limits.elements;
        self.left = self.left.checked_sub(1).ok_or(ChainErrorKind::TooManyElements { limit })?;
        self.bytes += u64::from(len);
        if self.bytes > MAX_BYTES {
            return Err(ChainErrorKind::TooManyBytes { total: self.bytes });
        }
        if len > limits.harmless {
            self.harmless = 0;
        }
        let element = claim.element().ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok(Some(element).filter(|element| !element.range.is_empty()))
    }
}

impl Claim {
    #[inline(always)]
    const fn is_writable(self) -> bool {
        self.flags & WRITE != 0
    }

    #[inline(always)]
    fn element(self) -> Option<Element> {
        let range = DriverRange::new(self.addr, self.len.into())?;
        Some(Element { range, access: if self.is_writable() { Access::Write } else { Access::Read } })
    }
}
