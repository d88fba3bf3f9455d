//! Rings that belong together.

use core::mem;
use std::io;

use virtio_queue_core::RingFeatures;
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;

use super::memory::GuestMem;
use super::vring::{Setup, Vring, VringRing};
use super::worker::{Work, Worker};
use crate::{Serve, VhostUserDevice};

/// The rings that one thread serves, and that thread while any of them runs.
#[derive(Debug)]
pub(super) struct Group<S> {
    /// Which of the device's groups it is.
    index: usize,
    vrings: Vec<Vring>,
    /// What serves them, while they rest. It is made when the first of them runs.
    device: Option<S>,
    worker: Option<Worker<S>>,
    /// Which of them run, by their places.
    running: Vec<usize>,
}

impl<S: Serve + Send + 'static> Group<S> {
    /// Returns the group `index` of a device, of which nothing has been said.
    pub(super) fn new(index: usize, len: usize) -> Self {
        let vrings = (0..len).map(|_| Vring::default()).collect();
        Self { index, vrings, device: None, worker: None, running: Vec::new() }
    }

    /// Returns its rings.
    pub(super) fn vrings(&mut self) -> &mut [Vring] {
        &mut self.vrings
    }

    /// Returns the places of those that are being served.
    pub(super) fn running(&self) -> &[usize] {
        &self.running
    }

    /// Returns those that are being served.
    pub(super) fn running_vrings(&self) -> impl Iterator<Item = &Vring> {
        self.running.iter().filter_map(|place| self.vrings.get(*place))
    }

    /// Begins to serve all rings of which enough has been said, from where they were. One of those that `ran` before a
    /// pause, and cannot go on, is broken.
    ///
    /// # Errors
    ///
    /// If the ring at `place` cannot run like that.
    pub(super) fn start<D: VhostUserDevice<Worker = S>>(
        &mut self,
        place: usize,
        ran: &[usize],
        setup: &Setup,
        device: &D,
    ) -> io::Result<()> {
        // Chosen once, not for each descriptor.
        if setup.features.contains(RingFeatures::RING_PACKED) {
            self.start_in::<PackedRing<GuestMem>, D>(place, ran, setup, device)
        } else {
            self.start_in::<SplitRing<GuestMem>, D>(place, ran, setup, device)
        }
    }

    /// Does so in a format.
    fn start_in<R: VringRing, D: VhostUserDevice<Worker = S>>(
        &mut self,
        place: usize,
        ran: &[usize],
        setup: &Setup,
        device: &D,
    ) -> io::Result<()> {
        let (mut lanes, mut result) = (Vec::new(), Ok(()));
        let first = self.index * self.vrings.len();
        for (at, vring) in self.vrings.iter_mut().enumerate() {
            let name = format!("queue {}", first + at);
            match vring.lane::<R>(name.clone(), at, setup) {
                Ok(Some(lane)) => {
                    self.running.push(at);
                    lanes.push(lane);
                }
                Ok(None) => {}
                Err(error) if at == place => result = Err(error),
                Err(error) if ran.contains(&at) => vring.end(&name, &error),
                // Who asked for it has been told.
                Err(_) => {}
            }
        }
        if lanes.is_empty() {
            self.device.iter_mut().for_each(Serve::rest);
        } else {
            let mut served_by = self.device.take().unwrap_or_else(|| device.worker(self.index, setup.accepted));
            served_by.start();
            let spawned = Worker::spawn(Work { lanes, polls: setup.polls }, served_by);
            if spawned.is_err() {
                self.running.clear();
            }
            self.worker = Some(spawned?);
        }
        result
    }

    /// Stops serving, takes note of where the rings are, and returns the places of those that were served.
    pub(super) fn pause(&mut self) -> Vec<usize> {
        let Some(worker) = self.worker.take() else { return Vec::new() };
        let (device, saved) = worker.stop().map_or((None, Vec::new()), |rest| (Some(rest.device), rest.saved));
        self.device = device;
        let ran = mem::take(&mut self.running);
        for place in &ran {
            let base = saved.iter().find(|(at, _)| at == place).map(|(_, base)| *base);
            if let Some(vring) = self.vrings.get_mut(*place) {
                vring.stopped_at(base);
            }
        }
        ran
    }

    /// Forgets what served the rings: the driver wants something else from now on.
    pub(super) fn forget_device(&mut self) {
        self.device = None;
    }
}

/// Not without its worker.
impl<S> Drop for Group<S> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}
