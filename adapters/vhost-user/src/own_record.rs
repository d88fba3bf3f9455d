//! The record of the chains in flight that a back end keeps by itself, in a file.
//!
//! It is for packed rings of front ends that keep no record. A split ring needs none: its used index is its position.
//! For split rings, QEMU itself returns the chains that a network device left in flight, so a record would be wrong.
//!
//! The file begins with a [`Header`], which names the guest. After it, the file has the format of a front end's record:
//! see [`Inflight`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use virtio_queue_core::packed::PackedRing;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::inflight::Inflight;
use crate::memory::GuestMem;

/// The first bytes of the file, in the byte order of the machine.
const MAGIC: u64 = u64::from_be_bytes(*b"virtiofl");

/// The offset of the record in the file.
const BEGINNING: u64 = 4096;

/// The guest and the queues that a record belongs to. With others, the record is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    magic: u64,
    /// The device number and the inode of the file that contains the guest's memory.
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
    /// Checks that a record can be in the file `path`, and makes an empty file if there is none.
    ///
    /// # Errors
    ///
    /// If the file cannot be made or written, or has something else in it.
    pub(crate) fn check(path: &Path) -> io::Result<()> {
        open(path).map(drop)
    }

    /// Continues the record in the file `path` if it has this `header`. Otherwise begins a new record.
    ///
    /// # Errors
    ///
    /// If the file cannot be made, written or mapped, or has something else in it.
    pub(crate) fn open(path: &Path, header: &Header) -> io::Result<Self> {
        let file = open(path)?;
        let [queues, size] = [header.queues, header.queue_size].map(|number| u16::try_from(number).unwrap_or(u16::MAX));
        let len = Inflight::len(queues, size);
        if read(&file).as_ref() != Some(header) || file.metadata()?.len() != BEGINNING + len {
            // If the process is killed in between, the file is empty or too short. The next process can tell from its
            // first bytes that it is a record.
            file.set_len(0)?;
            file.write_all_at(header.as_bytes(), 0)?;
            file.set_len(BEGINNING + len)?;
        }
        Ok(Self { inflight: Inflight::map(&file, BEGINNING, len, queues, size)?, queues })
    }

    /// Clears the record of a queue, because the front end knows its position.
    pub(crate) fn forget(&self, index: usize) {
        self.inflight.forget::<PackedRing<GuestMem>>(index);
    }

    /// Clears the records of all queues.
    pub(crate) fn forget_all(&self) {
        (0..self.queues.into()).for_each(|index| self.forget(index));
    }
}

/// Opens the file `path`, and makes it if there is none. A file with something else in it stays as it is: a wrong path
/// must not cost anybody a file.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let is_record = file.metadata()?.len() == 0 || read(&file).is_some_and(|header| header.magic == MAGIC);
    if is_record { Ok(file) } else { Err(io::Error::other("the file has something else in it, and no record")) }
}

/// Returns the header of a file, if it has one.
fn read(file: &File) -> Option<Header> {
    let mut header = Header::new_zeroed();
    file.read_exact_at(header.as_mut_bytes(), 0).ok().map(|()| header)
}
