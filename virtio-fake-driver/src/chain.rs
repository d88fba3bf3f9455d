//! Descriptor chains that a driver makes available, before they have a place in memory.

use alloc::vec::Vec;

use virtio_mem_traits::DriverAddr;

/// A plan of one descriptor chain: its bytes, its elements, and the places of its descriptors.
///
/// A plan is not in memory. A driver that makes the chain available does not change the plan, so the plan can be used
/// again. The elements are in the order of the calls. An honest driver refuses a plan with a readable element after a
/// writable one (VIRTIO 1.4 §2.7.4.2 "Driver Requirements: Message Framing", DRV-FRM-1).
///
/// ```
/// use virtio_fake_driver::DriverChain;
///
/// // A block request: one element in the queue's own table, and three in an indirect table at an odd address.
/// let chain = DriverChain::new()
///     .readable_cut(b"a header and then data", &[8])
///     .writable(512)
///     .writable(1)
///     .indirect_after(1)
///     .table_misaligned_by(1);
/// assert_eq!(chain.elements(), 4);
/// assert_eq!(chain.readable_bytes(), b"a header and then data");
/// assert_eq!(chain.writable_len(), 513);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverChain {
    parts: Vec<Part>,
    /// The number of elements before the indirect table, or `None` without one.
    indirect_after: Option<usize>,
    table: TablePlace,
    flags_in_table: u16,
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) content: Content,
    /// The address that the test chose, if it chose one.
    pub(crate) at: Option<DriverAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Readable(Vec<u8>),
    Writable(u32),
}

/// The place of an indirect table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TablePlace {
    /// This number of bytes after a multiple of 16.
    Misaligned(u64),
    At(DriverAddr),
}

impl Default for TablePlace {
    fn default() -> Self {
        Self::Misaligned(0)
    }
}

/// Elements.
impl DriverChain {
    /// Returns a chain without elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one device-readable element with `bytes`, which can be empty.
    #[must_use]
    pub fn readable(self, bytes: impl AsRef<[u8]>) -> Self {
        self.part(Content::Readable(bytes.as_ref().to_vec()))
    }

    /// Adds one device-writable element of `len` bytes, which can be 0.
    #[must_use]
    pub fn writable(self, len: u32) -> Self {
        self.part(Content::Writable(len))
    }

    /// Adds device-readable elements with `bytes`: one for each length in `cut`, and one for the rest.
    ///
    /// # Panics
    ///
    /// If the lengths in `cut` are more than the bytes.
    #[must_use]
    pub fn readable_cut(self, bytes: impl AsRef<[u8]>, cut: &[usize]) -> Self {
        let (mut chain, mut rest) = (self, bytes.as_ref());
        for len in cut {
            let (part, after) = rest.split_at_checked(*len).expect("the lengths of a cut must not exceed the bytes");
            (chain, rest) = (chain.readable(part), after);
        }
        if rest.is_empty() { chain } else { chain.readable(rest) }
    }

    /// Adds device-writable elements of `len` bytes in total: one for each length in `cut`, and one for the rest.
    ///
    /// # Panics
    ///
    /// If the lengths in `cut` are more than the bytes.
    #[must_use]
    pub fn writable_cut(self, len: u32, cut: &[u32]) -> Self {
        let (mut chain, mut rest) = (self, len);
        for len in cut {
            rest = rest.checked_sub(*len).expect("the lengths of a cut must not exceed the bytes");
            chain = chain.writable(*len);
        }
        if rest == 0 { chain } else { chain.writable(rest) }
    }

    /// Places the last element at `addr`. The test must reserve that memory.
    ///
    /// The address can be near the end of the memory, before a split, or inside another element.
    ///
    /// The driver fills this element like any other. So a non-empty element must be in the driver's memory.
    ///
    /// # Panics
    ///
    /// If the chain has no element.
    #[must_use]
    pub fn at(mut self, addr: DriverAddr) -> Self {
        self.parts.last_mut().expect("an element must be added before it is placed").at = Some(addr);
        self
    }

    fn part(mut self, content: Content) -> Self {
        self.parts.push(Part { content, at: None });
        self
    }
}

/// Places of the descriptors.
impl DriverChain {
    /// Puts all descriptors into an indirect table.
    #[must_use]
    pub fn indirect(self) -> Self {
        self.indirect_after(0)
    }

    /// Puts the first `direct` descriptors into the queue's own table, and the others into an indirect table.
    ///
    /// A packed ring allows only all descriptors in an indirect table, or none (PACK-SG-5, SPLIT-IND-2).
    ///
    /// If there are no other descriptors, there is no indirect table.
    #[must_use]
    pub fn indirect_after(mut self, direct: usize) -> Self {
        self.indirect_after = Some(direct);
        self
    }

    /// Puts the indirect table `bytes` bytes after a multiple of 16.
    ///
    /// An indirect table can be at any address (LAY-11).
    #[must_use]
    pub fn table_misaligned_by(mut self, bytes: u8) -> Self {
        self.table = TablePlace::Misaligned(bytes.into());
        self
    }

    /// Puts the indirect table at `addr`. The test must reserve that memory.
    #[must_use]
    pub fn table_at(mut self, addr: DriverAddr) -> Self {
        self.table = TablePlace::At(addr);
        self
    }

    /// Sets `flags` in all entries of the indirect table, in addition to the correct flags.
    ///
    /// On a packed ring, a device ignores them (PACK-IND-2). An honest driver refuses the chain.
    #[must_use]
    pub fn table_flags(mut self, flags: u16) -> Self {
        self.flags_in_table = flags;
        self
    }
}

/// Sizes.
impl DriverChain {
    /// Returns the number of elements. It includes elements without bytes.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.parts.len()
    }

    /// Returns the readable bytes of all elements together.
    #[must_use]
    pub fn readable_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            if let Content::Readable(part) = &part.content {
                bytes.extend_from_slice(part);
            }
        }
        bytes
    }

    /// Returns the number of bytes that the device can write.
    #[must_use]
    pub fn writable_len(&self) -> u64 {
        self.parts.iter().filter(|part| part.is_writable()).map(Part::len).sum()
    }

    /// Returns the number of the queue's own descriptors that the chain takes.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        self.direct_elements() + usize::from(self.has_table())
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn direct_elements(&self) -> usize {
        self.indirect_after.unwrap_or(usize::MAX).min(self.elements())
    }

    pub(crate) fn has_table(&self) -> bool {
        self.direct_elements() < self.elements()
    }

    pub(crate) fn table(&self) -> TablePlace {
        self.table
    }

    pub(crate) fn flags_in_table(&self) -> u16 {
        self.flags_in_table
    }
}

impl Part {
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.content, Content::Writable(_))
    }

    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Readable(bytes) => bytes.len() as u64,
            Content::Writable(len) => (*len).into(),
        }
    }
}
