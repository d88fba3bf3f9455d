//! Memory that the front end keeps for this process: the record of what is in flight, and the log of dirty pages.

use core::ptr::NonNull;
use std::fs::File;
use std::io;

use memmap2::{Advice, MmapOptions, MmapRaw};
use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

use crate::addresses::Addresses;
use crate::memory::page_len;
use crate::sigbus::Guarded;

/// A part of a file, mapped. Its bytes begin at address 0.
#[derive(Debug)]
pub(crate) struct Shm {
    /// It is given up before the pages are.
    _guarded: Guarded,
    /// The file from its beginning to the end of the part.
    file: MmapRaw,
    /// Where in it the part begins. INVARIANT: `offset + len` is not beyond the end of `file`.
    offset: usize,
    len: usize,
    /// They are given up after the file is.
    _addresses: Addresses,
}

impl Shm {
    /// Maps the `len` bytes at `offset` of `file`, which is not needed any longer after that. They are not in a core
    /// dump.
    ///
    /// # Errors
    ///
    /// If there are none, or not all of them are in the file, or it cannot be mapped.
    pub(crate) fn map(file: &File, offset: u64, len: u64) -> io::Result<Self> {
        let (size, page) = (file.metadata()?.len(), page_len(file)?);
        let end = offset.checked_add(len).filter(|end| len != 0 && *end <= size).ok_or_else(|| {
            io::Error::other(format!("{len} bytes at {offset:#x} must lie in the file, which has {size} bytes"))
        })?;
        // Huge pages can be mapped as a whole only.
        let mapped = end.checked_next_multiple_of(page).unwrap_or(end);
        let addresses = Addresses::take(mapped)?;
        let file = MmapOptions::new().len(to_usize(mapped)?).no_reserve_swap().map_raw(file)?;
        // Without that, a core dump would have more in it, and all else would work.
        let _ = file.advise(Advice::DontDump);
        let guarded = Guarded::new(file.as_mut_ptr().addr(), file.len(), to_usize(page)?)?;
        let (offset, len) = (to_usize(offset)?, to_usize(len)?);
        Ok(Self { _guarded: guarded, file, offset, len, _addresses: addresses })
    }

    /// Returns all of it.
    pub(crate) fn range(&self) -> DeviceRange<'_> {
        let Some(file) = NonNull::new(self.file.as_mut_ptr()) else { return DeviceRange::empty() };
        // SAFETY: `offset` is inside the mapping.
        let start = unsafe { file.add(self.offset) };
        // SAFETY: (1) the `len` bytes are in the mapping, which is for reading and writing, bound to no thread and
        // there until the drop of `self`; an access to a page that its file does not have by then is a signal, which
        // gives the mapping another page (`sigbus`); (2) the mapping leaves this module as a `DeviceRange` only; (3) it
        // is one mapping, and no longer than `isize::MAX`, or it could not have been made.
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
pub(crate) fn part(offset: u64, len: u64) -> Option<DriverRange> {
    DriverRange::new(DriverAddr(offset), len)
}

fn to_usize(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}
