//! The memory that a front end shares.

use core::ptr::NonNull;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use vhost::vhost_user::message::VhostUserMemoryRegion;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};
use virtio_util::RegionTable;

/// All memory of a front end, as queues hold it.
pub(super) type GuestMem = Arc<RegionTable<Arc<Mapping>>>;

/// The memory table of a front end. It does not change: there is another one instead.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    table: GuestMem,
}

impl Memory {
    /// How many regions there may be: as many as KVM has slots for on x86.
    pub(super) const MAX_REGIONS: usize = 509;

    /// Maps `regions`, which lie in `files`.
    ///
    /// # Errors
    ///
    /// If there are too many, if one of them is empty, is not all in its file or cannot be mapped, or if two overlap.
    pub(super) fn new(regions: &[VhostUserMemoryRegion], files: &[File]) -> io::Result<Self> {
        let mappings = regions.iter().zip(files).map(|(region, file)| Mapping::new(region, file));
        let table = RegionTable::new(mappings.collect::<io::Result<Vec<_>>>()?);
        Self::of_table(table.map_err(io::Error::other)?)
    }

    /// Returns a memory with one more region, unless it is there already: QEMU 7.2 says the same for each pair of a
    /// network device's queues.
    pub(super) fn with(&self, region: &VhostUserMemoryRegion, file: &File) -> io::Result<Self> {
        let (added, offset) = (ranges(region)?, to_usize(region.mmap_offset)?);
        if self.table.regions().iter().any(|(_, known)| (known.guest, known.user) == added && known.offset == offset) {
            return Ok(self.clone());
        }
        Self::of_table(self.table.with(Mapping::new(region, file)?).map_err(io::Error::other)?)
    }

    /// Returns a memory without a region.
    pub(super) fn without(&self, region: &VhostUserMemoryRegion) -> io::Result<Self> {
        let (guest, user) = ranges(region)?;
        if self.guest_addr(user.start().0) != Some(guest.start()) {
            return Err(io::Error::other(format!("no memory region {guest} at {user}")));
        }
        Self::of_table(self.table.without(guest).map_err(io::Error::other)?)
    }

    fn of_table(table: RegionTable<Arc<Mapping>>) -> io::Result<Self> {
        if table.regions().len() > Self::MAX_REGIONS {
            return Err(io::Error::other("too many memory regions"));
        }
        Ok(Self { table: Arc::new(table) })
    }

    /// Returns the memory for a queue.
    pub(super) fn table(&self) -> GuestMem {
        Arc::clone(&self.table)
    }

    /// Returns what the guest calls the address that the front end calls `user`. Rings are told by the latter.
    pub(super) fn guest_addr(&self, user: u64) -> Option<DriverAddr> {
        self.table.regions().iter().find_map(|(guest, mapping)| {
            let offset = mapping.user.offset_of(DriverAddr(user))?;
            guest.start().checked_add(offset)
        })
    }
}

/// No memory at all.
impl Default for Memory {
    fn default() -> Self {
        let table = RegionTable::new([]).unwrap_or_else(|_| unreachable!("no regions do not overlap"));
        Self { table: Arc::new(table) }
    }
}

/// Returns what the guest and the front end call a region.
fn ranges(region: &VhostUserMemoryRegion) -> io::Result<(DriverRange, DriverRange)> {
    let range = |start| DriverRange::new(DriverAddr(start), region.memory_size);
    let ranges = range(region.guest_phys_addr).zip(range(region.user_addr));
    ranges.ok_or_else(|| io::Error::other("a memory region ends beyond 2^64"))
}

fn to_usize(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

/// One region of memory, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    /// The file from its beginning to the end of the region.
    file: MmapRaw,
    /// Where in it the region begins. INVARIANT: `offset + guest.len()` is not beyond the end of `file`.
    offset: usize,
    guest: DriverRange,
    user: DriverRange,
}

impl Mapping {
    /// Maps `region`, which lies in `file`. The file itself is not needed any longer.
    fn new(region: &VhostUserMemoryRegion, file: &File) -> io::Result<(DriverRange, Arc<Self>)> {
        let (guest, user) = ranges(region)?;
        let (offset, file_size) = (region.mmap_offset, file.metadata()?);
        let end = offset.checked_add(guest.len()).filter(|end| *end <= file_size.len());
        let end = end.ok_or_else(|| io::Error::other(format!("memory region {guest} is not all in its file")))?;
        // Huge pages can be mapped as a whole only: therefore from the beginning of the file, and to the end of a
        // block.
        let len = end.checked_next_multiple_of(file_size.blksize()).unwrap_or(end);
        let file = MmapOptions::new().len(to_usize(len)?).map_raw(file)?;
        Ok((guest, Arc::new(Self { file, offset: to_usize(offset)?, guest, user })))
    }
}

impl DriverMem for Mapping {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let unmapped = TranslateError::Unmapped { addr: range.start() };
        let skipped = self.guest.offset_of(range.start()).ok_or(unmapped)?;
        let part = range.prefix(self.guest.len() - skipped);
        let (Ok(skipped), Ok(len), Some(file)) =
            (usize::try_from(skipped), usize::try_from(part.len()), NonNull::new(self.file.as_mut_ptr()))
        else {
            return Err(unmapped);
        };
        // SAFETY: `offset + skipped` is less than `offset + guest.len()`, which is inside the mapping.
        let start = unsafe { file.add(self.offset + skipped) };
        // SAFETY: (1) the `len` bytes are in the mapping, which is for reading and writing, bound to no thread and
        // there until the drop of `self`; an access beyond the end that its file has by then is a signal that ends the
        // process; (2) the mapping leaves this module as a `DeviceRange` only; (3) it is one mapping, and no longer
        // than `isize::MAX`, or it could not have been made.
        Ok(unsafe { DeviceRange::new(start, len, access) })
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.guest.offset_of(range.start()).ok_or(TranslateError::Unmapped { addr: range.start() })?;
        Ok((self.guest, self.translate(self.guest, access)?))
    }

    /// A mapping stays where it is.
    #[inline]
    fn translations_last(&self) -> bool {
        true
    }
}
