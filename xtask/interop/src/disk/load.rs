//! As many requests as the device can answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Disk, PATIENCE};
use crate::places::{Places, Reading};

/// What the driver does while nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It looks again, and wants no notifications.
    Polls,
    /// It waits for a notification.
    Sleeps,
}

/// What happened during a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Notifications by the driver.
    pub(crate) kicks: u64,
    /// Notifications by the device.
    pub(crate) calls: u64,
    pub(crate) time: Duration,
    /// How long each request took, in nanoseconds.
    pub(crate) latencies: Vec<f64>,
}

impl Counts {
    /// Takes note of a request that began at one time and was seen to be done at another.
    #[expect(clippy::cast_precision_loss, reason = "no request takes that long")]
    pub(crate) fn count(&mut self, began: Duration, done: Duration) {
        self.requests += 1;
        self.latencies.push(done.saturating_sub(began).as_nanos() as f64);
    }
}

impl Disk {
    /// Reads at random places of a disk of `disk_len` bytes for some time, with as many requests under way as there are
    /// buffers, each of which it fills.
    ///
    /// A request takes from when the driver has seen earlier answers, and makes it because of them, until the driver
    /// sees its own.
    ///
    /// # Errors
    ///
    /// If a request fails, or is not answered.
    pub(crate) fn read_for(&mut self, time: Duration, disk_len: usize, waiting: Waiting) -> Result<Counts> {
        self.queue.set_used_notif_enabled(waiting == Waiting::Sleeps);
        let mut places = Places::new(disk_len, self.request_len);
        let mut free: Vec<_> = (0..self.in_flight.len()).collect();
        let mut counts = Counts::default();
        let began = Instant::now();
        while counts.time < time || free.len() < self.in_flight.len() {
            if counts.time < time {
                self.read_into(&mut free, &mut places, counts.time)?;
                counts.kicks += u64::from(self.kick()?);
            }
            let before = free.len();
            self.answered(&mut free)?;
            let now = began.elapsed();
            if let Some(answered) = free.get(before..).filter(|answered| !answered.is_empty()) {
                answered.iter().for_each(|index| counts.count(self.readings[*index].began, now));
                counts.time = now;
            } else if waiting == Waiting::Sleeps {
                counts.calls += self.wait_for_call()?;
            } else {
                ensure!(now < counts.time + PATIENCE, "the device does not answer");
            }
        }
        self.queue.set_used_notif_enabled(true);
        Ok(counts)
    }

    /// Checks what was read last into each buffer, where `content` is on the disk.
    ///
    /// # Errors
    ///
    /// If it is anything else.
    pub(crate) fn check_last(&self, content: &[u8]) -> Result<()> {
        for (buffer, Reading { place, .. }) in self.buffers.chunks(self.request_len).zip(&self.readings) {
            ensure!(content[*place..].starts_with(buffer), "what was read at {place} was not written");
        }
        Ok(())
    }

    /// Reads a random block into each of the buffers that are `free`, so that none is.
    fn read_into(&mut self, free: &mut Vec<usize>, places: &mut Places, began: Duration) -> Result<()> {
        for index in free.drain(..) {
            let place = places.random();
            let buffer = &mut self.buffers[index * self.request_len..][..self.request_len];
            self.queue.read(place as u64, buffer, index)?;
            self.readings[index] = Reading { place, began };
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
