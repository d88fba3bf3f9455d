//! Fetches requests together, and finds their parts.

use core::mem;
use core::ops::Range;

use arrayvec::ArrayVec;
use virtio_mem_traits::{Access, DeviceRange, DriverMem, DriverRange};
use virtio_queue_core::{ChainError, DescChain, DriverNotify, Element, FatalError, QueueState, Ring, Token};

use super::wire::{RequestHeader, Status};
use crate::prefetch::{prefetch_to_read, prefetch_to_write};
use crate::unpublished::Unpublished;

/// The largest number of requests in a batch.
pub(super) const MAX_REQUESTS: usize = 64;

/// The limit of bytes in a batch, or in a turn, before its last request. To copy so many takes some ten milliseconds.
pub(super) const MAX_BYTES: u64 = 64 << 20;

/// The largest number of payload pieces in a batch. A request whose payload does not fit is handled as one with another
/// layout.
const MAX_PIECES: usize = 512;

/// A batch of requests.
#[derive(Default)]
pub(super) struct Batch<'m> {
    pub(super) requests: ArrayVec<Request<'m>, MAX_REQUESTS>,
    pub(super) payloads: Payloads<'m>,
    /// The number of bytes in all payloads, and in all chains with another layout.
    bytes: u64,
}

/// A request that was fetched.
pub(super) struct Request<'m> {
    pub(super) token: Token,
    pub(super) parts: Option<Parts<'m>>,
    pub(super) state: State,
}

/// The parts of a request with the usual layout: one element for the header, optional elements for a payload, and one
/// for the status. The payload is either only readable or only writable. Each part is contiguous in memory.
pub(super) struct Parts<'m> {
    pub(super) header: Piece<'m>,
    pub(super) payload: Payload,
    pub(super) status: Piece<'m>,
}

/// A part in one piece, in driver terms and in device terms.
#[derive(Clone, Copy)]
pub(super) struct Piece<'m> {
    pub(super) range: DriverRange,
    pub(super) bytes: DeviceRange<'m>,
}

/// A payload among those of its batch.
pub(super) struct Payload {
    places: Range<usize>,
    pub(super) bytes: u64,
    /// The allowed access, if there is a payload.
    pub(super) access: Option<Access>,
}

/// The progress of a request.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// No work was done.
    Fetched,
    /// The read at this offset has started.
    Waits(u64),
    /// The read from the storage has ended, with or without an error.
    Read(Status),
    /// The write to the storage has ended, with or without an error.
    Written(Status),
}

/// The payloads of a batch, piece by piece, in driver terms and in device terms.
#[derive(Default)]
pub(super) struct Payloads<'m> {
    ranges: ArrayVec<DriverRange, MAX_PIECES>,
    pieces: ArrayVec<DeviceRange<'m>, MAX_PIECES>,
}

impl<'m> Batch<'m> {
    /// Returns whether the batch has so many bytes that the turn of the queue must end.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Fetches requests until there are `limit` of them, none is left, or the batch is full.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub(super) fn fetch<R: Ring, N: DriverNotify>(
        &mut self,
        limit: usize,
        ring: &'m R,
        queue: &mut QueueState<R, N>,
    ) -> Result<(), FatalError> {
        while self.requests.len() < limit && !self.is_full() {
            let Some(token) = queue.fetch(ring)? else { break };
            let chain = DescChain::new(ring, token, Unpublished(queue));
            let parts = self.payloads.take_apart(chain.walk(), ring.mem());
            self.bytes += if let Some(Parts { header, payload, status }) = &parts {
                // Few headers are in two cache lines.
                prefetch_to_read(header.bytes.prefix(1));
                prefetch_to_write(status.bytes);
                payload.bytes
            } else {
                chain.walk().map_while(Result::ok).map(|element| element.range.len()).sum()
            };
            self.requests.push(Request { token: chain.into_token(), parts, state: State::Fetched });
        }
        Ok(())
    }
}

impl<'m> Payloads<'m> {
    /// Returns the pieces of a payload.
    #[inline]
    pub(super) fn pieces(&self, payload: &Payload) -> &[DeviceRange<'m>] {
        self.pieces.get(payload.places.clone()).unwrap_or_default()
    }

    /// Returns the pieces of a payload in driver terms.
    #[inline]
    pub(super) fn ranges(&self, payload: &Payload) -> &[DriverRange] {
        self.ranges.get(payload.places.clone()).unwrap_or_default()
    }

    /// Returns the parts of a request, if it has the usual layout. Adds the pieces of its payload to the batch. If the
    /// layout turns out to be another one, some unused pieces stay.
    #[inline]
    fn take_apart<M: DriverMem>(
        &mut self,
        mut elements: impl Iterator<Item = Result<Element, ChainError>>,
        mem: &'m M,
    ) -> Option<Parts<'m>> {
        let header = piece(elements.next()?.ok()?, Access::Read, size_of::<RequestHeader>(), mem)?;
        let mut last = elements.next()?.ok()?;
        let mut payload = Payload { places: self.pieces.len()..self.pieces.len(), bytes: 0, access: None };
        for element in elements {
            let Element { range, access, .. } = mem::replace(&mut last, element.ok()?);
            if *payload.access.get_or_insert(access) != access {
                return None;
            }
            self.pieces.try_push(mem.translate_all(range, access).ok()?).ok()?;
            self.ranges.push(range);
            payload.bytes += range.len();
        }
        payload.places.end = self.pieces.len();
        let status = piece(last, Access::Write, 1, mem)?;
        Some(Parts { header, payload, status })
    }
}

/// Returns an element in both terms, if it has that access and length and is in one piece.
#[inline]
pub(super) fn piece<'m>(element: Element, access: Access, len: usize, mem: &'m impl DriverMem) -> Option<Piece<'m>> {
    if element.access != access || element.range.len() != len as u64 {
        return None;
    }
    let bytes = mem.translate_all(element.range, access).ok()?;
    Some(Piece { range: element.range, bytes })
}
