//! The disk as the driver sees it, through the crate `virtio-drivers`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use anyhow::{Context, Result, ensure};
use virtio_drivers::device::blk::{BlkReq, BlkResp, SECTOR_SIZE, VirtIOBlk};

use super::doorbell::Doorbells;
use super::shared_memory::{SLOT, SharedMemory};
use super::transport::ThreadTransport;

/// The most sectors that a request may have.
pub(super) const MAX_SECTORS: usize = SLOT / SECTOR_SIZE;

/// What is to be read or written.
pub(super) struct Request {
    pub(super) sector: usize,
    /// Whole sectors: what is to be written, or room for what is read.
    pub(super) data: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Read,
    Write,
}

impl Request {
    fn overlaps(&self, other: &Self) -> bool {
        let end = |request: &Self| request.sector + request.data.len() / SECTOR_SIZE;
        self.sector < end(other) && other.sector < end(self)
    }
}

/// A sequence of requests, and what has to be true of the answers.
pub(super) trait Workload {
    /// Returns the next request, if there is one.
    fn next_request(&mut self) -> Option<Request>;

    /// Takes a request back that has been answered, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// If the answer is wrong.
    fn complete(&mut self, request: Request) -> Result<()>;
}

/// A request that the device has.
struct InFlight {
    token: u16,
    done: bool,
    request: Request,
    /// On the heap, so that they stay where they are.
    header: Box<BlkReq>,
    response: Box<BlkResp>,
}

/// The driver of the disk.
pub(super) struct Disk {
    blk: VirtIOBlk<SharedMemory, ThreadTransport>,
    in_flight: VecDeque<InFlight>,
    bells: Arc<Doorbells>,
}

impl Disk {
    /// Sets the device up.
    pub(super) fn new(transport: ThreadTransport, bells: Arc<Doorbells>) -> Result<Self> {
        let blk = VirtIOBlk::new(transport).context("the driver cannot set the device up")?;
        Ok(Self { blk, in_flight: VecDeque::new(), bells })
    }

    /// Returns the number of sectors.
    pub(super) fn capacity(&self) -> Result<usize> {
        Ok(self.blk.capacity().try_into()?)
    }

    /// Makes stable what was written.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.blk.flush().context("the disk cannot be flushed")
    }

    /// Does all that `workload` asks for, with as many requests at a time as the queue has room for.
    pub(super) fn run(&mut self, workload: &mut impl Workload) -> Result<()> {
        let mut next = workload.next_request();
        loop {
            while let Some(request) = next.take_if(|request| self.has_room_for(request)) {
                self.submit(request)?;
                next = workload.next_request();
            }
            if self.in_flight.is_empty() {
                return Ok(());
            }
            self.wait_for_one()?;
            let answered = self.in_flight.iter().take_while(|request| request.done).count();
            for InFlight { request, .. } in self.in_flight.drain(..answered) {
                workload.complete(request)?;
            }
        }
    }

    /// Returns whether `request` may be made now. The device may answer in any order, so what overlaps has to wait.
    fn has_room_for(&self, request: &Request) -> bool {
        // With indirect descriptors, each takes one descriptor of the queue.
        self.in_flight.len() < self.blk.virt_queue_size().into()
            && !self.in_flight.iter().any(|other| other.request.overlaps(request))
    }

    fn submit(&mut self, mut request: Request) -> Result<()> {
        let (mut header, mut response) = (Box::<BlkReq>::default(), Box::<BlkResp>::default());
        let (sector, data) = (request.sector, &mut request.data);
        // What both need: until the request is completed, nobody accesses `header`, `data` and `response`. They are on
        // the heap, and what owns them lies untouched in `in_flight`. If the request is never completed, because the
        // driver is dropped, the device has stopped by then, and what it accessed were copies in `SharedMemory`.
        let token = match request.kind {
            // SAFETY: as above.
            Kind::Read => unsafe { self.blk.read_blocks_nb(sector, &mut header, data, &mut response) },
            // SAFETY: as above.
            Kind::Write => unsafe { self.blk.write_blocks_nb(sector, &mut header, data, &mut response) },
        };
        let token = token.with_context(|| format!("{:?} of sector {sector} cannot be requested", request.kind))?;
        self.in_flight.push_back(InFlight { token, done: false, request, header, response });
        Ok(())
    }

    /// Sleeps until the device has answered a request.
    fn wait_for_one(&mut self) -> Result<()> {
        let token = loop {
            // When it takes an answer, the driver asks to be notified of the next one, then looks whether it is there.
            // Between the two there has to be a full fence, which pairs with the device's (BAR-3); virtio-drivers 0.13
            // has none.
            fence(Ordering::SeqCst);
            if let Some(token) = self.blk.peek_used() {
                break token;
            }
            // Nor has it one between making a request available and looking whether the device wants a kick (BAR-2),
            // and it compares indices without regard to their wrap. So there is a kick more than needed before each
            // sleep.
            self.bells.kicks.ring();
            ensure!(self.bells.notifications.wait(), "the device has stopped");
        };
        let answered = self.in_flight.iter_mut().find(|request| request.token == token && !request.done);
        let answered = answered.context("the device answered what was not asked")?;
        let InFlight { done, request, header, response, .. } = answered;
        *done = true;
        let result = match request.kind {
            // SAFETY: these are the buffers that were passed in when the request got this token.
            Kind::Read => unsafe { self.blk.complete_read_blocks(token, header, &mut request.data, response) },
            // SAFETY: these are the buffers that were passed in when the request got this token.
            Kind::Write => unsafe { self.blk.complete_write_blocks(token, header, &request.data, response) },
        };
        result.with_context(|| format!("{:?} of sector {} failed", request.kind, request.sector))
    }
}
