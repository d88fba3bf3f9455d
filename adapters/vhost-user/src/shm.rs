//! Memory that the front end keeps for this process: the record of what is in flight, and the log of dirty pages.

use core::ptr::NonNull;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use memmap2::{Advice, MmapOptions, MmapRaw};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

/// A part of a file, mapped. Its bytes begin at address 0.
#[derive(Debug)]
pub(super) struct Shm {
    /// The file from its beginning to the end of the part.
    file: MmapRaw,
    /// Where in it the part begins. INVARIANT: `offset + len` is not beyond the end of `file`.
    offset: usize,
    len: usize,
}

impl Shm {
    /// Maps the `len` bytes at `offset` of `file`, which is not needed any longer after that. They are not in a core
    /// dump.
    ///
    /// # Errors
    ///
    /// If there are none, or not all of them are in the file, or it cannot be mapped.
    pub(super) fn map(file: &File, offset: u64, len: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let end = offset.checked_add(len).filter(|end| len != 0 && *end <= metadata.len()).ok_or_else(|| {
            let size = metadata.len();
            io::Error::other(format!("{len} bytes at {offset:#x} must lie in the file, which has {size} bytes"))
        })?;
        // Huge pages can be mapped as a whole only: therefore from the beginning of the file, and to the end of a
        // block.
        let mapped = end.checked_next_multiple_of(metadata.blksize()).unwrap_or(end);
        let file = MmapOptions::new().len(to_usize(mapped)?).map_raw(file)?;
        // Whether a core dump has it is not worth failing for.
        let _ = file.advise(Advice::DontDump);
        Ok(Self { file, offset: to_usize(offset)?, len: to_usize(len)? })
    }

    /// Returns all of it.
    pub(super) fn range(&self) -> DeviceRange<'_> {
        let Some(file) = NonNull::new(self.file.as_mut_ptr()) else { return DeviceRange::empty() };
        // SAFETY: `offset` is inside the mapping.
        let start = unsafe { file.add(self.offset) };
        // SAFETY: (1) the `len` bytes are in the mapping, which is for reading and writing, bound to no thread and
        // there until the drop of `self`; an access beyond the end that its file has by then is a signal that ends the
        // process; (2) the mapping leaves this module as a `DeviceRange` only; (3) it is one mapping, and no longer
        // than `isize::MAX`, or it could not have been made.
        unsafe { DeviceRange::new(start, self.len, Access::ReadWrite) }
    }
}

impl DriverMem for Shm {
    fn translate(&self, range: DriverRange, _access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        let skipped = usize::try_from(range.start().0).ok().filter(|skipped| *skipped < self.len);
        let skipped = skipped.ok_or(TranslateError::Unmapped { addr: range.start() })?;
        Ok(self.range().after(skipped).prefix(usize::try_from(range.len()).unwrap_or(usize::MAX)))
    }

    /// A mapping stays where it is.
    fn translations_last(&self) -> bool {
        true
    }

    /// Nobody has to know.
    #[inline(always)]
    fn reports(&self, _access: Access) -> bool {
        false
    }
}

/// Returns the `len` bytes at `offset`, as addresses of a [`Shm`].
pub(super) fn part(offset: u64, len: u64) -> Option<DriverRange> {
    DriverRange::new(DriverAddr(offset), len)
}

fn to_usize(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}
