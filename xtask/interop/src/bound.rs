//! The reads of a measurement without virtio: what a device can at best be as fast as.
//!
//! There is no driver, no ring and no chain. A thread reads the file into its own memory, in one of two loops.

#![expect(clippy::indexing_slicing, reason = "an index is one of a buffer that was made here")]

use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use io_uring::{IoUring, opcode, types};
use memmap2::MmapMut;

use super::disk::load::Counts;
use super::places::{Places, Reading};

/// The file, among those that are registered.
const FILE: types::Fixed = types::Fixed(0);

/// How the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loop {
    /// By one system call for each read, which waits for it.
    Pread,
    /// By io_uring, with as many reads under way as there are buffers. The file is registered, and the kernel is
    /// entered once for all reads that can begin.
    Uring,
}

/// A file, and buffers for its blocks.
pub(crate) struct Reader<'f> {
    file: &'f File,
    file_len: usize,
    /// One buffer of `block_len` bytes for each read that may be under way. They are aligned to pages.
    buffers: MmapMut,
    block_len: usize,
    readings: Vec<Reading>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(file: &'f File, file_len: usize, depth: usize, block_len: usize) -> Result<Self> {
        let buffers = MmapMut::map_anon(depth * block_len)?;
        Ok(Self { file, file_len, buffers, block_len, readings: vec![Reading::default(); depth] })
    }

    /// Reads at the places at which [`Disk::read_for`](super::disk::Disk::read_for) reads, for some time.
    ///
    /// # Errors
    ///
    /// If a read fails.
    pub(crate) fn read_for(&mut self, time: Duration, by: Loop) -> Result<Counts> {
        match by {
            Loop::Pread => self.pread(time),
            Loop::Uring => self.uring(time),
        }
    }

    /// Checks what was read last into each buffer, where `content` is in the file.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub(crate) fn check_last(&self, content: &[u8]) -> Result<()> {
        for (buffer, Reading { place, .. }) in self.buffers.chunks(self.block_len).zip(&self.readings) {
            ensure!(content[*place..].starts_with(buffer), "what was read at {place} was not written");
        }
        Ok(())
    }

    fn pread(&mut self, time: Duration) -> Result<Counts> {
        let mut places = Places::new(self.file_len, self.block_len);
        let mut counts = Counts::default();
        let began = Instant::now();
        while counts.time < time {
            for (buffer, reading) in self.buffers.chunks_mut(self.block_len).zip(&mut self.readings) {
                *reading = Reading { place: places.random(), began: counts.time };
                self.file.read_exact_at(buffer, reading.place as u64)?;
                let now = began.elapsed();
                counts.count(reading.began, now);
                counts.time = now;
            }
        }
        Ok(counts)
    }

    fn uring(&mut self, time: Duration) -> Result<Counts> {
        let mut ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(u32::try_from(self.readings.len())?)
            .context("there is no io_uring with deferred work: Linux 6.1 has it")?;
        ring.submitter().register_files(&[self.file.as_raw_fd()])?;
        let counts = self.uring_with(&mut ring, time);
        if counts.is_err() {
            // Reads that are still under way need their buffers.
            mem::forget(mem::replace(&mut self.buffers, MmapMut::map_anon(self.block_len)?));
        }
        counts
    }

    fn uring_with(&mut self, ring: &mut IoUring, time: Duration) -> Result<Counts> {
        let depth = self.readings.len();
        let mut places = Places::new(self.file_len, self.block_len);
        let mut free: Vec<_> = (0..depth).collect();
        let mut counts = Counts::default();
        let began = Instant::now();
        while counts.time < time || free.len() < depth {
            if counts.time < time {
                self.submit_into(ring, &mut free, &mut places, counts.time)?;
            }
            ring.submit_and_wait(1)?;
            let now = began.elapsed();
            for ended in ring.completion() {
                ensure!(usize::try_from(ended.result()) == Ok(self.block_len), "a read gave {}", ended.result());
                let index = usize::try_from(ended.user_data())?;
                counts.count(self.readings[index].began, now);
                free.push(index);
            }
            counts.time = now;
        }
        Ok(counts)
    }

    /// Puts a read into the submission queue for each of the buffers that are `free`, so that none is.
    fn submit_into(
        &mut self,
        ring: &mut IoUring,
        free: &mut Vec<usize>,
        places: &mut Places,
        began: Duration,
    ) -> Result<()> {
        let mut queue = ring.submission();
        for index in free.drain(..) {
            let place = places.random();
            let buffer = &mut self.buffers[index * self.block_len..][..self.block_len];
            let read = opcode::Read::new(FILE, buffer.as_mut_ptr(), u32::try_from(buffer.len())?);
            let entry = read.offset(place as u64).build().user_data(index as u64);
            // SAFETY: the buffer is in `self.buffers`. Nobody uses it until its read has ended: only then it is free
            // again. `uring_with` waits for all reads, and after an error `uring` keeps the buffers for ever.
            unsafe { queue.push(&entry) }.context("there is room for as many as there are buffers")?;
            self.readings[index] = Reading { place, began };
        }
        Ok(())
    }
}
