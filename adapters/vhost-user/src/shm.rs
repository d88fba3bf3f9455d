//! Memory that the front end keeps for this process: the record of what is in flight, and the log of dirty pages.

use core::ptr::NonNull;
use std::fs::File;
use std::io;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, TranslateError};

use crate::pages::Pages;

/// A part of a file, mapped. Its bytes begin at address 0.
#[derive(Debug)]
pub(crate) struct Shm {
    /// The pages that the part is in.
    pages: Pages,
    /// Where in them the part begins. INVARIANT: `skipped + len` is not beyond the end of `pages`.
    skipped: usize,
    len: usize,
}

impl Shm {
    /// Maps the `len` bytes at `offset` of `file`, which is not needed any longer after that.
    ///
    /// # Errors
    ///
    /// If there are none, or not all of them are in the file, or it cannot be mapped.
    pub(crate) fn map(file: &File, offset: u64, len: u64) -> io::Result<Self> {
        let size = file.metadata()?.len();
        if len == 0 || offset.checked_add(len).is_none_or(|end| end > size) {
            let text = format!("{len} bytes at {offset:#x} must lie in the file, which has {size} bytes");
            return Err(io::Error::other(text));
        }
        let (pages, skipped) = Pages::map(file, offset, len)?;
        Ok(Self { pages, skipped, len: usize::try_from(len).map_err(io::Error::other)? })
    }

    /// Returns all of it.
    pub(crate) fn range(&self) -> DeviceRange<'_> {
        let Some(pages) = NonNull::new(self.pages.as_mut_ptr()) else { return DeviceRange::empty() };
        // SAFETY: `skipped` is inside the mapping.
        let start = unsafe { pages.add(self.skipped) };
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
