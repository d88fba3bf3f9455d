//! Serves requests in batches.
//!
//! ```text
//! do
//!     fetch some, and take them apart
//!     look at each: write what it writes, and read what it reads if that need not wait for the medium
//! until none of those has to wait, or there are no more, or too many
//! wait for what is still to be read
//! answer all of them, in their order
//! ```
//!
//! So reads wait for the medium together, and headers and statuses are in the cache when they are needed. Between two
//! batches, no work is under way. To stop a queue, or to remove memory, takes at most one batch. If a batch has many
//! bytes, it takes no more requests, and the turn of the queue ends. Its last request can have up to 4 GiB, like any
//! chain (SPLIT-DESC-7).
//!
//! All other requests go to [`process`](Device::process) when it is their turn to be answered. These are requests that
//! are not reads or writes, that have an unusual layout, or that cannot be done. Their number of bytes is not known
//! before. So a batch takes no more requests after a group with such a request.

use std::io;

use virtio_mem_traits::DriverMem;
use virtio_queue_core::{DescChain, DriverNotify, FatalError, QueueState, Ring};

use super::BlockDevice;
use super::batch::{Batch, MAX_BYTES, MAX_REQUESTS, Parts, Payloads, Request, State};
use super::storage::Storage;
use super::wire::{RequestHeader, RequestType, Status};
use crate::unpublished::Unpublished;
use virtio_vhost_user::{Device, Served};

/// How many requests are answered together if none of them has to wait: with a few, the driver is at work with some
/// while the device is with others. Next to 32, 16 made a fourth more requests without a medium, and a tenth more of a
/// cached file, both at depth 32.
const GROUP: usize = 16;

impl<S: Storage> BlockDevice<S> {
    /// Answers the available requests, at most `budget` of them. Stops early after many bytes. Publishes each batch at
    /// its end.
    #[inline]
    pub(super) fn serve_batches<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        queue: &mut QueueState<R, N>,
        budget: u32,
    ) -> Result<Served, FatalError> {
        let mut served = Served { pending: true, ..Served::default() };
        while served.pending && served.requests < budget && served.bytes < MAX_BYTES {
            let limit = MAX_REQUESTS.min((budget - served.requests) as usize);
            let mut batch = Batch::default();
            served.pending = self.fill(&mut batch, limit, ring, queue)?;
            let Batch { requests, payloads, .. } = &mut batch;
            self.wait_for_reads(requests, payloads);
            self.commit_writes(requests);
            for request in requests.drain(..) {
                served.requests += 1;
                self.answer(request, payloads, ring, queue, &mut served);
            }
            queue.publish(ring)?;
        }
        Ok(served)
    }

    /// Fetches requests and begins with them, until there are no more, or so few that the driver need not wait for
    /// others and none that waits itself, or `limit` of them. Returns whether there may be more.
    #[inline]
    fn fill<'m, R: Ring, N: DriverNotify>(
        &self,
        batch: &mut Batch<'m>,
        limit: usize,
        ring: &'m R,
        queue: &mut QueueState<R, N>,
    ) -> Result<bool, FatalError> {
        loop {
            let begun = batch.requests.len();
            let enough = limit.min(begun + GROUP);
            batch.fetch(enough, ring, queue)?;
            let (mut waits, mut known) = (false, true);
            for request in batch.requests.iter_mut().skip(begun) {
                request.state = self.begin(request, &batch.payloads, ring.mem());
                waits |= matches!(request.state, State::Waits(_));
                known &= !matches!(request.state, State::Fetched);
            }
            let pending = batch.requests.len() == enough || batch.is_full();
            if !waits || !pending || !known || enough == limit {
                return Ok(pending);
            }
        }
    }

    /// Inspects a request, and does the work that does not wait for the medium.
    #[inline]
    fn begin(&self, request: &Request<'_>, payloads: &Payloads<'_>, mem: &impl DriverMem) -> State {
        let Some((parts, kind, offset)) = request.parts.as_ref().and_then(|parts| self.plan(parts, mem)) else {
            return State::Fetched;
        };
        let pieces = payloads.pieces(&parts.payload);
        if kind == RequestType::Out {
            payloads.ranges(&parts.payload).iter().for_each(|range| mem.before_read(*range));
            return State::Written(self.storage.write_from(pieces, offset).into());
        }
        match self.storage.read_now(pieces, offset) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => State::Waits(offset),
            result => State::Read(result.into()),
        }
    }

    /// Returns the direction and the offset of a valid read or write request.
    #[inline]
    fn plan<'p, 'm>(&self, parts: &'p Parts<'m>, mem: &impl DriverMem) -> Option<(&'p Parts<'m>, RequestType, u64)> {
        mem.before_read(parts.header.range);
        let header: RequestHeader = parts.header.bytes.read(0).ok()?;
        let kind = RequestType::from_number(header.kind.get())?;
        let access = parts.payload.access?;
        let fits = match kind {
            RequestType::In => access.writes(),
            RequestType::Out => access.reads() && !self.storage.read_only(),
            _ => false,
        };
        let (bytes, offset) = (parts.payload.bytes, self.offset(header.sector.get(), parts.payload.bytes).ok()?);
        (fits && self.inside(offset, bytes) == bytes).then_some((parts, kind, offset))
    }

    /// Reads the bytes that were not ready before.
    fn wait_for_reads(&self, requests: &mut [Request<'_>], payloads: &Payloads<'_>) {
        for request in requests {
            if let (State::Waits(offset), Some(parts)) = (&request.state, &request.parts) {
                let result = self.storage.read_into(payloads.pieces(&parts.payload), *offset);
                request.state = State::Read(result.into());
            }
        }
    }

    /// Makes the written bytes of a batch stable, once for all, if the driver does not flush.
    fn commit_writes(&self, requests: &mut [Request<'_>]) {
        let written = |request: &&mut Request<'_>| matches!(request.state, State::Written(Status::Ok));
        let mut written = requests.iter_mut().filter(written).peekable();
        if self.writes_through() && written.peek().is_some() && self.storage.flush().is_err() {
            written.for_each(|request| request.state = State::Written(Status::IoErr));
        }
    }

    /// Writes the status of a request, or processes it, and returns its chain.
    #[inline]
    fn answer<R: Ring, N: DriverNotify>(
        &mut self,
        request: Request<'_>,
        payloads: &Payloads<'_>,
        ring: &R,
        queue: &mut QueueState<R, N>,
        served: &mut Served,
    ) {
        let Request { token, parts, state } = request;
        let (parts, status, written) = match (parts, state) {
            (Some(parts), State::Read(status)) => {
                // This also happens after a failure, because some bytes can have been written.
                payloads.ranges(&parts.payload).iter().for_each(|range| ring.mem().written(*range));
                // After a hole, the status does not count.
                let written = if status == Status::Ok { parts.payload.bytes + 1 } else { 0 };
                (parts, status, written)
            }
            (Some(parts), State::Written(status)) => (parts, status, 1),
            _ => return served.count(&self.process(DescChain::new(ring, token, Unpublished(queue)))),
        };
        let told = parts.status.bytes.write(0, &status).map(|()| ring.mem().written(parts.status.range));
        let written = told.map_or(0, |()| u32::try_from(written).unwrap_or(u32::MAX));
        // A broken queue reports its fault at the publication.
        let _ = queue.complete(ring, token, written);
        served.count(&if status == Status::Ok { Ok(parts.payload.bytes) } else { Err(status) });
    }
}
