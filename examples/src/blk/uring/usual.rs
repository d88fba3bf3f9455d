//! A read or a write with the usual layout, on its way.

use std::io;

use virtio_mem_traits::{Access, DriverRange, IoVec, StableMem};
use virtio_queue_core::Chain;
use virtio_vhost_user::KeptChain;

use super::super::BlockDevice;
use super::super::batch::piece;
use super::super::storage::Storage;
use super::super::wire::{RequestHeader, RequestType, Status};

/// A read or a write whose header, payload and status are one element each, and in one piece each. It owns its chain.
///
/// Most small requests are like that. If one does not go as usual, it goes on as a
/// [`Request`](super::request::Request).
// PERF: it needs no position in its chain and nothing that is allocated. That saves half of the instructions
// (`blk-cached`).
pub(super) struct Usual<M: StableMem> {
    /// Its number in the order in which requests were taken, if that matters.
    pub(super) number: u64,
    pub(super) chain: KeptChain<M>,
    pub(super) transfer: Transfer,
}

/// What the kernel is to move, and where the driver waits for the answer.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub(super) kind: Kind,
    /// Where the bytes are in the file.
    pub(super) offset: u64,
    /// How many there are.
    pub(super) len: u32,
    /// Where they are in memory: for the driver, and for the kernel.
    payload: DriverRange,
    pub(super) bytes: IoVec,
    status: DriverRange,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    /// The bytes must be stable before the answer, if that is said.
    Write {
        stable: bool,
    },
}

impl<M: StableMem> Usual<M> {
    /// Takes a chain apart, or hands it back if it is not like that, or not in order.
    pub(super) fn new<S: Storage>(
        device: &BlockDevice<S>,
        chain: KeptChain<M>,
        number: u64,
    ) -> Result<Self, KeptChain<M>> {
        match Transfer::new(device, &chain) {
            Some(transfer) => Ok(Self { number, chain, transfer }),
            None => Err(chain),
        }
    }

    /// Returns whether all of it was done.
    pub(super) fn is_done(&self, result: &io::Result<usize>) -> bool {
        result.as_ref().is_ok_and(|moved| *moved == self.transfer.bytes.len())
    }

    /// Writes the status, and returns the chain: all of it was done.
    pub(super) fn answer(self) {
        let Self { chain, transfer: Transfer { kind, len, payload, status, .. }, .. } = self;
        let (mem, read) = (chain.mem(), if kind == Kind::Read { len } else { 0 });
        mem.written(payload.prefix(read.into()));
        let told = mem.translate_all(status, Access::Write).is_ok_and(|byte| byte.write(0, &Status::Ok).is_ok());
        mem.written(status.prefix(told.into()));
        // A broken queue has been reported.
        let _ = chain.return_unchecked(read.saturating_add(told.into()));
    }
}

impl Transfer {
    fn new<S: Storage, M: StableMem>(device: &BlockDevice<S>, chain: &KeptChain<M>) -> Option<Self> {
        let (mem, mut elements) = (chain.mem(), chain.walk());
        let header = piece(elements.next()?.ok()?, Access::Read, size_of::<RequestHeader>(), mem)?;
        let payload = elements.next()?.ok()?;
        let status = piece(elements.next()?.ok()?, Access::Write, 1, mem)?;
        if elements.next().is_some() {
            return None;
        }
        mem.before_read(header.range);
        let header: RequestHeader = header.bytes.read(0).ok()?;
        let kind = match RequestType::from_number(header.kind.get())? {
            RequestType::In if payload.access.writes() => Kind::Read,
            RequestType::Out if payload.access.reads() && !device.storage().read_only() => {
                Kind::Write { stable: device.writes_through() }
            }
            _ => return None,
        };
        let (payload, access) = (payload.range, payload.access);
        let (offset, len) = (device.place(header.sector.get(), payload.len())?, u32::try_from(payload.len()).ok()?);
        let bytes = mem.translate_all(payload, access).ok()?.into();
        if kind != Kind::Read {
            mem.before_read(payload);
        }
        Some(Self { kind, offset, len, payload, bytes, status: status.range })
    }
}
