//! As many requests as the device can answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{Disk, PATIENCE};

/// What the driver does while nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It looks again, and wants no notifications.
    Polls,
    /// It waits for a notification.
    Sleeps,
}

/// What happened during a measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Notifications by the driver.
    pub(crate) kicks: u64,
    /// Notifications by the device.
    pub(crate) calls: u64,
    pub(crate) time: Duration,
}

impl Disk {
    /// Reads at random places of a disk of `disk_len` bytes for some time, with as many requests under way as there are
    /// buffers, each of which it fills.
    ///
    /// # Errors
    ///
    /// If a request fails, or is not answered.
    pub(crate) fn read_for(&mut self, time: Duration, disk_len: usize, waiting: Waiting) -> Result<Counts> {
        self.queue.set_used_notif_enabled(waiting == Waiting::Sleeps);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(disk_len as u64);
        let mut free: Vec<_> = (0..self.in_flight.len()).collect();
        let mut counts = Counts::default();
        let began = Instant::now();
        while counts.time < time || free.len() < self.in_flight.len() {
            if counts.time < time {
                self.read_into(&mut free, disk_len / self.request_len, &mut rng)?;
                counts.kicks += u64::from(self.kick()?);
            }
            let before = free.len();
            self.answered(&mut free)?;
            if free.len() > before {
                counts.requests += (free.len() - before) as u64;
                counts.time = began.elapsed();
            } else if waiting == Waiting::Sleeps {
                counts.calls += self.wait_for_call()?;
            } else {
                ensure!(began.elapsed() < counts.time + PATIENCE, "the device does not answer");
            }
        }
        self.queue.set_used_notif_enabled(true);
        Ok(counts)
    }

    /// Reads a random block into each of the buffers that are `free`, so that none is.
    fn read_into(&mut self, free: &mut Vec<usize>, blocks: usize, rng: &mut Xoshiro256PlusPlus) -> Result<()> {
        for index in free.drain(..) {
            let offset = rng.random_range(0..blocks) * self.request_len;
            let buffer = &mut self.buffers[index * self.request_len..][..self.request_len];
            self.queue.read(offset as u64, buffer, index)?;
        }
        Ok(())
    }

    /// Takes back the buffers whose requests have been answered.
    fn answered(&mut self, free: &mut Vec<usize>) -> Result<()> {
        for answer in self.queue.completions() {
            ensure!(answer.ret == 0, "a request failed with {}", answer.ret);
            free.push(answer.context);
        }
        Ok(())
    }
}
