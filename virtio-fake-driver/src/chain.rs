//! What a driver makes available, before it has a place in memory.

use alloc::vec::Vec;

use virtio_mem_traits::DriverAddr;

/// A plan of one descriptor chain: what it holds, how that is cut into elements, and where the descriptors go.
///
/// Nothing of it is in memory until a driver takes it. It stays as it is then, and can be made available again. Its
/// elements are in the order of the calls. An honest driver puts readable ones first and refuses any other order
/// (VIRTIO 1.4 §2.7.4.2 "Driver Requirements: Message Framing", DRV-FRM-1).
///
/// ```
/// use virtio_fake_driver::DriverChain;
///
/// // A block request of four elements: one in the queue's own table, the rest in an indirect one at an odd address.
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
    /// How many elements come before the indirect table, if there is to be one.
    indirect_after: Option<usize>,
    table: TablePlace,
    flags_in_table: u16,
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) content: Content,
    /// Where it has to be, if anywhere.
    pub(crate) at: Option<DriverAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Readable(Vec<u8>),
    Writable(u32),
}

/// Where an indirect table has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TablePlace {
    /// So many bytes after a multiple of 16.
    Misaligned(u64),
    At(DriverAddr),
}

impl Default for TablePlace {
    fn default() -> Self {
        Self::Misaligned(0)
    }
}

/// What it holds.
impl DriverChain {
    /// Begins a chain without elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one device-readable element that holds `bytes`, which may be none.
    #[must_use]
    pub fn readable(self, bytes: impl AsRef<[u8]>) -> Self {
        self.part(Content::Readable(bytes.as_ref().to_vec()))
    }

    /// Adds one device-writable element of `len` bytes, which may be none.
    #[must_use]
    pub fn writable(self, len: u32) -> Self {
        self.part(Content::Writable(len))
    }

    /// Adds device-readable elements that together hold `bytes`: one for each length in `cut`, and one for what is
    /// left.
    ///
    /// # Panics
    ///
    /// If there are not as many bytes as the cut wants.
    #[must_use]
    pub fn readable_cut(self, bytes: impl AsRef<[u8]>, cut: &[usize]) -> Self {
        let (mut chain, mut rest) = (self, bytes.as_ref());
        for len in cut {
            let (part, after) = rest.split_at_checked(*len).expect("a cut is no longer than what it cuts");
            (chain, rest) = (chain.readable(part), after);
        }
        if rest.is_empty() { chain } else { chain.readable(rest) }
    }

    /// Adds device-writable elements of `len` bytes altogether: one for each length in `cut`, and one for what is left.
    ///
    /// # Panics
    ///
    /// If there are not as many bytes as the cut wants.
    #[must_use]
    pub fn writable_cut(self, len: u32, cut: &[u32]) -> Self {
        let (mut chain, mut rest) = (self, len);
        for len in cut {
            rest = rest.checked_sub(*len).expect("a cut is no longer than what it cuts");
            chain = chain.writable(*len);
        }
        if rest == 0 { chain } else { chain.writable(rest) }
    }

    /// Puts the last element at `addr`, in memory that the test looks after: next to the end of the memory, across a
    /// split, or on top of something else.
    ///
    /// The driver fills it like any other, so that it has to be in the driver's memory unless it is empty.
    ///
    /// # Panics
    ///
    /// If there is no element.
    #[must_use]
    pub fn at(mut self, addr: DriverAddr) -> Self {
        self.parts.last_mut().expect("an element is added before it is placed").at = Some(addr);
        self
    }

    fn part(mut self, content: Content) -> Self {
        self.parts.push(Part { content, at: None });
        self
    }
}

/// Where the descriptors go.
impl DriverChain {
    /// Puts all descriptors into an indirect table.
    #[must_use]
    pub fn indirect(self) -> Self {
        self.indirect_after(0)
    }

    /// Puts the first `direct` descriptors into the queue's own table, and the others into an indirect one
    /// (SPLIT-IND-2). On a packed ring, it is all of them or none (PACK-SG-5).
    ///
    /// If there are no others, there is no indirect table.
    #[must_use]
    pub fn indirect_after(mut self, direct: usize) -> Self {
        self.indirect_after = Some(direct);
        self
    }

    /// Puts the indirect table `bytes` bytes after a multiple of 16; it may lie anywhere (LAY-11).
    #[must_use]
    pub fn table_misaligned_by(mut self, bytes: u8) -> Self {
        self.table = TablePlace::Misaligned(bytes.into());
        self
    }

    /// Puts the indirect table at `addr`, in memory that the test looks after.
    #[must_use]
    pub fn table_at(mut self, addr: DriverAddr) -> Self {
        self.table = TablePlace::At(addr);
        self
    }

    /// Sets `flags` in all entries of the indirect table, beside those that belong there. On a packed ring a device
    /// ignores them (PACK-IND-2). An honest driver refuses the chain.
    #[must_use]
    pub fn table_flags(mut self, flags: u16) -> Self {
        self.flags_in_table = flags;
        self
    }
}

/// What it comes to.
impl DriverChain {
    /// Returns how many elements there are, those without bytes included.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.parts.len()
    }

    /// Returns what the device will read, without regard to the cut.
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

    /// Returns how many bytes the device can write.
    #[must_use]
    pub fn writable_len(&self) -> u64 {
        self.parts.iter().filter(|part| part.is_writable()).map(Part::len).sum()
    }

    /// Returns how many descriptors the chain takes of the queue's own.
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
