//! What makes a chain well-formed, in either format.
//!
//! The usual descriptor is accepted by one test of its second word. It is
//!
//! ```text
//! split    length in 32 bits, flags in 16, next
//! packed   length in 32 bits, Buffer ID, flags in 16
//! ```
//!
//! so that the flags begin at bit `FLAGS`. One less than that word, less WRITE among the writable elements, has none of
//! the bits that are [odd](Limits::odd) if the descriptor is plain: those of lengths that are not harmless, which no
//! bytes become as well, and the lower flags but NEXT. The flags above, AVAIL and USED among them, are of no matter.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange};

use crate::{ChainErrorKind, Element, Piece, QueueConfig, RingFeatures};

/// The flag of an element that is not the last one, in either format.
const NEXT: u64 = 1;

/// The flag of a writable element, in either format.
const WRITE: u64 = 2;

/// The flags that a plain element cannot have, after what is [taken away](Rules::phase): WRITE is then out of order,
/// INDIRECT is a table, and the two bits beside that have no meaning catch what was borrowed.
const ODD_FLAGS: u64 = 0b11110;

/// The most bytes that a chain may have, which is more than 32 bits can say (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// One element in a [budget](Rules::budget), above all bytes: those before the last element, and those of that one.
const ONE_ELEMENT: u64 = 1 << 40;

/// The bit of a [budget](Rules::budget) that is set when no element is plain any more, above all bytes as well.
const SLOW: u64 = 1 << 39;

/// The bytes of a descriptor in an indirect table.
const ENTRY: u32 = 16;

/// What a queue allows in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<const FLAGS: u32> {
    /// How many elements there may be. INVARIANT: less than 2^24, so that a budget has room for them.
    elements: u32,
    /// As many elements as there may be cannot add up to too many bytes, if none has more than this. It is a power of
    /// two.
    harmless: u32,
    /// Whether there may be indirect tables.
    pub(crate) indirect: bool,
    pub(crate) plain: Plain<FLAGS>,
}

/// What the usual descriptor is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<const FLAGS: u32> {
    /// The bits that the second word of a plain descriptor does not have, after what is taken away.
    odd: u64,
    /// One element in a budget.
    ///
    /// PERF: a constant of 64 bits would be loaded into a register for each descriptor (`direct-8-burst-32`).
    one: u64,
    /// A [budget](Rules::budget) from which nothing was taken.
    budget: u64,
}

impl<const FLAGS: u32> Limits<FLAGS> {
    pub(crate) fn new(config: &QueueConfig) -> Self {
        let elements = config.chain_limit();
        let harmless: u32 = (MAX_BYTES / u64::from(elements.max(1))).try_into().unwrap_or(u32::MAX);
        let harmless = 1 << harmless.ilog2();
        let plain = Plain {
            odd: ODD_FLAGS << FLAGS | u64::from(0_u32.wrapping_sub(harmless)),
            one: ONE_ELEMENT,
            budget: (u64::from(elements) + 1).wrapping_neg().wrapping_mul(ONE_ELEMENT),
        };
        Self { elements, harmless, indirect: config.features.contains(RingFeatures::INDIRECT_DESC), plain }
    }

    /// Returns how many elements there may be.
    #[inline(always)]
    pub(crate) const fn elements(&self) -> usize {
        self.elements as usize
    }

    /// Returns what the only element of a chain is compared with, which is all for reading or all for writing.
    #[inline(always)]
    pub(crate) const fn only(&self, access: Access) -> Option<Only<FLAGS>> {
        let phase = match access {
            Access::Read => Rules::<FLAGS>::READABLE,
            Access::Write => Rules::<FLAGS>::WRITABLE,
            Access::ReadWrite => return None,
        };
        Some(Only { phase, odd: self.plain.odd | NEXT << FLAGS, access })
    }

    /// Returns whether a list of so many elements is too long.
    #[inline(always)]
    pub(crate) const fn is_too_long(&self, elements: u16) -> bool {
        elements as u32 > self.elements
    }

    /// Returns where an indirect table is, and how many descriptors it has.
    pub(crate) fn table(&self, Claim { addr, len, .. }: Claim) -> Result<(DriverRange, u32), ChainErrorKind> {
        let entries = len / ENTRY;
        if len % ENTRY != 0 || entries.wrapping_sub(1) >= self.elements {
            return Err(ChainErrorKind::TableLen { len });
        }
        let range = DriverRange::new(addr, len.into()).ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok((range, entries))
    }
}

/// What the only element of a chain is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Only<const FLAGS: u32> {
    /// What is added to the second word of its descriptor, as in the [rules](Rules).
    phase: u64,
    /// The bits that are not there then, NEXT among them.
    odd: u64,
    access: Access,
}

impl<const FLAGS: u32> Only<FLAGS> {
    /// Translates what a descriptor claims, if it is plain, alone and for such an access, and if that can be done at
    /// once.
    ///
    /// PERF: the access is known before the descriptor is (`direct-1-burst-32` of the bulk queues).
    #[inline(always)]
    pub(crate) fn find<'m, M: DriverMem + ?Sized>(&self, mem: &'m M, (addr, word): Words) -> Option<DeviceRange<'m>> {
        if word.wrapping_add(self.phase) & self.odd != 0 {
            return None;
        }
        let Claim { len, .. } = Rules::<FLAGS>::claim((addr, word));
        mem.translate_at_once(addr, len, self.access)
    }
}

/// What a queue allows in a chain of a split ring, where the flags follow the length.
pub(crate) type SplitLimits = Limits<32>;
pub(crate) type SplitPlain = Plain<32>;
/// What a queue allows in a list of a packed ring, where the Buffer ID is between the two.
pub(crate) type PackedLimits = Limits<48>;
pub(crate) type PackedPlain = Plain<48>;

/// How much is left of what the limits allow.
///
/// PERF: it is two words, which are passed on in registers (`indirect-8-burst-32`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<const FLAGS: u32> {
    /// In the lower 39 bits, how many bytes there were. Then a bit that says whether somebody has to look at their sum
    /// or at the number of elements: no element is plain as soon as there was one that is not harmless, nor in a list
    /// that is too long. Above, how many elements there were, and so many more that the first one too many is one too
    /// many for this number.
    budget: u64,
    /// What is added to the second word of a descriptor: [`READABLE`](Self::READABLE) until there was a writable
    /// element, if only one without bytes, then [`WRITABLE`](Self::WRITABLE).
    phase: u64,
}

/// How much is left in a chain of a split ring.
pub(crate) type SplitRules = Rules<32>;
/// How much is left in a list of a packed ring.
pub(crate) type PackedRules = Rules<48>;

/// The address and the second word of a descriptor.
///
/// PERF: unlike a descriptor, the pair is passed on in registers (`indirect-8-burst-32`).
pub(crate) type Words = (DriverAddr, u64);

/// An element as the driver claims it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) addr: DriverAddr,
    pub(crate) len: u32,
    pub(crate) access: Access,
}

impl<const FLAGS: u32> Rules<FLAGS> {
    /// Takes away one byte.
    const READABLE: u64 = 0_u64.wrapping_sub(1);
    /// Takes away one byte and WRITE.
    const WRITABLE: u64 = Self::READABLE.wrapping_sub(WRITE << FLAGS);

    #[inline(always)]
    pub(crate) const fn new(plain: &Plain<FLAGS>) -> Self {
        // PERF: the compiler does not know that the bit is not set, and would have it tested (`direct-1-burst-32`).
        Self { budget: plain.budget & !SLOW, phase: Self::READABLE }
    }

    /// Returns the rules for a list, of which no element is plain if it is too long.
    #[inline(always)]
    pub(crate) const fn for_list(plain: &Plain<FLAGS>, too_long: bool) -> Self {
        let slow = if too_long { SLOW } else { 0 };
        Self { budget: plain.budget & !SLOW | slow, phase: Self::READABLE }
    }

    /// Returns whether no element is plain any more.
    #[inline(always)]
    pub(crate) const fn is_slow(&self) -> bool {
        self.budget & SLOW != 0
    }

    /// Accepts an ordinary element, by the second word of its descriptor. Returns `false` if it needs the slow path: the
    /// caller takes its count [back](Self::uncounted), and asks [`accept`](Self::accept). Must not be called when
    /// [slow](Self::is_slow).
    #[inline(always)]
    pub(crate) fn accept_plain(&mut self, plain: &Plain<FLAGS>, word: u64) -> bool {
        let (budget, too_many) = (self.budget + length(word)).overflowing_add(plain.one);
        self.budget = budget;
        !too_many && self.is_in_order(plain, word)
    }

    /// Returns the rules as they were before an element was counted by [`accept_plain`](Self::accept_plain).
    #[inline(always)]
    pub(crate) const fn uncounted(self, word: u64) -> Self {
        Self { budget: self.budget.wrapping_sub(ONE_ELEMENT).wrapping_sub(length(word)), ..self }
    }

    /// Accepts the next element of a list if it is plain. It is not counted, but for its bytes: if there are too many
    /// elements, they are slow.
    #[inline(always)]
    pub(crate) fn accept_plain_in_list(&mut self, plain: &Plain<FLAGS>, word: u64) -> bool {
        self.budget += length(word);
        self.is_in_order(plain, word)
    }

    /// Returns the rules as they were before an element was counted by
    /// [`accept_plain_in_list`](Self::accept_plain_in_list).
    #[inline(always)]
    pub(crate) const fn uncounted_in_list(self, word: u64) -> Self {
        Self { budget: self.budget.wrapping_sub(length(word)), ..self }
    }

    /// Tests the second word of a descriptor, and goes over to writable elements when the first one comes.
    #[inline(always)]
    const fn is_in_order(&mut self, plain: &Plain<FLAGS>, word: u64) -> bool {
        if word.wrapping_add(self.phase) & plain.odd == 0 {
            return true;
        }
        cold();
        let is_writable = word.wrapping_add(Self::WRITABLE) & plain.odd == 0;
        if is_writable {
            self.phase = Self::WRITABLE;
        }
        is_writable
    }

    /// Accepts the next element, which is left out if it has no bytes, unless it breaks a rule. Then the chain has
    /// ended.
    pub(crate) fn accept(&mut self, limits: &Limits<FLAGS>, claim: Claim) -> Result<Option<Element>, ChainErrorKind> {
        let Claim { addr, len, access } = claim;
        if access.writes() {
            self.phase = Self::WRITABLE;
        } else if self.phase == Self::WRITABLE {
            return Err(ChainErrorKind::ReadableAfterWritable { addr });
        }
        let limit = limits.elements;
        self.budget = self.budget.checked_add(ONE_ELEMENT).ok_or(ChainErrorKind::TooManyElements { limit })?;
        self.budget += u64::from(len);
        let total = self.budget % SLOW;
        if total > MAX_BYTES {
            return Err(ChainErrorKind::TooManyBytes { total });
        }
        if len > limits.harmless {
            self.budget |= SLOW;
        }
        let element = claim.element().ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok(Some(element).filter(|element| !element.range.is_empty()))
    }
}

impl<const FLAGS: u32> Rules<FLAGS> {
    /// Returns what a descriptor claims.
    #[inline(always)]
    pub(crate) const fn claim((addr, word): Words) -> Claim {
        let access = if word >> FLAGS & WRITE != 0 { Access::Write } else { Access::Read };
        #[expect(clippy::cast_possible_truncation, reason = "a length has 32 bits")]
        let len = length(word) as u32;
        Claim { addr, len, access }
    }

    /// Translates what a plain descriptor claims, if that can be done at once.
    #[inline(always)]
    pub(crate) fn find<M: DriverMem + ?Sized>(mem: &M, words: Words) -> Option<Piece<'_>> {
        let Claim { addr, len, access } = Self::claim(words);
        Some(piece(addr, len, access, mem.translate_at_once(addr, len, access)?))
    }

    /// Translates what a plain descriptor claims, if it is in one piece.
    #[inline(always)]
    pub(crate) fn search<M: DriverMem + ?Sized>(mem: &M, words: Words) -> Option<Piece<'_>> {
        let found = Self::find(mem, words);
        if found.is_some() {
            return found;
        }
        let Element { range, access } = Self::claim(words).element()?;
        let memory = mem.translate_all(range, access).ok()?;
        Some(Piece { range, memory, access })
    }
}

/// Says that what comes next is seldom.
///
/// PERF: it keeps what is done at the first writable element out of the way (`direct-8-burst-32`).
#[cold]
#[inline]
const fn cold() {}

/// Returns the piece that is in `memory`.
#[inline(always)]
fn piece(addr: DriverAddr, len: u32, access: Access, memory: DeviceRange<'_>) -> Piece<'_> {
    // What was translated does not end beyond 2^64.
    let range = DriverRange::new(addr, len.into()).unwrap_or(DriverRange::EMPTY);
    Piece { range, memory, access }
}

/// Returns the length in the second word of a descriptor.
#[inline(always)]
const fn length(word: u64) -> u64 {
    word & u32::MAX as u64
}

impl Claim {
    /// Returns the element, unless it would end beyond 2^64.
    #[inline(always)]
    pub(crate) fn element(self) -> Option<Element> {
        Some(Element { range: DriverRange::new(self.addr, self.len.into())?, access: self.access })
    }
}
