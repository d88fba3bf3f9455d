//! The log of dirty pages, with which a front end migrates a guest that runs.
//!
//! It is a bit for each page of 4096 bytes, from address 0 of the guest on. A page is marked after it was written, and
//! before the driver is told that its buffer is used.

use core::sync::atomic::{AtomicU8, Ordering};
use std::fs::File;
use std::io;
use std::sync::Arc;

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem, DriverRange, StableMem, TranslateError};
use virtio_queue_core::DriverNotify;
use virtio_util::NotifyThread;

use crate::event::Call;
use crate::shm::Shm;

/// The size of a page, in bits of an address.
const PAGE_SHIFT: u32 = 12;

/// The log, as the front end shares it.
#[derive(Debug)]
pub(crate) struct Log {
    memory: Shm,
    /// Signalled when there are new pages in it. Whoever writes to memory can have a lock, and must not be held up.
    call: NotifyThread,
}

impl Log {
    /// Maps the log that is the `len` bytes at `offset` of `file`, for a guest whose memory ends at `end`.
    ///
    /// # Errors
    ///
    /// If they are not in the file or cannot be mapped, or if there is not a bit for each page of the guest.
    pub(crate) fn map(file: &File, offset: u64, len: u64, end: u64, call: Call) -> io::Result<Self> {
        check_len(len, end)?;
        Ok(Self { memory: Shm::map(file, offset, len)?, call: NotifyThread::new(call)? })
    }

    /// Checks that there is a bit for each page of a guest whose memory ends at `end`.
    ///
    /// # Errors
    ///
    /// If there is not.
    pub(crate) fn check(&self, end: u64) -> io::Result<()> {
        check_len(self.memory.range().len() as u64, end)
    }

    /// Marks the pages of `range`, those beyond the end of the log excepted.
    fn mark(&self, range: DriverRange) {
        let Some(last) = range.len().checked_sub(1) else { return };
        let bits = self.memory.range();
        let last = (range.after(last).start().0 >> PAGE_SHIFT).min((bits.len() as u64).saturating_mul(8));
        let mut is_new = false;
        for page in range.start().0 >> PAGE_SHIFT..=last {
            is_new |= usize::try_from(page / 8).is_ok_and(|byte| set_bit(bits, byte, 1 << (page % 8)));
        }
        if is_new {
            self.call.notify();
        }
    }
}

fn check_len(len: u64, end: u64) -> io::Result<()> {
    let needed = end.div_ceil(1 << (PAGE_SHIFT + 3));
    if len >= needed {
        return Ok(());
    }
    Err(io::Error::other(format!("a log of {len} bytes is too small: it must have {needed} or more")))
}

/// Sets a bit, if there is such a byte, and returns whether it was not set before.
fn set_bit(bits: DeviceRange<'_>, byte: usize, bit: u8) -> bool {
    let Some(byte) = bits.slice(byte, 1) else { return false };
    // SAFETY: the byte is valid for reads and writes, and accessed by atomics alone, as the range vouches for; the
    // reference ends with the access.
    let byte = unsafe { AtomicU8::from_ptr(byte.as_ptr().as_ptr()) };
    // Release: who sees the bit, takes it away and then reads the page sees what was written there. It is set also if
    // it seems to be set: the front end may be about to take it away, and have read the page before it was written.
    byte.fetch_or(bit, Ordering::Release) & bit == 0
}

/// What is marked for a ring: all that is written.
#[derive(Clone, Debug)]
pub(crate) struct RingLog {
    pub(crate) log: Arc<Log>,
    /// The part of the ring that has what is used, and where the log has that as well, if the front end has said.
    pub(crate) used: Option<(DriverRange, DriverAddr)>,
}

impl RingLog {
    #[cold]
    fn written(&self, range: DriverRange) {
        self.log.mark(range);
        let Some((area, addr)) = self.used else { return };
        let offset = area.offset_of(range.start());
        let there = offset.and_then(|offset| DriverRange::new(addr.checked_add(offset)?, range.len()));
        if let Some(there) = there.filter(|there| *there != range) {
            self.log.mark(there);
        }
    }
}

/// A memory whose pages are marked, if they are, when they are written.
///
/// Whether they are is fixed for each handle, and known without a look at anything else. So without a log, a handle
/// costs less than the memory itself.
#[derive(Clone, Debug)]
pub struct Logged<M> {
    memory: M,
    log: Option<Arc<RingLog>>,
    /// Whether reports of reading do anything, and those of writing.
    reports_reading: bool,
    reports_writing: bool,
}

impl<M: DriverMem> Logged<M> {
    /// Returns a handle on `memory`.
    pub(crate) fn new(memory: M, log: Option<RingLog>) -> Self {
        let reports_reading = memory.reports(Access::Read);
        let reports_writing = log.is_some() || memory.reports(Access::Write);
        Self { memory, log: log.map(Arc::new), reports_reading, reports_writing }
    }
}

impl<M: DriverMem> DriverMem for Logged<M> {
    #[inline]
    fn translate(&self, range: DriverRange, access: Access) -> Result<DeviceRange<'_>, TranslateError> {
        self.memory.translate(range, access)
    }

    #[inline]
    fn region(&self, range: DriverRange, access: Access) -> Result<(DriverRange, DeviceRange<'_>), TranslateError> {
        self.memory.region(range, access)
    }

    #[inline]
    fn translations_last(&self) -> bool {
        self.memory.translations_last()
    }

    #[inline(always)]
    fn translate_at_once(&self, addr: DriverAddr, len: u32, access: Access) -> Option<DeviceRange<'_>> {
        self.memory.translate_at_once(addr, len, access)
    }

    #[inline(always)]
    fn reports(&self, access: Access) -> bool {
        access.reads() && self.reports_reading || access.writes() && self.reports_writing
    }

    #[inline]
    fn before_read(&self, range: DriverRange) {
        self.memory.before_read(range);
    }

    #[inline]
    fn written(&self, range: DriverRange) {
        self.memory.written(range);
        if let Some(log) = &self.log {
            log.written(range);
        }
    }
}

// SAFETY: (1) each translation is one of `memory`, which keeps it valid; it is in there until the handle is dropped.
unsafe impl<M: StableMem> StableMem for Logged<M> {}
