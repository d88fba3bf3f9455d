//! The rules for a well-formed chain, in either format.
//!
//! One test of the second word accepts the usual descriptor. From the lowest bit on, the second word contains:
//!
//! ```text
//! split    length in 32 bits, flags in 16, next
//! packed   length in 32 bits, Buffer ID, flags in 16
//! ```
//!
//! The flags begin at bit `FLAGS`. The test subtracts 1 from the word, and WRITE as well among the writable elements.
//! The descriptor is plain if the difference has none of the [odd](Plain::odd) bits. The odd bits are those of lengths
//! that are not harmless, and the lower flags except NEXT. A length of 0 becomes a length that is not harmless. The
//! upper flags, AVAIL and USED among them, are ignored.

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange};
use virtio_ring::RingFeatures;
use virtio_ring::packed::DescriptorFlags;

use crate::config::QueueConfig;
use crate::error::ChainErrorKind;
use crate::walk::{Element, Piece};

/// The flag of an element that is not the last one, in either format.
const NEXT: u64 = 1;

/// The flag of a writable element, in either format.
const WRITE: u64 = 2;

/// The flags that a plain element cannot have after the [subtraction](Rules::phase). WRITE means that the element is
/// out of order, and INDIRECT means a table. The two bits above have no meaning, and catch the borrow of the
/// subtraction.
const ODD_FLAGS: u64 = 0b11110;

/// The largest number of bytes in a chain. It does not fit into 32 bits (SPLIT-DESC-7).
const MAX_BYTES: u64 = 1 << 32;

/// One element in a [budget](Rules::budget). It is above the bits of all bytes: those of a full chain, and those of one
/// element more.
const ONE_ELEMENT: u64 = 1 << 40;

/// The bit of a [budget](Rules::budget) that is set when no element is plain any more. It is above the bits of all
/// bytes as well.
const SLOW: u64 = 1 << 39;

/// The size of a descriptor in an indirect table, in bytes.
const ENTRY: u32 = 16;

/// The limits of a queue for a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<const FLAGS: u32> {
    /// The largest number of elements. INVARIANT: less than 2^24, so that a budget has room for them.
    elements: u32,
    /// A length in bytes. A chain whose elements all have at most this length cannot exceed [`MAX_BYTES`]. It is a
    /// power of two.
    harmless: u32,
    /// Whether indirect tables are allowed.
    pub(crate) indirect: bool,
    pub(crate) plain: Plain<FLAGS>,
}

/// The values that the usual descriptor is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<const FLAGS: u32> {
    /// The bits that the second word of a plain descriptor does not have after the subtraction.
    odd: u64,
    /// One element in a budget.
    ///
    /// PERF: a constant of 64 bits would be loaded into a register for each descriptor (`direct-8-burst-32`).
    one: u64,
    /// The [budget](Rules::budget) of a chain of which no element was counted yet.
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

    /// Returns the largest number of elements.
    #[inline(always)]
    pub(crate) const fn elements(&self) -> usize {
        self.elements as usize
    }

    /// Returns the values that the only element of a chain is compared with, for reading or for writing.
    #[inline(always)]
    pub(crate) const fn only(&self, access: Access) -> Option<Only<FLAGS>> {
        let phase = match access {
            Access::Read => Rules::<FLAGS>::READABLE,
            Access::Write => Rules::<FLAGS>::WRITABLE,
            Access::ReadWrite => return None,
        };
        Some(Only { flipped: 0, phase, odd: self.plain.odd | NEXT << FLAGS, access })
    }

    /// Returns whether a list of this many elements is too long.
    #[inline(always)]
    pub(crate) const fn is_too_long(&self, elements: u16) -> bool {
        elements as u32 > self.elements
    }

    /// Returns whether `left` is 0, or more elements than a list can have.
    #[inline(always)]
    pub(crate) const fn is_none_or_too_many(&self, left: u32) -> bool {
        left.wrapping_sub(1) >= self.elements
    }

    /// Returns the range of an indirect table, and the number of its descriptors.
    pub(crate) fn table(&self, Claim { addr, len, .. }: Claim) -> Result<(DriverRange, u32), ChainErrorKind> {
        let entries = len / ENTRY;
        if len % ENTRY != 0 || entries.wrapping_sub(1) >= self.elements {
            return Err(ChainErrorKind::TableLen { len });
        }
        let range = DriverRange::new(addr, len.into()).ok_or(ChainErrorKind::RangeOverflow { addr, len })?;
        Ok((range, entries))
    }
}

impl PackedLimits {
    /// Returns the values that the only element of a list is compared with, for reading or for writing, where the
    /// driver makes descriptors available with the wrap counter `wrap`.
    #[inline(always)]
    pub(crate) const fn only_available(&self, access: Access, wrap: bool) -> Option<Only<48>> {
        let Some(only) = self.only(access) else { return None };
        let [avail, used] = [DescriptorFlags::AVAIL.0 as u64, DescriptorFlags::USED.0 as u64];
        // An available descriptor has one of the two flags. Without it, the descriptor has neither.
        let flipped = if wrap { avail } else { used } << 48;
        Some(Only { flipped, odd: only.odd | (avail | used) << 48, ..only })
    }
}

/// The values that the only element of a chain is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Only<const FLAGS: u32> {
    /// The bits of the second word of its descriptor that are inverted before the test. None of them takes part in the
    /// addition.
    flipped: u64,
    /// The number that is added to the second word of its descriptor, as in the [rules](Rules).
    phase: u64,
    /// The bits that the sum does not have, NEXT among them.
    odd: u64,
    access: Access,
}

impl<const FLAGS: u32> Only<FLAGS> {
    /// Returns whether a descriptor is plain, alone and for this access, by its second word.
    ///
    /// PERF: the access is known before the descriptor is (`direct-1-burst-32` of the bulk queues).
    #[inline(always)]
    pub(crate) const fn accepts(&self, word: u64) -> bool {
        (word ^ self.flipped).wrapping_add(self.phase) & self.odd == 0
    }

    /// Translates the range of an accepted descriptor, if it translates at once.
    #[inline(always)]
    pub(crate) fn find<'m, M: DriverMem + ?Sized>(&self, mem: &'m M, (addr, word): Words) -> Option<DeviceRange<'m>> {
        let Claim { len, .. } = Rules::<FLAGS>::claim((addr, word));
        mem.translate_at_once(addr, len, self.access)
    }
}

/// The limits for a chain of a split ring, where the flags follow the length.
pub(crate) type SplitLimits = Limits<32>;
pub(crate) type SplitPlain = Plain<32>;
/// The limits for a list of a packed ring, where the Buffer ID is between the length and the flags.
pub(crate) type PackedLimits = Limits<48>;
pub(crate) type PackedPlain = Plain<48>;

/// The state of the rules while a chain is walked.
///
/// PERF: it is two words, which are passed on in registers (`indirect-8-burst-32`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<const FLAGS: u32> {
    /// The lower 39 bits count the bytes. The next bit, [`SLOW`], tells that the sums must be checked: no element is
    /// plain after one that is not harmless, or in a list that is too long. The upper bits count the elements. They
    /// start so high that the first element above the limit makes the number overflow.
    budget: u64,
    /// The number that is added to the second word of a descriptor. It is [`READABLE`](Self::READABLE) until the first
    /// writable element, even one without bytes. Then it is [`WRITABLE`](Self::WRITABLE).
    phase: u64,
}

/// The state of the rules in a chain of a split ring.
pub(crate) type SplitRules = Rules<32>;
/// The state of the rules in a list of a packed ring.
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
    /// Subtracts one byte.
    const READABLE: u64 = 0_u64.wrapping_sub(1);
    /// Subtracts one byte and WRITE.
    const WRITABLE: u64 = Self::READABLE.wrapping_sub(WRITE << FLAGS);

    #[inline(always)]
    pub(crate) const fn new(plain: &Plain<FLAGS>) -> Self {
        // PERF: the compiler does not know that the bit is clear, and would test it (`direct-1-burst-32`).
        Self { budget: plain.budget & !SLOW, phase: Self::READABLE }
    }

    /// Makes the rules for a list. If the list is too long, none of its elements is plain.
    #[inline(always)]
    pub(crate) const fn for_list(plain: &Plain<FLAGS>, too_long: bool) -> Self {
        let slow = if too_long { SLOW } else { 0 };
        Self { budget: plain.budget & !SLOW | slow, phase: Self::READABLE }
    }

    /// Returns the rules with no element plain any more.
    #[inline(always)]
    pub(crate) const fn slow(self) -> Self {
        Self { budget: self.budget | SLOW, ..self }
    }

    /// Returns the access of the next plain element, unless it is the first writable one.
    #[inline(always)]
    pub(crate) const fn access(&self) -> Access {
        if self.phase == Self::READABLE { Access::Read } else { Access::Write }
    }

    /// Returns whether no element is plain any more.
    #[inline(always)]
    pub(crate) const fn is_slow(&self) -> bool {
        self.budget & SLOW != 0
    }

    /// Accepts an ordinary element by the second word of its descriptor. Returns `false` if the element needs the slow
    /// path: the caller must then [undo the count](Self::uncounted), and call [`accept`](Self::accept). Must not be
    /// called when [slow](Self::is_slow).
    ///
    /// `access` must be what [`access`](Self::access) returns. It changes at the first writable element.
    ///
    /// PERF: a loop keeps it in a register, and does not take it from each descriptor (`direct-8-burst-32`).
    #[inline(always)]
    pub(crate) fn accept_plain(&mut self, plain: &Plain<FLAGS>, word: u64, access: &mut Access) -> bool {
        let (budget, too_many) = (self.budget + length(word)).overflowing_add(plain.one);
        self.budget = budget;
        !too_many && self.is_in_order(plain, word, access)
    }

    /// Returns the rules as they were before an element was counted by [`accept_plain`](Self::accept_plain).
    #[inline(always)]
    pub(crate) const fn uncounted(self, word: u64) -> Self {
        Self { budget: self.budget.wrapping_sub(ONE_ELEMENT).wrapping_sub(length(word)), ..self }
    }

    /// Accepts the next element of a list if it is plain, as [`accept_plain`](Self::accept_plain) does. Counts only its
    /// bytes: the elements of a list that is too long are slow.
    #[inline(always)]
    pub(crate) fn accept_plain_in_list(&mut self, plain: &Plain<FLAGS>, word: u64, access: &mut Access) -> bool {
        self.budget += length(word);
        self.is_in_order(plain, word, access)
    }

    /// Returns the rules as they were before an element was counted by
    /// [`accept_plain_in_list`](Self::accept_plain_in_list).
    #[inline(always)]
    pub(crate) const fn uncounted_in_list(self, word: u64) -> Self {
        Self { budget: self.budget.wrapping_sub(length(word)), ..self }
    }

    /// Tests the second word of a descriptor, and changes to the writable phase at the first writable element.
    #[inline(always)]
    const fn is_in_order(&mut self, plain: &Plain<FLAGS>, word: u64, access: &mut Access) -> bool {
        if word.wrapping_add(self.phase) & plain.odd == 0 {
            return true;
        }
        cold();
        let is_writable = word.wrapping_add(Self::WRITABLE) & plain.odd == 0;
        if is_writable {
            self.phase = Self::WRITABLE;
            *access = Access::Write;
        }
        is_writable
    }

    /// Accepts the next element, unless it breaks a rule. An error ends the chain. The result is `None` for an element
    /// without bytes.
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
    /// Returns the claim of a descriptor.
    #[inline(always)]
    pub(crate) const fn claim((addr, word): Words) -> Claim {
        let access = if word >> FLAGS & WRITE != 0 { Access::Write } else { Access::Read };
        #[expect(clippy::cast_possible_truncation, reason = "a length has 32 bits")]
        let len = length(word) as u32;
        Claim { addr, len, access }
    }

    /// Translates the range of a plain descriptor for `access`, if it translates at once.
    #[inline(always)]
    pub(crate) fn find<M: DriverMem + ?Sized>(mem: &M, words: Words, access: Access) -> Option<Piece<'_>> {
        let Claim { addr, len, .. } = Self::claim(words);
        Some(piece(addr, len, access, mem.translate_at_once(addr, len, access)?))
    }

    /// Translates the range of a plain descriptor, if it is in one piece.
    #[inline(always)]
    pub(crate) fn search<M: DriverMem + ?Sized>(mem: &M, words: Words, access: Access) -> Option<Piece<'_>> {
        let found = Self::find(mem, words, access);
        if found.is_some() {
            return found;
        }
        let Element { range, .. } = Self::claim(words).element()?;
        let memory = mem.translate_all(range, access).ok()?;
        Some(Piece { range, memory, access })
    }
}

/// Tells the compiler that the code after the call is cold.
///
/// PERF: it moves the code for the first writable element out of the usual path (`direct-8-burst-32`).
#[cold]
#[inline]
const fn cold() {}

/// Returns the piece of `memory`.
#[inline(always)]
fn piece(addr: DriverAddr, len: u32, access: Access, memory: DeviceRange<'_>) -> Piece<'_> {
    // A translated range does not end beyond 2^64.
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
