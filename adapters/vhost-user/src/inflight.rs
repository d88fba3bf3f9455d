//! The record of the chains in flight, which the front end keeps for the process that comes after this one.
//!
//! It is vhost-user's "Inflight I/O tracking". The record has a part for each queue, and each part has a
//! [`layout`] for the format of the queue. A process that is killed leaves behind what it had stored until then, in the
//! order in which it had stored it: the memory is coherent, and whoever looks later looks after the kernel has ended
//! the other. So it is enough that the compiler keeps the order of the stores, and a store with release ordering after
//! each step sees to that. Against a loss of power nothing here helps.
//!
//! What is recorded is hostile: the front end owns it. It is read once, when a ring begins, and is only written from
//! then on.

pub(crate) mod any;
mod layout;
mod packed;
mod split;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicUsize, Ordering};
use core::{error, fmt};
use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use virtio_mem_traits::{Access, Area, AreaError, DriverMem, ReadWrite, StableMem, Word};
use virtio_queue_core::{QueueConfig, Record, Recorder, SavedQueue};

use crate::shm::{Shm, part};
use layout::QueueLayout;

/// A format of rings, as far as it is recorded.
pub(crate) trait Recordable: Record {
    /// How the record of such a ring lies in memory.
    const LAYOUT: QueueLayout;

    /// What writes it.
    type Recorder<M: StableMem>: Recorder + Clone;

    /// Goes on from what was recorded of this ring, which `config` is of, or begins a record of it at `base` if there
    /// is none. Returns where the ring is; what must be fetched again is known to the recorder.
    ///
    /// # Errors
    ///
    /// If the record makes no sense.
    fn resume<M: StableMem>(
        &self,
        config: &QueueConfig,
        record: QueueRecord<M>,
        base: SavedQueue,
    ) -> Result<(Self::Recorder<M>, SavedQueue), InflightError>;
}

/// The record of all queues of a device.
#[derive(Clone, Debug)]
pub(crate) struct Inflight {
    memory: Arc<Shm>,
    queues: u16,
    queue_size: u16,
}

impl Inflight {
    /// Returns how long a record is of `queues` queues with at most `queue_size` descriptors each, in either format.
    pub(crate) fn len(queues: u16, queue_size: u16) -> u64 {
        layout::PACKED.stride(queue_size) * u64::from(queues)
    }

    /// Forgets what is recorded of the queue `index`, in the format of `R`.
    pub(crate) fn forget<R: Recordable>(&self, index: usize) {
        if let Ok(record) = self.queue::<R>(index) {
            record.store(layout::Common::VERSION, 0_u16);
        }
    }

    /// Makes a file for the record of `queues` queues with at most `queue_size` descriptors each, in either format, and
    /// returns it with its size. It is sealed: nobody can make it shorter.
    ///
    /// # Errors
    ///
    /// If the system refuses it.
    pub(crate) fn create(queues: u16, queue_size: u16) -> io::Result<(File, u64)> {
        let size = Self::len(queues, queue_size);
        let file = memfd_create("virtio-inflight", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, size)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((file.into(), size))
    }

    /// Maps the record that is the `len` bytes at `offset` of `file`.
    ///
    /// # Errors
    ///
    /// If they are not in the file, or cannot be mapped.
    pub(crate) fn map(file: &File, offset: u64, len: u64, queues: u16, queue_size: u16) -> io::Result<Self> {
        Ok(Self { memory: Arc::new(Shm::map(file, offset, len)?), queues, queue_size })
    }

    /// Returns the part for the queue `index`, in the format of `R`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn queue<R: Recordable>(&self, index: usize) -> Result<QueueRecord<Arc<Shm>>, InflightError> {
        let none = InflightError::Queue { index, queues: self.queues };
        let index = u64::try_from(index).ok().filter(|index| *index < self.queues.into()).ok_or(none)?;
        let stride = R::LAYOUT.stride(self.queue_size);
        QueueRecord::new(Arc::clone(&self.memory), index * stride, R::LAYOUT.len(self.queue_size), self.queue_size)
    }
}

/// How many chains of an earlier process are left to be fetched again: a ring that has some cannot say where it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<AtomicUsize>);

impl Left {
    fn set(&self, count: usize) {
        // Relaxed: nothing is handed over with it.
        self.0.store(count, Ordering::Relaxed);
    }

    /// Returns whether there are none.
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// The part of the record that is for one queue.
#[derive(Debug)]
pub(crate) struct QueueRecord<M> {
    area: Arc<Area<M, ReadWrite, 8>>,
    /// For how many descriptors it has room.
    size: u16,
}

impl<M: StableMem> QueueRecord<M> {
    /// Returns the record of `len` bytes at `offset` of `memory`.
    fn new(memory: M, offset: u64, len: u64, size: u16) -> Result<Self, InflightError> {
        let range = part(offset, len).ok_or(InflightError::Queue { index: 0, queues: 0 })?;
        Ok(Self { area: Arc::new(Area::new(memory, range)?), size })
    }

    fn load<W: Word>(&self, offset: usize) -> Result<W, AreaError> {
        self.area.load_acquire(offset)
    }

    fn load_words<const N: usize>(&self, offset: usize) -> Result<[u64; N], AreaError> {
        self.area.load_relaxed(offset)
    }

    /// Stores a word, after all that was stored before.
    ///
    /// Offsets are made from indices that are less than `size`, and are multiples of what is stored there. So this does
    /// not fail in memory that stays mapped.
    fn store<W: Word>(&self, offset: usize, value: W) {
        let stored = self.area.store_release(offset, value);
        debug_assert!(stored.is_ok(), "{stored:?}");
    }

    /// Takes a look at what all formats begin with, and returns whether there is a record of a ring of `size`.
    fn is_there(&self, size: u16) -> Result<bool, InflightError> {
        if size > self.size {
            return Err(InflightError::RingSize { size, room: self.size });
        }
        let header = self.load_words::<2>(0)?;
        let header = layout::Common::of(header);
        match header.version {
            0 => Ok(false),
            layout::VERSION if header.features != 0 => Err(InflightError::Features(header.features)),
            layout::VERSION if header.desc_num != self.size => {
                Err(InflightError::Entries { entries: header.desc_num, expected: self.size })
            }
            layout::VERSION => Ok(true),
            version => Err(InflightError::Version(version)),
        }
    }
}

impl<M> Clone for QueueRecord<M> {
    fn clone(&self) -> Self {
        Self { area: Arc::clone(&self.area), size: self.size }
    }
}

/// Loads a word of the ring itself.
fn load_ring<W: Word>(mem: &impl DriverMem, addr: u64) -> Result<W, AreaError> {
    let range = part(addr, size_of::<W>() as u64).ok_or(InflightError::BEYOND)?;
    let piece = mem.translate_all(range, Access::Read)?;
    mem.before_read(range);
    Ok(piece.load_acquire(0)?)
}

/// A record that makes no sense, for the ring that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflightError {
    /// There is no part for a queue.
    Queue { index: usize, queues: u16 },
    /// The part is too small for the ring.
    RingSize { size: u16, room: u16 },
    /// It is of a version that is not known here.
    Version(u16),
    /// It has features that are not known here.
    Features(u64),
    /// It has another number of entries than the front end says.
    Entries { entries: u16, expected: u16 },
    /// The used index was recorded as one that is too far from that of the ring.
    UsedIndex { recorded: u16, used: u16, size: u16 },
    /// A used position is a slot that the ring does not have.
    Position { slot: u16, size: u16 },
    /// An entry is in flight and cannot be.
    Entry { entry: u16 },
    /// More is in flight than the ring has room for.
    TooMany { in_flight: u32, size: u16 },
    /// The record or the ring cannot be accessed.
    Area(AreaError),
}

impl InflightError {
    const BEYOND: AreaError = AreaError::OutOfRange { offset: 0, size: 0, len: 0 };
}

impl From<AreaError> for InflightError {
    fn from(error: AreaError) -> Self {
        Self::Area(error)
    }
}

impl fmt::Display for InflightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record of what is in flight makes no sense: ")?;
        match self {
            Self::Queue { index, queues } => write!(f, "it has no part for queue {index}, only for {queues} queues"),
            Self::RingSize { size, room } => {
                write!(f, "the ring has {size} descriptors, but the record has room for {room}")
            }
            Self::Version(version) => write!(f, "its version is {version}, and must be {}", layout::VERSION),
            Self::Features(features) => write!(f, "it has features {features:#x}, and must have none"),
            Self::Entries { entries, expected } => write!(f, "it has {entries} entries, and must have {expected}"),
            Self::UsedIndex { recorded, used, size } => {
                write!(
                    f,
                    "used index {recorded} was recorded, which must be at most {size} less than the ring's, {used}"
                )
            }
            Self::Position { slot, size } => write!(f, "used position {slot} must be a slot of a ring with {size}"),
            Self::Entry { entry } => write!(f, "entry {entry} is in flight, and is no chain of this ring"),
            Self::TooMany { in_flight, size } => {
                write!(f, "{in_flight} descriptors are in flight in a ring with {size}")
            }
            Self::Area(error) => error.fmt(f),
        }
    }
}

impl error::Error for InflightError {}

impl From<InflightError> for io::Error {
    fn from(error: InflightError) -> Self {
        Self::other(error)
    }
}
