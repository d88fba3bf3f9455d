//! A request on its way, which knows nothing of io_uring.

use std::io;

use virtio_chain::{Lent, ReadableChain, Tail, WritableChain};
use virtio_mem_traits::StableMem;
use virtio_queue_core::ChainError;
use virtio_vhost_user::KeptChain;

use super::super::BlockDevice;
use super::super::storage::Storage;
use super::super::wire::{RequestHeader, RequestType, Status};
use super::clearing::{Clearing, Step};
use super::usual::{Kind, Transfer, Usual};

/// How often an operation is begun again that has ended without a reason.
const TRIES: u8 = 16;

/// A request that was found to be in order. It owns its chain.
// PERF: it is large, and goes through many hands. So it stays in a box (`blk-cached`).
pub(super) struct Request<M: StableMem> {
    /// Its number in the order in which requests were taken, if that matters.
    pub(super) number: u64,
    chain: Half<M>,
    work: Work,
    tries: u8,
}

/// The half of a chain that has the payload.
enum Half<M: StableMem> {
    /// What the driver wants to be written to the file.
    Out(ReadableChain<KeptChain<M>>),
    /// What the driver wants to have, and the status after it.
    In(WritableChain<KeptChain<M>>, Tail<KeptChain<M>>),
}

/// What is left to do.
enum Work {
    /// To move so many bytes, from or to an offset of the file.
    Move { offset: u64, left: u64, stable: bool },
    /// To discard, or to write zeroes.
    Clear(Box<Clearing>),
    /// To make written bytes stable.
    Sync,
}

/// What the kernel is to do.
pub(super) enum Operation {
    /// To read bytes at an offset into these pieces.
    Read(Box<Lent>, u64),
    /// To write these pieces at an offset, and to make them stable if that is said.
    Write(Box<Lent>, u64, bool),
    /// To clear a part of the file.
    Clear(Step),
    /// To make written bytes stable.
    Sync,
}

/// What is to happen with a request.
pub(super) enum Next<M: StableMem> {
    Operation(Box<Request<M>>, Operation),
    Answer(Box<Request<M>>, Status),
}

impl<M: StableMem> Request<M> {
    /// Takes a chain apart: once, so that the driver cannot change its mind. Hands it back if it is not in order, or
    /// asks for nothing that the kernel has to do. A chain whose memory has panicked is gone.
    pub(super) fn new<S: Storage>(
        device: &BlockDevice<S>,
        chain: KeptChain<M>,
        number: u64,
    ) -> Result<Box<Self>, Option<KeptChain<M>>> {
        let mut has_status = false;
        for element in chain.walk() {
            match element {
                Ok(element) => has_status |= element.access.writes() && !element.range.is_empty(),
                Err(_) => return Err(Some(chain)),
            }
        }
        let mut request = ReadableChain::new(chain);
        let kind = if has_status { request.read_obj::<RequestHeader>().ok() } else { None };
        let kind = kind.and_then(|header| Some((RequestType::from_number(header.kind.get())?, header.sector.get())));
        let begun = match kind {
            Some((RequestType::In, sector)) => Self::read(device, request, sector),
            Some((RequestType::Out, sector)) => Self::write(device, request, sector),
            Some((RequestType::Flush, _)) => Self::with_status(request, |_| Some(Work::Sync)),
            Some((RequestType::Discard, _)) => {
                let clearing = Clearing::to_discard(device, &mut request);
                Self::with_status(request, |_| clearing.map(Box::new).map(Work::Clear))
            }
            Some((RequestType::WriteZeroes, _)) => {
                let clearing = Clearing::to_zero(device, &mut request);
                Self::with_status(request, |_| clearing.map(Box::new).map(Work::Clear))
            }
            Some((RequestType::GetId, _)) | None => Err(request.into_chain()),
        };
        begun.map(|request| Box::new(Self { number, ..request }))
    }

    /// Goes on with a request that was begun in the usual way: its header was read, and its first operation has ended.
    /// Without a place for the status, its chain is handed back.
    pub(super) fn go_on_with(usual: Usual<M>, result: io::Result<usize>) -> Result<Next<M>, Option<KeptChain<M>>> {
        let Usual { number, chain, transfer: Transfer { kind, offset, len, .. } } = usual;
        let mut request = ReadableChain::new(chain);
        if request.skip(size_of::<RequestHeader>() as u64).is_err() {
            return Err(request.into_chain());
        }
        let work = Work::Move { offset, left: len.into(), stable: kind == Kind::Write { stable: true } };
        let request = match kind {
            Kind::Read => Self::with_status(request, |_| Some(work))?,
            Kind::Write { .. } => Self { number: 0, chain: Half::Out(request), work, tries: 0 },
        };
        Ok(match Box::new(Self { number, ..request }).begin() {
            Next::Operation(request, operation) => request.go_on(operation, result),
            answer => answer,
        })
    }

    fn read<S: Storage>(
        device: &BlockDevice<S>,
        request: ReadableChain<KeptChain<M>>,
        sector: u64,
    ) -> Result<Self, Option<KeptChain<M>>> {
        Self::with_status(request, |payload| {
            let left = payload.remaining().ok()?.bytes;
            Some(Work::Move { offset: device.place(sector, left)?, left, stable: false })
        })
    }

    fn write<S: Storage>(
        device: &BlockDevice<S>,
        request: ReadableChain<KeptChain<M>>,
        sector: u64,
    ) -> Result<Self, Option<KeptChain<M>>> {
        let left = request.remaining().map_or(0, |remaining| remaining.bytes);
        match device.place(sector, left).filter(|_| !device.storage().read_only()) {
            Some(offset) => {
                let work = Work::Move { offset, left, stable: device.writes_through() };
                Ok(Self { number: 0, chain: Half::Out(request), work, tries: 0 })
            }
            None => Err(request.into_chain()),
        }
    }

    /// Turns to the writable half, which ends with the status.
    fn with_status(
        request: ReadableChain<KeptChain<M>>,
        work: impl FnOnce(&WritableChain<KeptChain<M>>) -> Option<Work>,
    ) -> Result<Self, Option<KeptChain<M>>> {
        let mut payload = WritableChain::from_incomplete_readable(request);
        match payload.split_last(1).ok().and_then(|status| Some((work(&payload)?, status))) {
            Some((work, status)) => Ok(Self { number: 0, chain: Half::In(payload, status), work, tries: 0 }),
            None => Err(payload.into_chain()),
        }
    }

    /// Returns the first operation, or the next one.
    pub(super) fn begin(self: Box<Self>) -> Next<M> {
        match &self.work {
            Work::Move { offset, left, stable } => {
                let (offset, left, stable) = (*offset, *left, *stable);
                self.begin_to_move(offset, left, stable)
            }
            Work::Clear(clearing) => match clearing.next() {
                Some(step) => Next::Operation(self, Operation::Clear(step)),
                None if clearing.stable => Next::Operation(self, Operation::Sync),
                None => Next::Answer(self, Status::Ok),
            },
            Work::Sync => Next::Operation(self, Operation::Sync),
        }
    }

    fn begin_to_move(mut self: Box<Self>, offset: u64, left: u64, stable: bool) -> Next<M> {
        match self.lend(left) {
            Ok(lent) if !lent.is_empty() => {
                let operation = match self.chain {
                    Half::Out(_) => Operation::Write(lent, offset, stable),
                    Half::In(..) => Operation::Read(lent, offset),
                };
                Next::Operation(self, operation)
            }
            // The driver named memory that does not exist.
            _ => Next::Answer(self, Status::IoErr),
        }
    }

    /// Goes on after an operation has ended, with the number of bytes that it has moved.
    pub(super) fn go_on(mut self: Box<Self>, operation: Operation, result: io::Result<usize>) -> Next<M> {
        if self.tries < TRIES && result.as_ref().is_err_and(is_for_now) {
            self.tries += 1;
            return Next::Operation(self, operation);
        }
        match operation {
            Operation::Read(lent, _) | Operation::Write(lent, ..) => self.moved(lent, result.unwrap_or(0)),
            Operation::Clear(_) => self.cleared(result),
            Operation::Sync => Next::Answer(self, result.map(drop).into()),
        }
    }

    /// Goes on after a step of what clears has ended.
    fn cleared(mut self: Box<Self>, result: io::Result<usize>) -> Next<M> {
        let Work::Clear(clearing) = &mut self.work else { return Next::Answer(self, Status::IoErr) };
        match clearing.ended(result) {
            Ok(()) => self.begin(),
            Err(_) => Next::Answer(self, Status::IoErr),
        }
    }

    /// Goes on after so many of the bytes that were lent have been moved. Without any, the medium has failed, or the
    /// file was made shorter.
    fn moved(mut self: Box<Self>, lent: Box<Lent>, moved: usize) -> Next<M> {
        if moved == 0 || self.settle(lent, moved).is_none() {
            return Next::Answer(self, Status::IoErr);
        }
        let moved = moved as u64;
        match &mut self.work {
            Work::Move { offset, left, .. } if moved < *left => {
                (*offset, *left) = (offset.saturating_add(moved), *left - moved);
                self.begin()
            }
            _ => Next::Answer(self, Status::Ok),
        }
    }

    /// Writes the status into the last byte, and returns the chain. The used length has no hole: if a read has failed,
    /// it counts the bytes before that, and not the status.
    pub(super) fn answer(self, status: Status) {
        let (mut answer, tail) = match self.chain {
            Half::In(payload, tail) => (payload, tail),
            Half::Out(request) => {
                let mut answer = WritableChain::from_incomplete_readable(request);
                // It was seen to be there. If it is not, the drop returns the chain.
                let Ok(tail) = answer.split_last(1) else { return };
                (answer, tail)
            }
        };
        // It was split off here. Memory that is gone by now is the driver's loss, and a broken queue has been reported.
        let _ = answer.join(tail);
        let _ = answer.write_obj(&status);
        let _ = answer.return_prefix();
    }

    fn lend(&mut self, limit: u64) -> Result<Box<Lent>, ChainError> {
        let mut lent = Box::new(Lent::new());
        match &mut self.chain {
            Half::Out(request) => request.lend_into(limit, &mut lent)?,
            Half::In(payload, _) => payload.lend_into(limit, &mut lent)?,
        }
        Ok(lent)
    }

    fn settle(&mut self, lent: Box<Lent>, count: usize) -> Option<()> {
        let settled = match &mut self.chain {
            Half::Out(request) => request.settle(lent, count),
            Half::In(payload, _) => payload.settle(lent, count),
        };
        settled.ok()
    }
}

/// Returns whether an operation can succeed if it is begun again.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
