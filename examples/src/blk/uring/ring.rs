//! An io_uring, with the requests whose memory the kernel uses.
//!
//! There are three places for an operation. It waits, because the submission queue is full. It is in the submission
//! queue. Or the kernel has it. From the submission queue on, its request stays in `flights` until the kernel says that
//! the operation has ended.

use core::mem;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use virtio_chain::{IoVec, Lent};
use virtio_mem_traits::StableMem;

use super::clearing::{Step, Way};
use super::request::{Operation, Request};
use super::usual::{Kind, Transfer, Usual};
use crate::blk::direct::{Alignment, Direct};

/// The file, among those that are registered, and the same file past the page cache.
const FILE: types::Fixed = types::Fixed(0);
const DIRECT: types::Fixed = types::Fixed(1);

/// The operations that the kernel has to know.
const OPCODES: [u8; 6] = [
    opcode::Read::CODE,
    opcode::Readv::CODE,
    opcode::Write::CODE,
    opcode::Writev::CODE,
    opcode::Fsync::CODE,
    opcode::Fallocate::CODE,
];

/// The most operations for which the kernel is entered once.
const MAX_ENTRIES: usize = 64;

/// What is written where a file system cannot write zeroes by itself.
static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// A bounded number of requests, and the io_uring that works for them.
pub(super) struct Ring<M: StableMem> {
    ring: IoUring,
    /// The same io_uring, which can be read while operations have ended that were not looked at.
    event: Arc<OwnedFd>,
    /// The requests in flight. The user data of an operation is the place of its request.
    flights: Vec<Option<Flight<M>>>,
    free: Vec<usize>,
    /// The places of those that the submission queue had no room for.
    waiting: VecDeque<usize>,
    /// What requests past the page cache have to be like, if there are any.
    direct: Option<Alignment>,
}

/// A request, and what the kernel uses for it: memory of its chain, and the array of pieces in the operation.
pub(super) enum Flight<M: StableMem> {
    Usual(Usual<M>),
    Other(Box<Request<M>>, Operation),
}

/// A request whose operation has ended.
pub(super) struct Ended<M: StableMem> {
    pub(super) flight: Flight<M>,
    /// How many bytes were moved.
    pub(super) result: io::Result<usize>,
}

impl<M: StableMem> Ring<M> {
    /// Creates an io_uring for `file`, with at most `depth` requests in flight. Those that are aligned go to `direct`,
    /// if that is there.
    pub(super) fn new(file: &File, direct: Option<&Direct>, depth: usize) -> io::Result<Self> {
        let [entries, ended] = [depth.min(MAX_ENTRIES), depth].map(u32::try_from);
        let ring = set_up(entries.map_err(io::Error::other)?, ended.map_err(io::Error::other)?)?;
        // A sandbox can let an io_uring be made, and not be entered.
        ring.submit()?;
        let mut known = Probe::new();
        ring.submitter().register_probe(&mut known)?;
        if !OPCODES.iter().all(|code| known.is_supported(*code)) {
            return Err(io::Error::other("the kernel does not know all of its operations"));
        }
        let files = [file, direct.map_or(file, Direct::file)].map(AsRawFd::as_raw_fd);
        ring.submitter().register_files(&files)?;
        // SAFETY: the io_uring is open until after this statement.
        let borrowed = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
        let event = Arc::new(borrowed.try_clone_to_owned()?);
        let flights = (0..depth).map(|_| None).collect();
        let (free, waiting) = ((0..depth).rev().collect(), VecDeque::with_capacity(depth));
        Ok(Self { ring, event, flights, free, waiting, direct: direct.map(Direct::alignment) })
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// Returns how many requests can be in flight.
    pub(super) fn depth(&self) -> usize {
        self.flights.len()
    }

    pub(super) const fn event(&self) -> &Arc<OwnedFd> {
        &self.event
    }

    /// Takes a request, whose operation goes to the kernel in its turn. Without room, the request is dropped.
    pub(super) fn start(&mut self, flight: Flight<M>) {
        let Some(place) = self.free.pop() else { return };
        if let Some(free) = self.flights.get_mut(place) {
            *free = Some(flight);
            self.waiting.push_back(place);
        }
    }

    /// Hands all operations to the kernel. Returns whether it has taken them: it does not while it has no memory, or
    /// while too many have ended that were not looked at.
    ///
    /// # Errors
    ///
    /// If the kernel does not take operations any more.
    pub(super) fn submit(&mut self) -> io::Result<bool> {
        // What has ended can wait in the kernel until it is entered: once, because the kernel says so for ever if that
        // was begun by a thread that is gone.
        let mut ended = self.ring.submission().taskrun();
        loop {
            self.push();
            if self.ring.submission().is_empty() && !ended {
                return Ok(true);
            }
            ended = false;
            if !self.enter(0)? {
                return Ok(false);
            }
        }
    }

    /// Hands all operations to the kernel, and waits until one has ended. Returns `false` if the kernel cannot be
    /// asked.
    pub(super) fn wait(&mut self) -> bool {
        self.push();
        match self.enter(1) {
            Ok(true) => true,
            Ok(false) => {
                thread::yield_now();
                true
            }
            Err(_) => false,
        }
    }

    /// Enters the kernel, until `ended` operations have ended. Returns `false` if it has no resources for now.
    fn enter(&self, ended: usize) -> io::Result<bool> {
        loop {
            match self.ring.submit_and_wait(ended) {
                Ok(_) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN | libc::EBUSY) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Puts operations into the submission queue, as many as it has room for.
    fn push(&mut self) {
        let mut queue = self.ring.submission();
        while let Some(place) = self.waiting.front().copied() {
            let Some(Some(flight)) = self.flights.get(place) else { break };
            let entry = match flight {
                Flight::Usual(usual) => transfer(&usual.transfer, self.direct),
                Flight::Other(_, operation) => entry(operation, self.direct),
            };
            let entry = entry.user_data(place as u64);
            // SAFETY: the kernel uses the file, which is registered. Zeroes are written from a static. For other reads
            // and writes, it uses:
            // - the array of pieces, if there are several. It is in a box, so that it does not move with the operation;
            // - the memory that the pieces stand for. They were lent by the chain of the request, or translated by its
            //   memory, which checked that the device may access the memory in this direction. The chain has a handle
            //   on its memory, which is `StableMem`: it keeps translations valid until it is dropped.
            // Both stay in `flights` until the operation has ended: only `next_ended` takes them out, and `drop` leaves
            // them there for ever if the operation has not ended by then.
            let pushed = unsafe { queue.push(&entry) };
            if pushed.is_err() {
                break;
            }
            self.waiting.pop_front();
        }
    }

    /// Returns a request whose operation has ended, if there is one.
    pub(super) fn next_ended(&mut self) -> Option<Ended<M>> {
        let ended = self.ring.completion().next()?;
        let place = usize::try_from(ended.user_data()).ok()?;
        let flight = self.flights.get_mut(place)?.take()?;
        self.free.push(place);
        // What is negative is the number of an error.
        let result = usize::try_from(ended.result()).map_err(|_| io::Error::from_raw_os_error(-ended.result()));
        Some(Ended { flight, result })
    }
}

/// Leaves to the kernel what it still uses.
impl<M: StableMem> Drop for Ring<M> {
    fn drop(&mut self) {
        if self.in_flight() > 0 {
            mem::forget(mem::take(&mut self.flights));
        }
    }
}

/// Sets up an io_uring with room for all that can have ended.
///
/// Linux 5.19 and later do not interrupt the thread when an operation ends. They say that there is something to do, and
/// do it when the kernel is entered.
// PERF: a device that polls reads a tenth to a third more past the page cache (`blk-direct`).
fn set_up(entries: u32, ended: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(ended);
    match builder.clone().setup_coop_taskrun().setup_taskrun_flag().build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries),
        result => result,
    }
}

/// Returns the file for a request: past the page cache, if that is wished and possible.
fn file(pieces: &[IoVec], offset: u64, direct: Option<Alignment>) -> types::Fixed {
    if direct.is_some_and(|alignment| alignment.fits(pieces, offset)) { DIRECT } else { FILE }
}

/// Returns a read or a write with the usual layout as the kernel takes it.
fn transfer(Transfer { kind, offset, len, bytes, .. }: &Transfer, direct: Option<Alignment>) -> squeue::Entry {
    let (file, base) = (file(&[*bytes], *offset, direct), bytes.base().cast());
    match kind {
        Kind::Read => opcode::Read::new(file, base, *len).offset(*offset).build(),
        Kind::Write { stable } => opcode::Write::new(file, base, *len).offset(*offset).rw_flags(flags(*stable)).build(),
    }
}

/// Returns the flags of a write.
const fn flags(stable: bool) -> i32 {
    if stable { libc::RWF_DSYNC } else { 0 }
}

/// Returns the operation as the kernel takes it.
fn entry(operation: &Operation, direct: Option<Alignment>) -> squeue::Entry {
    let file = |lent: &Lent, offset| file(lent.io_vecs(), offset, direct);
    match operation {
        Operation::Read(lent, offset) => match single(lent) {
            Some((base, len)) => opcode::Read::new(file(lent, *offset), base, len).offset(*offset).build(),
            None => {
                let (pieces, count) = pieces(lent);
                opcode::Readv::new(file(lent, *offset), pieces, count).offset(*offset).build()
            }
        },
        Operation::Write(lent, offset, stable) => {
            let (file, flags) = (file(lent, *offset), flags(*stable));
            match single(lent) {
                Some((base, len)) => opcode::Write::new(file, base, len).offset(*offset).rw_flags(flags).build(),
                None => {
                    let (pieces, count) = pieces(lent);
                    opcode::Writev::new(file, pieces, count).offset(*offset).rw_flags(flags).build()
                }
            }
        }
        Operation::Clear(step) => clear(step),
        Operation::Sync => opcode::Fsync::new(FILE).flags(types::FsyncFlags::DATASYNC).build(),
    }
}

/// Returns what clears a part of the file, as the kernel takes it.
#[expect(clippy::cast_possible_truncation, reason = "it is not more than there are zeroes")]
fn clear(Step { way, offset, len }: &Step) -> squeue::Entry {
    let mode = match way {
        Way::Discard | Way::Release => libc::FALLOC_FL_PUNCH_HOLE,
        Way::Zero => libc::FALLOC_FL_ZERO_RANGE,
        Way::Write => {
            let len = (ZEROES.len() as u64).min(*len) as u32;
            return opcode::Write::new(FILE, ZEROES.as_ptr(), len).offset(*offset).build();
        }
    };
    opcode::Fallocate::new(FILE, *len).offset(*offset).mode(mode | libc::FALLOC_FL_KEEP_SIZE).build()
}

/// Returns the piece if there is only one. The kernel needs no array for that, and copies none.
fn single(lent: &Lent) -> Option<(*mut u8, u32)> {
    let [piece] = lent.io_vecs() else { return None };
    Some((piece.base().cast(), u32::try_from(piece.len()).ok()?))
}

/// Returns the array of pieces: an array of `IoVec` is one of `iovec`.
#[expect(clippy::cast_possible_truncation, reason = "there are at most `Lent::MAX_PIECES`")]
fn pieces(lent: &Lent) -> (*const libc::iovec, u32) {
    (lent.io_vecs().as_ptr().cast(), lent.io_vecs().len() as u32)
}
