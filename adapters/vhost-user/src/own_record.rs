//! The record of the chains in flight that a back end keeps by itself, in a file.
//!
//! It is for packed rings of front ends that keep none. Where a split ring is, its used index says. QEMU itself uses
//! what a network device has left in flight in such a ring, so a record would be wrong there. The file begins with a
//! [`Header`], which says which guest the record is of. The record itself is as front ends have it: see [`Inflight`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use virtio_queue_core::packed::PackedRing;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::inflight::Inflight;
use crate::memory::GuestMem;

/// What the file begins with, in the byte order of the machine.
const MAGIC: u64 = u64::from_be_bytes(*b"virtiofl");

/// Where in the file the record begins.
const BEGINNING: u64 = 4096;

/// What a record is of. A record of anything else is useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    magic: u64,
    /// The device and the inode of the file that the guest's memory is in.
    memory: [u64; 2],
    /// The features that the driver accepted.
    features: u64,
    queues: u32,
    queue_size: u32,
}

/// A record in a file.
#[derive(Clone, Debug)]
pub(crate) struct OwnRecord {
    pub(crate) inflight: Inflight,
    queues: u16,
}

impl Header {
    pub(crate) fn new(memory: [u64; 2], features: u64, queues: u16, queue_size: u16) -> Self {
        Self { magic: MAGIC, memory, features, queues: queues.into(), queue_size: queue_size.into() }
    }
}

impl OwnRecord {
    /// Goes on with the record in the file `path`, if it is one of what `header` says, or begins another.
    ///
    /// # Errors
    ///
    /// If the file cannot be made, written or mapped.
    pub(crate) fn open(path: &Path, header: &Header) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let [queues, size] = [header.queues, header.queue_size].map(|number| u16::try_from(number).unwrap_or(u16::MAX));
        let len = Inflight::len(queues, size);
        if read(&file).as_ref() != Some(header) || file.metadata()?.len() != BEGINNING + len {
            // Killed in between, the process leaves a file without a header.
            file.set_len(0)?;
            file.set_len(BEGINNING + len)?;
            file.write_all_at(header.as_bytes(), 0)?;
        }
        Ok(Self { inflight: Inflight::map(&file, BEGINNING, len, queues, size)?, queues })
    }

    /// Forgets what is recorded of a queue: the front end knows where it is.
    pub(crate) fn forget(&self, index: usize) {
        self.inflight.forget::<PackedRing<GuestMem>>(index);
    }

    /// Forgets what is recorded of all queues.
    pub(crate) fn forget_all(&self) {
        (0..self.queues.into()).for_each(|index| self.forget(index));
    }
}

/// Returns the header of a file, if it has one.
fn read(file: &File) -> Option<Header> {
    let mut header = Header::new_zeroed();
    file.read_exact_at(header.as_mut_bytes(), 0).ok().map(|()| header)
}
