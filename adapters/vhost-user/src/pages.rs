//! The pages of a file that a front end shares, mapped.

use std::fs::File;
use std::io;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{FsWord, fstatfs};
use rustix::param::page_size;

use crate::addresses::Addresses;
use crate::sigbus::Guarded;

/// The file system of huge pages, as `statfs` knows it.
const HUGETLBFS: FsWord = 0x958_458f6;

/// Pages of a file, mapped for reading and writing until this is dropped. An access to one that the file does not have
/// any more is a signal, which ends the process or gives the mapping another page (`sigbus`).
#[derive(Debug)]
pub(crate) struct Pages {
    /// It is given up before the pages are.
    _guarded: Guarded,
    mapped: MmapRaw,
    /// They are given up after the pages.
    _addresses: Addresses,
}

impl Pages {
    /// Maps the `len` bytes at `offset` of `file`, as QEMU does: no more than the pages that they are in, for which
    /// nothing is reserved, and which are in no core dump. Returns the pages, and where in them the bytes begin. The
    /// file itself is not needed any longer.
    ///
    /// # Errors
    ///
    /// If they cannot be mapped.
    pub(crate) fn map(file: &File, offset: u64, len: u64) -> io::Result<(Self, usize)> {
        let page = page_len(file)?;
        let skipped = offset.checked_rem(page).unwrap_or_default();
        // Huge pages can be mapped as a whole only.
        let len = (skipped + len).checked_next_multiple_of(page).unwrap_or(u64::MAX);
        let addresses = Addresses::take(len)?;
        let mapped = MmapOptions::new().offset(offset - skipped).len(to_usize(len)?).no_reserve_swap().map_raw(file)?;
        // Without that, a core dump would have more in it, and all else would work.
        let _ = mapped.advise(Advice::DontDump);
        let guarded = Guarded::new(mapped.as_mut_ptr().addr(), mapped.len(), to_usize(page)?)?;
        Ok((Self { _guarded: guarded, mapped, _addresses: addresses }, to_usize(skipped)?))
    }

    /// Returns a pointer to the first of them.
    #[inline]
    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.mapped.as_mut_ptr()
    }
}

/// Returns the length of the pages that `file` is mapped in.
fn page_len(file: &File) -> io::Result<u64> {
    let system = fstatfs(file)?;
    let len = if system.f_type == HUGETLBFS {
        u64::try_from(system.f_bsize).map_err(io::Error::other)?
    } else {
        page_size() as u64
    };
    if len.is_power_of_two() { Ok(len) } else { Err(io::Error::other(format!("pages of {len} bytes"))) }
}

fn to_usize(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}
