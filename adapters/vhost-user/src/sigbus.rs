//! Memory that is there, and cannot be accessed all the same.
//!
//! A front end can make the file of a region shorter after it was mapped. And a file can have holes that its file
//! system has no room for. An access to such a page is SIGBUS, which would end the program. Here it gets a page of its
//! own instead, which the front end does not see. So the front end harms its own device, and nobody else.
//!
//! A page that was replaced is a mapping of its own for the kernel, which has only so many for a process. So a region
//! of which several pages were replaced is replaced as a whole.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering, fence};
use std::io;

use libc::{BUS_ADRERR, SA_ONSTACK, SA_SIGINFO, SIG_DFL, SIGBUS, c_int, sigaction, siginfo_t};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// How many mappings there can be at a time: twice as many as there are regions, and some that chains keep.
const MAX: usize = 2048;

/// The mappings whose pages are replaced. A handler cannot take a lock.
static MAPPINGS: [Entry; MAX] = [const { Entry::free() }; MAX];

/// How many pages of a mapping are replaced one by one. With all of these in each mapping, the kernel has still more to
/// give than half of what it has by default.
const SINGLE: usize = 8;

/// How many pages were replaced, or mappings.
static REPLACED: AtomicUsize = AtomicUsize::new(0);

/// A mapping: whoever reads `end` before and after the rest and finds the same, not 0, has read all of one mapping.
struct Entry {
    start: AtomicUsize,
    /// 0 if there is none, and [`TAKEN`] while one is being written down.
    end: AtomicUsize,
    page: AtomicUsize,
    /// How many of its pages were replaced.
    replaced: AtomicUsize,
}

const TAKEN: usize = 1;

impl Entry {
    const fn free() -> Self {
        let [start, end, page, replaced] = [const { AtomicUsize::new(0) }; 4];
        Self { start, end, page, replaced }
    }

    /// Returns where what is to be replaced begins, and its length, if `addr` is in this mapping: the page that it is
    /// in, or all of the mapping.
    fn part_of(&self, addr: usize) -> Option<(usize, usize)> {
        let end = self.end.load(Ordering::Acquire);
        let (start, page) = (self.start.load(Ordering::Relaxed), self.page.load(Ordering::Relaxed));
        // It comes after these loads.
        fence(Ordering::Acquire);
        let is_same = end == self.end.load(Ordering::Relaxed);
        if !is_same || end <= TAKEN || addr < start || end <= addr || page == 0 {
            return None;
        }
        let all = self.replaced.fetch_add(1, Ordering::Relaxed) >= SINGLE;
        Some(if all { (start, end - start) } else { (addr - addr.checked_rem(page).unwrap_or_default(), page) })
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
            entry.replaced.store(0, Ordering::Relaxed);
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

/// Replaces the page that was accessed if its file does not have it, or lets the access end the program when it is
/// tried again.
extern "C" fn handle(_signal: c_int, info: *const siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel calls this, with SA_SIGINFO, and with a structure that is there while this runs.
    let info = unsafe { &*info };
    // SAFETY: for SIGBUS, the kernel has filled in the address. If a process has sent the signal, it is some number.
    let addr = unsafe { info.si_addr() }.addr();
    let absent = info.si_code == BUS_ADRERR;
    let part = MAPPINGS.iter().filter(|_| absent).find_map(|entry| entry.part_of(addr));
    if part.is_none_or(|(start, len)| replace(start, len).is_err()) {
        let _ = set_handler(SIG_DFL);
    }
}

fn replace(start: usize, len: usize) -> io::Result<()> {
    let at = ptr::without_provenance_mut::<c_void>(start);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the part is all in a mapping that is looked after, which nobody unmaps while it is being accessed, and it
    // was being accessed. It stays readable and writable, and is never referred to by a Rust reference.
    unsafe { mmap_anonymous(at, len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    // Relaxed: it is a number, for people.
    REPLACED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Returns how often something was replaced since the last time that this was called.
pub(crate) fn take_replaced() -> usize {
    REPLACED.swap(0, Ordering::Relaxed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::fs::{self, File};
    use std::sync::{Mutex, PoisonError};

    use memmap2::{MmapOptions, MmapRaw};
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::param::page_size;

    use super::*;

    /// What was replaced is counted for the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Maps so many pages of a file that has the first one alone by then.
    fn cut(pages: usize) -> (MmapRaw, Guarded) {
        survive().unwrap();
        let (page, file) = (page_size(), File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap()));
        file.set_len((pages * page) as u64).unwrap();
        let pages = MmapOptions::new().len(pages * page).map_raw(&file).unwrap();
        let guarded = Guarded::new(pages.as_mut_ptr().addr(), pages.len(), page).unwrap();
        file.set_len(page as u64).unwrap();
        (pages, guarded)
    }

    /// Writes a byte, and reads it.
    fn access(pages: &MmapRaw, at: usize, written: u8) {
        assert!(at < pages.len());
        // SAFETY: it is in the mapping.
        let byte = unsafe { pages.as_mut_ptr().add(at) };
        // SAFETY: nobody else has the mapping.
        unsafe { byte.write_volatile(written) };
        // SAFETY: as before.
        assert_eq!(unsafe { byte.read_volatile() }, written);
    }

    #[test]
    fn page_that_its_file_does_not_have_any_more_is_replaced() {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (page, (pages, _guarded)) = (page_size(), cut(4));
        take_replaced();
        for (at, written) in [(page, 1_u8), (4 * page - 1, 2), (0, 3)] {
            access(&pages, at, written);
        }
        assert_eq!(take_replaced(), 2);
    }

    #[test]
    fn pages_that_are_replaced_take_only_so_many_mappings() {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mappings = || fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let ((pages, _guarded), before) = (cut(4000), mappings());
        (0..2000).for_each(|at| access(&pages, 2 * at * page_size(), 1));
        // Other tests give up mappings meanwhile.
        let more = mappings().saturating_sub(before);
        assert!(more < 100, "{more} mappings for one that was cut");
    }
}
