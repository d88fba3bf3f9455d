//! Memory that is there, and cannot be accessed all the same.
//!
//! A front end can make the file of a region shorter after it was mapped. And a file can have holes that its file system
//! has no room for. An access to such a page is SIGBUS, which would end the program. Here it gets a page of its own
//! instead, which the front end does not see. So the front end harms its own device, and nobody else.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::io;

use libc::{BUS_ADRERR, SA_ONSTACK, SA_SIGINFO, SIG_DFL, SIGBUS, c_int, sigaction, siginfo_t};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// How many mappings there can be at a time: twice as many as there are regions, and some that chains keep.
const MAX: usize = 2048;

/// The mappings whose pages are replaced. A handler cannot take a lock.
static MAPPINGS: [Entry; MAX] = [const { Entry::free() }; MAX];

/// How many pages were replaced.
static REPLACED: AtomicUsize = AtomicUsize::new(0);

/// A mapping: whoever reads `end` before and after the rest and finds the same, not 0, has read all of one mapping.
struct Entry {
    start: AtomicUsize,
    /// 0 if there is none, and [`TAKEN`] while one is being written down.
    end: AtomicUsize,
    page: AtomicUsize,
}

const TAKEN: usize = 1;

impl Entry {
    const fn free() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0), page: AtomicUsize::new(0) }
    }

    /// Returns the page that `addr` is in, and its length, if it is in this mapping.
    fn page_of(&self, addr: usize) -> Option<(usize, usize)> {
        let end = self.end.load(Ordering::Acquire);
        let (start, page) = (self.start.load(Ordering::Relaxed), self.page.load(Ordering::Relaxed));
        let inside = end > TAKEN && start <= addr && addr < end && page != 0;
        inside.then(|| (addr - addr.checked_rem(page).unwrap_or_default(), page))
    }
}

/// The place of a mapping among those that are looked after, for as long as this exists.
#[derive(Debug)]
pub(crate) struct Guarded(usize);

impl Guarded {
    /// Looks after the `len` bytes at `start`, which were mapped in pages of `page` bytes.
    ///
    /// # Errors
    ///
    /// If there are too many of these already.
    pub(crate) fn new(start: usize, len: usize, page: usize) -> io::Result<Self> {
        let free = |entry: &Entry| entry.end.compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let index = MAPPINGS.iter().position(free);
        let index = index.ok_or_else(|| io::Error::other(format!("there are {MAX} mappings already")))?;
        if let Some(entry) = MAPPINGS.get(index) {
            entry.start.store(start, Ordering::Relaxed);
            entry.page.store(page, Ordering::Relaxed);
            entry.end.store(start.saturating_add(len), Ordering::Release);
        }
        Ok(Self(index))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(entry) = MAPPINGS.get(self.0) {
            entry.end.store(0, Ordering::Release);
        }
    }
}

/// Lets the program go on after SIGBUS in memory that is looked after.
///
/// The handler that is there already is not called. It is the standard library's, which ends the program.
///
/// # Errors
///
/// If the signal cannot be handled.
pub(crate) fn survive() -> io::Result<()> {
    set_handler(handle as extern "C" fn(c_int, *const siginfo_t, *mut c_void) as usize)
}

/// Sets the address of a handler, or `SIG_DFL`.
fn set_handler(handler: usize) -> io::Result<()> {
    // SAFETY: it is a plain structure of numbers, for which zeros are an empty mask and no flags.
    let mut action: sigaction = unsafe { core::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, SA_SIGINFO | SA_ONSTACK);
    // SAFETY: the handler does what a handler can do: it loads atomics and makes system calls. `SIG_DFL` is none.
    let set = unsafe { libc::sigaction(SIGBUS, &raw const action, ptr::null_mut()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Replaces the page that was accessed if its file does not have it, or lets the access end the program when it is tried again.
extern "C" fn handle(_signal: c_int, info: *const siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel calls this, with SA_SIGINFO, and with a structure that is there while this runs.
    let info = unsafe { &*info };
    // SAFETY: for SIGBUS, the kernel has filled in the address. If a process has sent the signal, it is some number.
    let addr = unsafe { info.si_addr() }.addr();
    let absent = info.si_code == BUS_ADRERR;
    let page = MAPPINGS.iter().filter(|_| absent).find_map(|entry| entry.page_of(addr));
    if page.is_none_or(|(start, len)| replace(start, len).is_err()) {
        let _ = set_handler(SIG_DFL);
    }
}

fn replace(start: usize, len: usize) -> io::Result<()> {
    let at = ptr::without_provenance_mut::<c_void>(start);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the page is all in a mapping that is looked after, which nobody unmaps while it is being accessed, and it
    // was being accessed. It stays readable and writable, and is never referred to by a Rust reference.
    unsafe { mmap_anonymous(at, len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    // Relaxed: it is a number, for people.
    REPLACED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Returns how many pages were replaced since the last time that this was called.
pub(crate) fn take_replaced() -> usize {
    REPLACED.swap(0, Ordering::Relaxed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs::File;

    use memmap2::MmapOptions;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::param::page_size;

    use super::*;

    #[test]
    fn page_that_its_file_does_not_have_any_more_is_replaced() {
        survive().unwrap();
        let (page, file) = (page_size(), File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap()));
        file.set_len(4 * page as u64).unwrap();
        let pages = MmapOptions::new().len(4 * page).map_raw(&file).unwrap();
        let _guarded = Guarded::new(pages.as_mut_ptr().addr(), pages.len(), page).unwrap();
        file.set_len(page as u64).unwrap();
        for (at, written) in [(page, 1_u8), (4 * page - 1, 2), (0, 3)] {
            // SAFETY: it is in the mapping.
            let byte = unsafe { pages.as_mut_ptr().add(at) };
            // SAFETY: nobody else has the mapping.
            unsafe { byte.write_volatile(written) };
            // SAFETY: as before.
            assert_eq!(unsafe { byte.read_volatile() }, written);
        }
        assert_eq!(take_replaced(), 2);
    }
}
