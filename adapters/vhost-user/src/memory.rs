//! The memory that a front end shares.

use core::ptr::NonNull;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use vhost::vhost_user::message::VhostUserMemoryRegion;
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};
use virtio_util::RegionTable;

use crate::log::{Logged, RingLog};
use crate::pages::Pages;

/// All memory of a front end, as queues hold it.
///
/// The chains of this back end have it as their memory: see [`ChainElements::mem`](virtio_queue_core::ChainElements).
pub type GuestMem = Logged<Arc<RegionTable<Arc<Mapping>>>>;

/// The memory table of a front end. It does not change: there is another one instead.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    table: Arc<RegionTable<Arc<Mapping>>>,
}

impl Memory {
    /// How many regions there may be: as many as KVM has slots for on x86.
    pub(crate) const MAX_REGIONS: usize = 509;

    /// Maps `regions`, which lie in `files`.
    ///
    /// # Errors
    ///
    /// If there are too many, if one of them is empty, is not all in its file or cannot be mapped, or if two overlap.
    pub(crate) fn new(regions: &[VhostUserMemoryRegion], files: &[File]) -> io::Result<Self> {
        let mappings = regions.iter().zip(files).map(|(region, file)| Mapping::new(region, file));
        let table = RegionTable::new(mappings.collect::<io::Result<Vec<_>>>()?);
        Self::of_table(table.map_err(io::Error::other)?)
    }

    /// Returns a memory with one more region, unless it is there already: QEMU 7.2 says the same for each pair of a
    /// network device's queues.
    pub(crate) fn with(&self, region: &VhostUserMemoryRegion, file: &File) -> io::Result<Self> {
        let (added, offset) = (ranges(region)?, region.mmap_offset);
        if self.table.regions().iter().any(|(_, known)| (known.guest, known.user) == added && known.offset == offset) {
            return Ok(self.clone());
        }
        Self::of_table(self.table.with(Mapping::new(region, file)?).map_err(io::Error::other)?)
    }

    /// Returns a memory without a region.
    pub(crate) fn without(&self, region: &VhostUserMemoryRegion) -> io::Result<Self> {
        let (guest, user) = ranges(region)?;
        if self.guest_addr(user.start().0) != Some(guest.start()) {
            return Err(io::Error::other(format!("no memory region {guest} at {user}")));
        }
        Self::of_table(self.table.without(guest).map_err(io::Error::other)?)
    }

    fn of_table(table: RegionTable<Arc<Mapping>>) -> io::Result<Self> {
        if table.regions().len() > Self::MAX_REGIONS {
            let (regions, limit) = (table.regions().len(), Self::MAX_REGIONS);
            return Err(io::Error::other(format!("{regions} memory regions are too many: {limit} can be")));
        }
        Ok(Self { table: Arc::new(table) })
    }

    /// Returns the memory for a queue, of which what is written is in a log, if there is one.
    pub(crate) fn table(&self, log: Option<RingLog>) -> GuestMem {
        Logged::new(Arc::clone(&self.table), log)
    }

    /// Returns what tells the memory from that of another guest: the device and the inode of the file that the first
    /// region is in, unless there is no region.
    pub(crate) fn identity(&self) -> Option<[u64; 2]> {
        self.table.regions().first().map(|(_, mapping)| mapping.file)
    }

    /// Returns the end of the last region, as the guest knows it.
    pub(crate) fn end(&self) -> u64 {
        self.table.regions().last().map_or(0, |(guest, _)| guest.start().0.saturating_add(guest.len()))
    }

    /// Returns whether all of its regions are in `other`, too.
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        let stays = |(_, region): &(_, Arc<Mapping>)| other.table.regions().iter().any(|(_, at)| at.is_as(region));
        self.table.regions().iter().all(stays)
    }

    /// Returns what the guest calls the address that the front end calls `user`. Rings are told by the latter.
    pub(crate) fn guest_addr(&self, user: u64) -> Option<DriverAddr> {
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

/// One region of memory, mapped.
#[derive(Debug)]
pub struct Mapping {
    /// The pages that the region is in.
    pages: Pages,
    /// Where in them the region begins. INVARIANT: `skipped + guest.len()` is not beyond the end of `pages`.
    skipped: usize,
    /// The device and the inode of its file.
    file: [u64; 2],
    /// Where in its file the region begins.
    offset: u64,
    guest: DriverRange,
    user: DriverRange,
}

impl Mapping {
    /// Returns whether it is the same memory at the same place.
    fn is_as(&self, other: &Self) -> bool {
        let place = |mapping: &Self| (mapping.file, mapping.offset, mapping.guest, mapping.user);
        place(self) == place(other)
    }

    /// Maps `region`, which lies in `file`.
    fn new(region: &VhostUserMemoryRegion, file: &File) -> io::Result<(DriverRange, Arc<Self>)> {
        let (guest, user) = ranges(region)?;
        let metadata = file.metadata()?;
        let (offset, file_len) = (region.mmap_offset, metadata.len());
        if offset.checked_add(guest.len()).is_none_or(|end| end > file_len) {
            let text = format!("memory region {guest} at {offset:#x} must be in its file of {file_len:#x} bytes");
            return Err(io::Error::other(text));
        }
        let (pages, skipped) = Pages::map(file, offset, guest.len())?;
        let file = [metadata.dev(), metadata.ino()];
        Ok((guest, Arc::new(Self { pages, skipped, file, offset, guest, user })))
    }
}

impl DriverMem for Mapping {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let unmapped = TranslateError::Unmapped { addr: range.start() };
        let skipped = self.guest.offset_of(range.start()).ok_or(unmapped)?;
        let part = range.prefix(self.guest.len() - skipped);
        let (Ok(skipped), Ok(len), Some(pages)) =
            (usize::try_from(skipped), usize::try_from(part.len()), NonNull::new(self.pages.as_mut_ptr()))
        else {
            return Err(unmapped);
        };
        // SAFETY: `self.skipped + skipped` is less than `self.skipped + guest.len()`, which is inside the mapping.
        let start = unsafe { pages.add(self.skipped + skipped) };
        // SAFETY: (1) the `len` bytes are in the mapping, which is for reading and writing, bound to no thread and
        // there until the drop of `self`; an access to a page that its file does not have by then is a signal, which
        // ends the process or gives the mapping another page (`sigbus`); (2) the mapping leaves this module as a
        // `DeviceRange` only; (3) it is one mapping, and no longer than `isize::MAX`, or it could not have been made.
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

    /// Who has to know of what was written is in front of all mappings: [`Logged`].
    #[inline(always)]
    fn reports(&self, _access: Access) -> bool {
        false
    }
}
