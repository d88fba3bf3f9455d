//! The driver of the crate virtio-driver, and what it does with the disk.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use memmap2::MmapMut;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use virtio_driver::{VhostUser, VirtioBlkConfig, VirtioBlkQueue, VirtioBlkTransport};

use super::back_end::wait_readable;
use super::front_end::memory_file;

pub(crate) const EVENT_IDX: u64 = 1 << 29;
pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const PACKED: u64 = 1 << 34;
pub(crate) const IN_ORDER: u64 = 1 << 35;
pub(crate) const MQ: u64 = 1 << 12;

const SECTOR: usize = 512;

/// A driver with one or more queues.
pub(crate) struct Driver {
    // They lie in the memory of the transport.
    queues: Vec<VirtioBlkQueue<'static, usize>>,
    transport: Box<VirtioBlkTransport>,
    buffers: MmapMut,
    /// Written to instead of the driver's own, if there is one.
    kick: Option<OwnedFd>,
    rng: SmallRng,
}

impl Driver {
    /// Connects with those of `features` that the device has, all of which it has to have.
    pub(crate) fn connect(socket: &Path, features: u64, queues: usize, size: u16) -> Self {
        let transport = VhostUser::new(socket.to_str().unwrap(), features | VERSION_1).unwrap();
        let mut transport: Box<VirtioBlkTransport> = Box::new(transport);
        assert_eq!(transport.get_features() & !(1 << 30), features | VERSION_1);
        let mut queues = VirtioBlkQueue::setup_queues(&mut *transport, queues, size).unwrap();
        queues.iter_mut().for_each(|queue| queue.set_used_notif_enabled(true));

        let file = memory_file(4 << 20);
        // SAFETY: nobody makes the file shorter, and the device writes only what is being read into.
        let buffers = unsafe { MmapMut::map_mut(&file) }.unwrap();
        transport.map_mem_region(buffers.as_ptr() as usize, buffers.len(), file.as_raw_fd(), 0).unwrap();
        Self { queues, transport, buffers, kick: None, rng: SmallRng::seed_from_u64(1) }
    }

    pub(crate) fn config(&self) -> VirtioBlkConfig {
        self.transport.get_config().unwrap()
    }

    /// Uses another eventfd for kicks from now on.
    pub(crate) fn kick_with(&mut self, kick: OwnedFd) {
        self.kick = Some(kick);
    }

    /// Writes and reads at random, `depth` requests at a time in each queue, and keeps `model` the same as the disk.
    /// Between sending a batch and waiting for it, `meanwhile` is called.
    pub(crate) fn exercise(&mut self, model: &mut [u8], rounds: usize, depth: usize, mut meanwhile: impl FnMut()) {
        // Each request of a batch has its own part of the disk and of the buffers, so that their order does not matter.
        let lanes = self.queues.len() * depth;
        let part = (model.len().min(self.buffers.len()) / lanes) & !(SECTOR - 1);
        for round in 0..rounds {
            let mut batch = Vec::new();
            for lane in 0..lanes {
                let start = self.rng.random_range(0..part / SECTOR) * SECTOR;
                let len = self.rng.random_range(1..=(part - start) / SECTOR) * SECTOR;
                batch.push(lane * part + start..lane * part + start + len);
            }
            let write = round % 2 == 0;
            for (index, range) in batch.iter().enumerate() {
                let queue = &mut self.queues[index / depth];
                if write {
                    self.rng.fill_bytes(&mut model[range.clone()]);
                    self.buffers[range.clone()].copy_from_slice(&model[range.clone()]);
                    queue.write(range.start as u64, &self.buffers[range.clone()], index).unwrap();
                } else {
                    self.buffers[range.clone()].fill(0xee);
                    queue.read(range.start as u64, &mut self.buffers[range.clone()], index).unwrap();
                }
            }
            self.kick();
            meanwhile();
            self.finish(depth);
            for range in batch.iter().filter(|_| !write) {
                assert!(self.buffers[range.clone()] == model[range.clone()], "read something else at {range:?}");
            }
        }
    }

    /// Makes a read available in the first queue, with a kick.
    pub(crate) fn send_read(&mut self) {
        self.queues[0].read(0, &mut self.buffers[..SECTOR], 0).unwrap();
        self.kick();
    }

    fn kick(&mut self) {
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if queue.avail_notif_needed() {
                match &self.kick {
                    Some(kick) => drop(rustix::io::write(kick, &1_u64.to_ne_bytes()).unwrap()),
                    None => self.transport.get_submission_notifier(index).notify().unwrap(),
                }
            }
        }
    }

    /// Waits for so many completions in each queue.
    #[track_caller]
    pub(crate) fn finish(&mut self, count: usize) {
        for (index, queue) in self.queues.iter_mut().enumerate() {
            let call = self.transport.get_completion_fd(index);
            let mut done = 0;
            loop {
                for completion in queue.completions() {
                    assert_eq!(completion.ret, 0);
                    done += 1;
                }
                if done == count {
                    break;
                }
                wait_readable(&*call, "a request");
                call.read().unwrap();
            }
        }
    }
}
