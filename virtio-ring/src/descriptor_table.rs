//! Tables of descriptors: the table of a queue, and indirect tables.

use core::marker::PhantomData;
use core::{error, fmt};

use virtio_mem_traits::{Access, DeviceArray, DriverMem, DriverRange, TranslateError};
use zerocopy::{FromBytes, IntoBytes};

/// The index of a descriptor in a table.
///
/// It is not checked, and it is not a position in a ring.
///
/// ```
/// use virtio_ring::DescriptorIndex;
///
/// assert_eq!(DescriptorIndex(3).to_string(), "3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DescriptorIndex(pub u16);

impl fmt::Display for DescriptorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a descriptor in bytes. Both formats have the same.
pub(crate) const DESCRIPTOR_SIZE: usize = 16;

/// A descriptor of either format, as an entry of a [`DescriptorTable`].
///
/// ```
/// use virtio_ring::{TableEntry, packed, split};
///
/// const fn size_of_entry<D: TableEntry>() -> usize {
///     size_of::<D>()
/// }
/// assert_eq!(size_of_entry::<split::Descriptor>(), size_of_entry::<packed::Descriptor>());
/// ```
pub trait TableEntry: Sized + FromBytes + IntoBytes + sealed::Sealed {
    /// Returns a copy of the entry at `index`, or `None` if there is no such entry.
    ///
    /// Each part of the entry is read once. The caller reports the read.
    #[must_use]
    fn load(entries: DeviceArray<'_, [u64; 2]>, index: usize) -> Option<Self>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A table of descriptors, for reading only.
///
/// The table of a queue is aligned, and usually lies in one piece of memory. An indirect table can be at any address
/// (LAY-11), and can lie in several pieces of memory. Reading is slower from such a table.
///
/// `D` is the descriptor type of one of the two formats. If the driver wrote the table in the other format, the values
/// are wrong, and nothing worse happens (HOST-27).
///
/// ```
/// use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};
/// use virtio_ring::split::{DescriptorIndex, DescriptorTable};
///
/// let mem = HeapMem::new(DriverAddr(0x1000), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x1003), 3 * 16).ok_or("beyond 2^64")?;
/// let table = DescriptorTable::indirect(&mem, range)?;
/// assert_eq!(table.len(), 3);
/// for descriptor in table.iter() {
///     assert!(descriptor?.is_empty());
/// }
/// let error = table.get(DescriptorIndex(3)).unwrap_err();
/// assert_eq!(error.to_string(), "the table has no descriptor 3: it has 3, from 0 on");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "desc")]
#[derive(Debug)]
pub struct DescriptorTable<'m, M: ?Sized, D> {
    mem: &'m M,
    range: DriverRange,
    /// The entries in the first piece of the table. It is empty if the table is not aligned.
    contiguous: DeviceArray<'m, [u64; 2]>,
    _descriptor: PhantomData<D>,
}

impl<'m, M: DriverMem + ?Sized, D: TableEntry> DescriptorTable<'m, M, D> {
    /// Returns the indirect table in `range`. It has as many entries as fit into the range.
    ///
    /// # Errors
    ///
    /// If the range cannot be translated for reading.
    #[inline(always)]
    pub fn indirect(mem: &'m M, range: DriverRange) -> Result<Self, TranslateError> {
        // PERF: nearly all tables are in one piece (`indirect-8-burst-32`).
        let whole = u32::try_from(range.len()).ok();
        let first_piece = match whole.and_then(|len| mem.translate_at_once(range.start(), len, Access::Read)) {
            Some(piece) => piece,
            None => mem.translate(range, Access::Read)?.prefix(usize::try_from(range.len()).unwrap_or(usize::MAX)),
        };
        Ok(Self::from_parts(mem, range, DeviceArray::new(first_piece).unwrap_or(DeviceArray::empty())))
    }

    /// Returns the memory of the table.
    #[inline]
    #[must_use]
    pub const fn mem(&self) -> &'m M {
        self.mem
    }

    /// Returns the table in `range`, whose entries in `contiguous` can be read without a translation.
    ///
    /// Pass the [`range`](Self::range) and the [`contiguous`](Self::contiguous) entries of another table.
    #[inline]
    #[must_use]
    pub const fn from_parts(mem: &'m M, range: DriverRange, contiguous: DeviceArray<'m, [u64; 2]>) -> Self {
        Self { mem, range, contiguous, _descriptor: PhantomData }
    }

    /// Returns the driver's addresses of the table.
    #[inline]
    #[must_use]
    pub const fn range(&self) -> DriverRange {
        self.range
    }

    /// Returns the entries that can be read without a translation.
    #[inline]
    #[must_use]
    pub const fn contiguous(&self) -> DeviceArray<'m, [u64; 2]> {
        self.contiguous
    }

    /// Returns the number of descriptors: as many as fit into the range, but not more than 65536.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        entries(self.range) as usize
    }

    /// Returns whether there are no descriptors.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all descriptors, each once, from the first to the last or to the first error.
    ///
    /// This method is for tools. A queue reads only the descriptors of a chain.
    pub fn iter(&self) -> impl Iterator<Item = Result<D, TableError>> + use<'m, M, D> {
        let table = *self;
        let mut failed = false;
        (0..=u16::MAX).take(self.len()).map_while(move |index| {
            let descriptor = (!failed).then(|| table.get(DescriptorIndex(index)))?;
            failed = descriptor.is_err();
            Some(descriptor)
        })
    }

    /// Returns a copy of the descriptor at `index`, read once.
    ///
    /// The read is relaxed. The caller must order it after the acquire load that found the chain (BAR-1).
    ///
    /// # Errors
    ///
    /// If the table has no such entry, or if the memory of the entry cannot be read.
    #[inline]
    pub fn get(&self, index: DescriptorIndex) -> Result<D, TableError> {
        self.get_contiguous(index).map_or_else(|| Self::get_anywhere(self.mem, self.range, index), Ok)
    }

    /// Returns a copy of the descriptor at `index`, if it is aligned and in the first piece of the table.
    ///
    /// Most descriptors are. The descriptor is read once. Otherwise returns `None`; [`get`](Self::get) then reads the
    /// descriptor or gives the reason.
    #[inline]
    #[must_use]
    pub fn get_contiguous(&self, index: DescriptorIndex) -> Option<D> {
        let index = usize::from(index.0);
        if index >= self.contiguous.len() {
            return None;
        }
        let offset = (DESCRIPTOR_SIZE * index) as u64;
        if self.mem.reports(Access::Read) {
            self.mem.before_read(self.range.after(offset).prefix(DESCRIPTOR_SIZE as u64));
        }
        D::load(self.contiguous, index)
    }

    /// Reads an entry that is not aligned or not in the first piece of the table.
    ///
    /// It takes the memory and the range by themselves, not the table. If nothing takes the address of the table, the
    /// table can stay in registers.
    #[cold]
    #[inline(never)]
    fn get_anywhere(mem: &M, range: DriverRange, index: DescriptorIndex) -> Result<D, TableError> {
        let offset = (DESCRIPTOR_SIZE * index.0 as usize) as u64;
        let no_entry = TableError::NoEntry { index, len: entries(range) };
        let mut entry = range.slice(offset, DESCRIPTOR_SIZE as u64).ok_or(no_entry)?;
        let mut descriptor = D::new_zeroed();
        let mut rest = descriptor.as_mut_bytes();
        while !rest.is_empty() {
            let piece = mem.translate(entry, Access::Read)?;
            let (part, after) = rest.split_at_mut(piece.len().min(rest.len()));
            // Only translated bytes are reported. An untranslated range is a claim that the memory does not know.
            mem.before_read(entry.prefix(part.len() as u64));
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

/// Returns how many descriptors are in `range`, but not more than an index can name.
#[expect(clippy::cast_possible_truncation, reason = "it is 2^16 at most")]
const fn entries(range: DriverRange) -> u32 {
    let entries = range.len() / DESCRIPTOR_SIZE as u64;
    if entries > 1 << u16::BITS { 1 << u16::BITS } else { entries as u32 }
}

impl<M: ?Sized, D> Clone for DescriptorTable<'_, M, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized, D> Copy for DescriptorTable<'_, M, D> {}

/// The reason why an entry of a table cannot be read.
///
/// ```
/// use virtio_ring::{DescriptorIndex, TableError};
///
/// let error = TableError::NoEntry { index: DescriptorIndex(9), len: 8 };
/// assert_eq!(error.to_string(), "the table has no descriptor 9: it has 8, from 0 on");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The index is past the end of the table.
    NoEntry {
        /// The index of the missing entry.
        index: DescriptorIndex,
        /// The number of entries of the table.
        len: u32,
    },
    /// The memory of the entry cannot be read.
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
            Self::NoEntry { index, len } => write!(f, "the table has no descriptor {index}: it has {len}, from 0 on"),
            Self::Translate(error) => write!(f, "a descriptor cannot be read: {error}"),
        }
    }
}

impl error::Error for TableError {}
