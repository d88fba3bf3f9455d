//! A table of descriptors, that of the queue or an indirect one.

use core::{error, fmt};

use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange, TranslateError};
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

use super::{Descriptor, DescriptorIndex};

/// A table of descriptors that can be read, and never is written.
///
/// The table of a queue is aligned and usually in one piece. An indirect one may lie anywhere (LAY-11) and may cross from
/// one piece of memory into another; it is read more slowly then, but just as well.
#[derive(Debug)]
pub struct DescriptorTable<'m, M: ?Sized> {
    mem: &'m M,
    range: DriverRange,
    /// INVARIANT: the beginning of `range`, and no more than that.
    first_piece: DeviceRange<'m>,
}

impl<'m, M: DriverMem + ?Sized> DescriptorTable<'m, M> {
    /// Returns the indirect table in `range`, which has as many entries as fit.
    ///
    /// # Errors
    ///
    /// If the range cannot be translated for reading.
    #[inline]
    pub fn indirect(mem: &'m M, range: DriverRange) -> Result<Self, TranslateError> {
        Ok(Self::proved(mem, range, mem.translate(range, Access::Read)?))
    }

    /// Returns the memory that the table lies in.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &'m M {
        self.mem
    }

    #[inline]
    pub(super) fn proved(mem: &'m M, range: DriverRange, first_piece: DeviceRange<'m>) -> Self {
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        Self { mem, range, first_piece: first_piece.prefix(len) }
    }

    /// Returns a copy of the descriptor at `index`, read once.
    ///
    /// The order of this read is the caller's: it comes after the acquiring load by which the chain was found (BAR-1).
    ///
    /// # Errors
    ///
    /// If the table has no such entry, or if the entry's memory cannot be read.
    #[inline]
    pub fn get(&self, index: DescriptorIndex) -> Result<Descriptor, TableError> {
        self.get_contiguous(index).map_or_else(|| Self::get_anywhere(self.mem, self.range, index), Ok)
    }

    /// Returns a copy of the descriptor at `index`, read once, if it is aligned and in the first piece of the table, as it
    /// usually is. What else there is to say of it, [`get`](Self::get) says.
    #[inline]
    #[must_use]
    pub fn get_contiguous(&self, index: DescriptorIndex) -> Option<Descriptor> {
        let offset = Descriptor::SIZE * index.0 as usize;
        let entry = self.first_piece.slice(offset, Descriptor::SIZE)?;
        if !entry.is_aligned_for::<u64>() {
            return None;
        }
        self.mem.before_read(self.range.after(offset as u64).prefix(Descriptor::SIZE as u64));
        entry.load_relaxed(0).ok().map(Descriptor::from_words)
    }

    /// Reads an entry that is not aligned or not in the first piece, if there is one.
    ///
    /// It takes what it needs apart from the table: a table whose address nobody asks for can live in registers.
    #[cold]
    #[inline(never)]
    fn get_anywhere(mem: &M, range: DriverRange, index: DescriptorIndex) -> Result<Descriptor, TableError> {
        let offset = (Descriptor::SIZE * index.0 as usize) as u64;
        let mut entry = range.slice(offset, Descriptor::SIZE as u64).ok_or(TableError::NoEntry { index })?;
        mem.before_read(entry);
        let mut descriptor = Descriptor::new_zeroed();
        let mut rest = descriptor.as_mut_bytes();
        while !rest.is_empty() {
            let piece = mem.translate(entry, Access::Read)?;
            let (part, after) = rest.split_at_mut(piece.len().min(rest.len()));
            piece
                .read_bytes(0, part)
                .map_err(|_| TranslateError::Denied { addr: entry.start(), access: Access::Read })?;
            if part.is_empty() {
                return Err(TranslateError::Unmapped { addr: entry.start() }.into());
            }
            entry = entry.after(part.len() as u64);
            rest = after;
        }
        Ok(descriptor)
    }
}

impl<M: ?Sized> Clone for DescriptorTable<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized> Copy for DescriptorTable<'_, M> {}

/// An entry that a table does not have, or that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The table is not as long as that.
    NoEntry {
        /// The index of the missing entry.
        index: DescriptorIndex,
    },
    /// The memory in which the entry lies cannot be read.
    Translate(TranslateError),
}

impl From<TranslateError> for TableError {
    fn from(error: TranslateError) -> Self {
        Self::Translate(error)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry { index } => write!(f, "the table has no descriptor {index}"),
            Self::Translate(error) => error.fmt(f),
        }
    }
}

impl error::Error for TableError {}
