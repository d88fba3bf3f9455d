//! The disk as the driver sees it, through the crate `virtio-driver`.

#![expect(clippy::indexing_slicing, reason = "an index is one of a request that was made here")]

pub(crate) mod load;

use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memmap2::MmapMut;
use rand::{Rng, RngExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use virtio_driver::{VhostUser, VirtioBlkQueue, VirtioBlkTransport};

use super::matrix::VERSION_1;
use super::places::Reading;

pub(crate) const SECTOR: usize = 512;
/// The bit by which vhost-user says that there are protocol features. It is no feature of the device.
const PROTOCOL_FEATURES: u64 = 1 << 30;
/// How long the device may take for anything: a notification that was lost takes for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// The driver of the disk, and buffers that it shares with the device.
pub(crate) struct Disk {
    // It lies in the memory of the transport.
    queue: VirtioBlkQueue<'static, usize>,
    transport: Box<VirtioBlkTransport>,
    /// One buffer of `request_len` bytes for each request that may be in flight.
    buffers: MmapMut,
    request_len: usize,
    in_flight: Vec<Option<Request>>,
    /// What each buffer was last read into for, in a measurement.
    readings: Vec<Reading>,
}

/// A request, and the part of the disk that it concerns.
#[derive(Clone, PartialEq)]
struct Request {
    range: Range<usize>,
    write: bool,
}

impl Request {
    fn random(disk: usize, max: usize, rng: &mut impl Rng) -> Self {
        let sectors = rng.random_range(1..=max / SECTOR);
        let start = SECTOR * rng.random_range(0..=disk / SECTOR - sectors);
        Self { range: start..start + sectors * SECTOR, write: rng.random() }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.range.start < other.range.end && other.range.start < self.range.end
    }
}

impl Disk {
    /// Connects with these features, all of which the device has to have, for `depth` requests of `request_len` bytes
    /// at most.
    pub(crate) fn connect(
        socket: &Path,
        features: u64,
        queue_size: u16,
        depth: usize,
        request_len: usize,
    ) -> Result<Self> {
        let path = socket.to_str().context("the path of the socket is no text")?;
        let transport = VhostUser::new(path, features | VERSION_1).context("the driver cannot connect")?;
        let mut transport: Box<VirtioBlkTransport> = Box::new(transport);
        let negotiated = transport.get_features() & !PROTOCOL_FEATURES;
        ensure!(negotiated == features | VERSION_1, "features {negotiated:#x} were negotiated");
        let mut queues = VirtioBlkQueue::setup_queues(&mut *transport, 1, queue_size)?;
        let mut queue = queues.pop().context("there is a queue")?;
        queue.set_used_notif_enabled(true);

        let file = memfd_create("buffers", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, (depth * request_len) as u64)?;
        // SAFETY: nobody makes the file shorter, and the device writes only to what is being read into.
        let buffers = unsafe { MmapMut::map_mut(&file) }?;
        transport.map_mem_region(buffers.as_ptr() as usize, buffers.len(), file.as_raw_fd(), 0)?;
        let readings = vec![Reading::default(); depth];
        Ok(Self { queue, transport, buffers, request_len, in_flight: vec![None; depth], readings })
    }

    /// Makes `count` random requests, each of which may overlap with earlier ones, as many at a time as there are
    /// buffers. `model` is what has to be on the disk.
    ///
    /// # Errors
    ///
    /// If the device reads anything else, fails, or does not answer.
    pub(crate) fn exercise(&mut self, model: &mut [u8], count: usize, rng: &mut impl Rng) -> Result<()> {
        for _ in 0..count {
            let request = Request::random(model.len(), self.request_len.min(model.len()), rng);
            // The device may answer in any order, so what overlaps has to wait.
            while self.in_flight.iter().flatten().any(|other| other.overlaps(&request)) {
                self.wait(model)?;
            }
            while !self.in_flight.contains(&None) {
                self.wait(model)?;
            }
            let range = request.range.clone();
            self.submit(request, |buffer| {
                rng.fill_bytes(buffer);
                model[range].copy_from_slice(buffer);
            })?;
        }
        self.finish(model)
    }

    /// Makes `count` random requests, of which the writes change nothing: `model` is what is on the disk, and what is
    /// written there. Some are still under way afterwards.
    ///
    /// # Errors
    ///
    /// As for [`exercise`](Self::exercise).
    pub(crate) fn repeat(&mut self, model: &[u8], count: u64, rng: &mut impl Rng) -> Result<()> {
        for _ in 0..count {
            let request = Request::random(model.len(), self.request_len, rng);
            while !self.in_flight.contains(&None) {
                self.wait(model)?;
            }
            let range = request.range.clone();
            self.submit(request, |buffer| buffer.copy_from_slice(&model[range]))?;
        }
        Ok(())
    }

    /// Reads the whole disk.
    ///
    /// # Errors
    ///
    /// As for [`exercise`](Self::exercise).
    pub(crate) fn check_all(&mut self, model: &[u8]) -> Result<()> {
        for start in (0..model.len()).step_by(self.request_len) {
            let range = start..model.len().min(start + self.request_len);
            while !self.in_flight.contains(&None) {
                self.wait(model)?;
            }
            self.submit(Request { range, write: false }, |_| ())?;
        }
        self.finish(model)
    }

    /// Makes a request. If it is to write, `fill` fills the buffer.
    fn submit(&mut self, request: Request, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let index = self.in_flight.iter().position(Option::is_none).context("there is a buffer")?;
        let offset = request.range.start as u64;
        let buffer = &mut self.buffers[index * self.request_len..][..request.range.len()];
        if request.write {
            fill(buffer);
            self.queue.write(offset, buffer, index)?;
        } else {
            buffer.fill(0xee);
            self.queue.read(offset, buffer, index)?;
        }
        self.in_flight[index] = Some(request);
        Ok(())
    }

    fn finish(&mut self, model: &[u8]) -> Result<()> {
        while self.in_flight.iter().any(Option::is_some) {
            self.wait(model)?;
        }
        Ok(())
    }

    /// Tells the device of what was submitted, if it wants to know, and takes back what it has answered, at least one
    /// request.
    fn wait(&mut self, model: &[u8]) -> Result<()> {
        self.kick()?;
        loop {
            let answers: Vec<_> = self.queue.completions().map(|answer| (answer.context, answer.ret)).collect();
            for &(index, result) in &answers {
                let Request { range, write } = self.in_flight[index].take().context("it was in flight")?;
                ensure!(result == 0, "a request at {} failed with {result}", range.start);
                let buffer = &self.buffers[index * self.request_len..][..range.len()];
                ensure!(write || *buffer == model[range.clone()], "what was read at {} was not written", range.start);
            }
            if !answers.is_empty() {
                return Ok(());
            }
            self.wait_for_call()?;
        }
    }

    /// Notifies the device if it wants to know, and returns whether it does.
    fn kick(&mut self) -> Result<bool> {
        let needed = self.queue.avail_notif_needed();
        if needed {
            self.transport.get_submission_notifier(0).notify()?;
        }
        Ok(needed)
    }

    /// Waits until the device notifies, and returns how often it did.
    fn wait_for_call(&self) -> Result<u64> {
        let call = self.transport.get_completion_fd(0);
        let patience = Timespec::try_from(PATIENCE)?;
        let ready = poll(&mut [PollFd::new(&*call, PollFlags::IN)], Some(&patience))?;
        ensure!(ready == 1, "no notification came");
        Ok(call.read()?)
    }
}
