//! Memory behind an IOMMU.

use core::fmt;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// Translates the addresses that a driver uses into memory addresses.
///
/// A driver uses such addresses if it accepted ACCESS_PLATFORM: VIRTIO 1.4 §6 "Reserved Feature Bits" (FEAT-11). So a
/// device behind an IOMMU should offer this feature (FEAT-9).
pub trait Iommu {
    /// Returns the memory range for the beginning of `range`. The result is one contiguous piece of at least one byte.
    /// Usually it extends to the end of a page.
    ///
    /// # Errors
    ///
    /// If the first byte is not mapped, or its mapping does not allow `access`.
    fn lookup(&self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError>;
}

impl<I: Iommu + ?Sized> Iommu for &I {
    fn lookup(&self, range: DriverRange, access: Access) -> Result<DriverRange, TranslateError> {
        (**self).lookup(range, access)
    }
}

/// A memory `M` behind an optional IOMMU `I`. If ACCESS_PLATFORM was negotiated, pass an IOMMU: it translates every
/// address. If not, pass `None`: addresses pass through unchanged.
///
/// The IOMMU translates the addresses of rings, indirect tables and buffers. Each lookup asks for the smallest access
/// that is enough. `IommuMem` reports reads and writes to `M` with the translated addresses.
///
/// `IommuMem` caches nothing. Each translation is a new lookup, also through a
/// [`RegionCache`](virtio_mem_traits::RegionCache).
///
/// Do not use it if the driver removes mappings of the ring areas of a running queue: a queue keeps its translations.
/// When these mappings change, create the queue again, as for any other change of its memory.
///
/// ```
/// use virtio_mem_traits::{Access, DriverAddr, DriverMem, DriverRange, HeapMem, TranslateError};
/// use virtio_util::{Iommu, IommuMem};
///
/// /// Maps everything 1 MiB higher.
/// struct Offset;
///
/// impl Iommu for Offset {
///     fn lookup(&self, range: DriverRange, _: Access) -> Result<DriverRange, TranslateError> {
///         let addr = range.start();
///         let memory = addr.checked_add(0x10_0000).and_then(|start| DriverRange::new(start, range.len()));
///         memory.ok_or(TranslateError::Unmapped { addr })
///     }
/// }
///
/// let heap = HeapMem::new(DriverAddr(0x10_0000), 0x1000)?;
/// let range = DriverRange::new(DriverAddr(0x10), 4).ok_or("too long")?;
/// assert!(IommuMem::new(&heap, Some(Offset)).translate_all(range, Access::Read).is_ok());
/// assert!(IommuMem::new(&heap, None::<Offset>).translate_all(range, Access::Read).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct IommuMem<M, I> {
    mem: M,
    iommu: Option<I>,
}

impl<M: DriverMem, I: Iommu> IommuMem<M, I> {
    /// Puts `mem` behind `iommu`. Without an `iommu`, addresses pass through unchanged.
    #[must_use]
    pub const fn new(mem: M, iommu: Option<I>) -> Self {
        Self { mem, iommu }
    }

    /// Calls `report` for each piece of memory that `range` translates to. Skips a part that is no longer mapped.
    fn for_each_piece(&self, range: DriverRange, access: Access, report: impl Fn(&M, DriverRange)) {
        let Some(iommu) = &self.iommu else { return report(&self.mem, range) };
        let mut rest = range;
        while let Ok(piece) = iommu.lookup(rest, access) {
            let piece = piece.prefix(rest.len());
            if piece.is_empty() {
                return;
            }
            report(&self.mem, piece);
            rest = rest.after(piece.len());
        }
    }
}

impl<M: DriverMem, I: Iommu> DriverMem for IommuMem<M, I> {
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        match &self.iommu {
            Some(iommu) => self.mem.translate(iommu.lookup(range, access)?.prefix(range.len()), access),
            None => self.mem.translate(range, access),
        }
    }

    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        match &self.iommu {
            // An IOMMU does not tell the range of the mapping around the address.
            Some(_) => self.translate(range, access).map(|piece| (range.prefix(piece.len() as u64), piece)),
            None => self.mem.region(range, access),
        }
    }

    /// Returns `false` behind an IOMMU, because the driver can change its mappings at any time.
    fn translations_last(&self) -> bool {
        self.iommu.is_none() && self.mem.translations_last()
    }

    /// Returns `None` behind an IOMMU. A failed quick attempt would cost a second lookup.
    #[inline]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        match &self.iommu {
            Some(_) => None,
            None => self.mem.translate_at_once(addr, len, access),
        }
    }

    #[inline]
    fn reports(&self, access: Access) -> bool {
        self.mem.reports(access)
    }

    fn before_read(&self, range: DriverRange) {
        self.for_each_piece(range, Access::Read, M::before_read);
    }

    fn written(&self, range: DriverRange) {
        self.for_each_piece(range, Access::Write, M::written);
    }
}

impl<M: fmt::Debug, I> fmt::Debug for IommuMem<M, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IommuMem")
            .field("mem", &self.mem)
            .field("translates", &self.iommu.is_some())
            .finish_non_exhaustive()
    }
}
