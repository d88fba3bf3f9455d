//! Rings that belong together.

use std::io;

use virtio_queue_core::{RingFeatures, SavedQueue};

use crate::deferred::DeferredLane;
use crate::lanes::{AtOnce, Lane, Lanes, Thread};
use crate::not_running::NotRunning;
use crate::patience::Patience;
use crate::report::report;
use crate::vhost_user_device::VhostUserDevice;
use crate::vring::{Setup, Vring, VringRing};
use crate::worker::{Deferred, Shape};

/// The rings that one worker serves.
pub(crate) struct Group {
    /// The number of its first ring in the device.
    first: usize,
    vrings: Vec<Vring>,
    /// What serves them. It is made when the first of them runs.
    worker: Option<Shape>,
    /// Whether the worker has seen all of its rings stop. Then another driver can be the one who starts them.
    has_stopped: bool,
    /// The thread that serves them at once, and has the worker, and which of them it serves, by their places.
    thread: Option<(Thread, Vec<usize>)>,
    /// Those whose chains are out while others are fetched, by their places.
    deferred: Vec<Option<DeferredLane>>,
}

impl Group {
    /// Returns the group of a device that has `len` rings from `first` on, of which nothing has been said.
    pub(crate) fn new(first: usize, len: usize) -> Self {
        let vrings = (first..first + len).map(|index| Vring { index, ..Vring::default() }).collect();
        let deferred = (0..len).map(|_| None).collect();
        Self { first, vrings, worker: None, has_stopped: false, thread: None, deferred }
    }

    /// Returns its rings.
    pub(crate) fn vrings(&mut self) -> &mut [Vring] {
        &mut self.vrings
    }

    /// Returns the places of those that are being served.
    pub(crate) fn running(&self) -> Vec<usize> {
        let deferred = self.deferred.iter().enumerate().filter(|(_, lane)| lane.is_some()).map(|(place, _)| place);
        self.thread.iter().flat_map(|(_, places)| places.iter().copied()).chain(deferred).collect()
    }

    /// Returns whether the log has what is used in one of them.
    pub(crate) fn is_logged(&self) -> bool {
        self.vrings.iter().any(|vring| vring.log.is_some())
    }

    /// Lets nothing be fetched, and takes note of where the rings are that are served at once.
    ///
    /// # Errors
    ///
    /// If a device that answers at once does not come to an end of that before patience ends.
    pub(crate) fn pause(&mut self, patience: &Patience<'_>) -> io::Result<()> {
        self.deferred.iter().flatten().for_each(DeferredLane::pause);
        let Some((thread, places)) = self.thread.take() else { return Ok(()) };
        let stopped = thread.stop(patience);
        let rest = stopped.as_ref().ok().and_then(Option::as_ref);
        for place in &places {
            let saved = rest.and_then(|rest| rest.saved.iter().find(|(at, _)| at == place)).map(|(_, base)| *base);
            if let Some(vring) = self.vrings.get_mut(*place) {
                vring.stopped_at(saved);
            }
        }
        self.worker = stopped?.map(|rest| Shape::AtOnce(rest.device));
        Ok(())
    }

    /// Waits until no chain of the paused rings is out, if the worker keeps the memory of chains.
    ///
    /// # Errors
    ///
    /// If the device does not return all chains before patience ends.
    pub(crate) fn let_memory_go(&mut self, patience: &Patience<'_>) -> io::Result<()> {
        match &mut self.worker {
            Some(Shape::Deferred(device)) if device.keeps_memory => {
                self.deferred.iter().flatten().try_for_each(|lane| lane.wait_until_idle(device, patience))
            }
            _ => Ok(()),
        }
    }

    /// Stops the ring at `place`, which was paused, with nothing in flight, and takes note of where it is.
    ///
    /// # Errors
    ///
    /// If the device does not return all chains before patience ends.
    pub(crate) fn stop(&mut self, place: usize, patience: &Patience<'_>) -> io::Result<()> {
        let (Some(lane), Some(Shape::Deferred(device))) =
            (self.deferred.get_mut(place).and_then(Option::take), &mut self.worker)
        else {
            return Ok(());
        };
        let stopped = lane.stop(device, patience);
        if let Some(vring) = self.vrings.get_mut(place) {
            vring.stopped_at(stopped.as_ref().copied().unwrap_or_default());
        }
        stopped.map(drop)
    }

    /// Takes note of that the front end has stopped the ring at `place`, until it names another kick.
    pub(crate) fn has_stopped(&mut self, place: usize) {
        self.vrings.iter_mut().skip(place).take(1).for_each(|vring| vring.kick = None);
        self.has_stopped = self.worker.is_some() && self.vrings.iter().all(|vring| vring.kick.is_none());
    }

    /// Forgets the worker if the front end says that the ring at `place` begins at `base`, and the ring stopped
    /// elsewhere: another driver starts it. A front end that only pauses says where the ring stopped.
    ///
    /// # Errors
    ///
    /// If another of the rings has begun already, and the device does not return all chains before patience ends.
    pub(crate) fn begins_at(&mut self, place: usize, base: &SavedQueue, patience: &Patience<'_>) -> io::Result<()> {
        if self.has_stopped && self.vrings.get(place).is_some_and(|vring| vring.begins_anew_at(base)) {
            self.rest(patience)?;
            self.forget_worker();
        }
        Ok(())
    }

    /// Stops all rings with nothing in flight, and takes note of where they are.
    ///
    /// # Errors
    ///
    /// If the device does not return all chains before patience ends.
    pub(crate) fn rest(&mut self, patience: &Patience<'_>) -> io::Result<()> {
        self.pause(patience)?;
        (0..self.vrings.len()).try_for_each(|place| self.stop(place, patience))
    }

    /// Stops all rings for good, and waits until nothing of them is in flight.
    ///
    /// # Errors
    ///
    /// If that takes longer than patience lasts.
    pub(crate) fn end(&mut self, patience: &Patience<'_>) -> io::Result<()> {
        let mut result = self.pause(patience);
        let lanes = self.deferred.iter_mut().filter_map(Option::take);
        if let Some(Shape::Deferred(device)) = &mut self.worker {
            lanes.for_each(|lane| result = core::mem::replace(&mut result, Ok(())).and(lane.end(device, patience)));
        }
        result
    }

    /// Serves all rings of which enough has been said, from where they were. Those that are not in the memory wait
    /// until they are.
    ///
    /// # Errors
    ///
    /// If the ring at `place` cannot run.
    pub(crate) fn start<D: VhostUserDevice>(
        &mut self,
        place: Option<usize>,
        setup: &Setup,
        device: &D,
    ) -> io::Result<()> {
        if self.worker.is_none() && !self.vrings.iter().any(|vring| vring.ready().is_some()) {
            return Ok(());
        }
        let first = self.first;
        let worker = self.worker.take().unwrap_or_else(|| device.worker(first, setup.accepted).0);
        match worker {
            Shape::AtOnce(device) => self.start_at_once(place, setup, device),
            Shape::Deferred(mut device) => {
                let result = self.start_deferred(place, setup, &mut device);
                self.worker = Some(Shape::Deferred(device));
                result
            }
        }
    }

    /// Begins to serve the rings at once, on a thread, or lets the device rest if there are none.
    fn start_at_once(&mut self, place: Option<usize>, setup: &Setup, mut device: Box<dyn AtOnce>) -> io::Result<()> {
        let packed = setup.features.contains(RingFeatures::RING_PACKED);
        let any = device.needs_any() || setup.record.is_some();
        // The format is chosen once, not for each descriptor, if the device is compiled for both.
        let (lanes, places, result) = match (any, packed) {
            (true, _) => self.lanes(place, setup, Lanes::Any),
            (false, true) => self.lanes(place, setup, Lanes::Packed),
            (false, false) => self.lanes(place, setup, Lanes::Split),
        };
        let Some(first) = places.first() else {
            device.rest();
            self.worker = Some(Shape::AtOnce(device));
            return result;
        };
        device.start();
        let signals = places.iter().filter_map(|at| self.vrings.get(*at).map(Vring::signals)).collect();
        let thread = Thread::spawn(self.name(*first), lanes, setup.polls, signals, device)?;
        self.thread = Some((thread, places));
        result
    }

    /// Returns the rings that can be served at once, their places, and whether the one at `place` cannot.
    fn lanes<R: VringRing>(
        &mut self,
        place: Option<usize>,
        setup: &Setup,
        lanes: impl FnOnce(Vec<Lane<R>>) -> Lanes,
    ) -> (Lanes, Vec<usize>, io::Result<()>) {
        let (mut running, mut places, mut result) = (Vec::new(), Vec::new(), Ok(()));
        for at in 0..self.vrings.len() {
            let name = self.name(at);
            let Some(vring) = self.vrings.get_mut(at) else { continue };
            match vring.lane::<R>(name.clone(), at, setup) {
                Ok(Some(lane)) => {
                    running.push(lane);
                    places.push(at);
                }
                Ok(None) => {}
                Err(error) => result = result.and(rests(vring, &name, error, place == Some(at))),
            }
        }
        (lanes(running), places, result)
    }

    /// Begins or goes on to serve the rings whose chains are out while others are fetched.
    fn start_deferred(&mut self, place: Option<usize>, setup: &Setup, device: &mut Deferred) -> io::Result<()> {
        let mut result = Ok(());
        for at in 0..self.vrings.len() {
            let name = self.name(at);
            let (Some(vring), Some(lane)) = (self.vrings.get_mut(at), self.deferred.get_mut(at)) else { continue };
            let started = match lane {
                Some(lane) => vring.go_on(lane, setup),
                None => vring.beginning(name.clone(), at, setup).and_then(|beginning| {
                    let begun = beginning.map(|beginning| DeferredLane::spawn(beginning, device)).transpose();
                    *lane = begun.map_err(NotRunning::NotThere)?;
                    Ok(())
                }),
            };
            if let Err(error) = started {
                result = result.and(rests(vring, &name, error, place == Some(at)));
            }
        }
        result
    }

    /// Forgets what served the rings: the driver wants something else from now on.
    pub(crate) fn forget_worker(&mut self) {
        (self.worker, self.has_stopped) = (None, false);
    }

    fn name(&self, place: usize) -> String {
        format!("queue {}", self.first + place)
    }
}

/// Lets a ring rest that cannot run: until there is other memory, or for good. The front end is told if it `asked`.
fn rests(vring: &mut Vring, name: &str, error: NotRunning, asked: bool) -> io::Result<()> {
    let told = core::mem::replace(&mut vring.rests, true);
    match error {
        error if asked => return Err(error.into_error()),
        NotRunning::NotThere(_) if told => {}
        NotRunning::NotThere(error) => report(format_args!("{name} rests: {error}")),
        NotRunning::Broken(error) => vring.end(name, &error),
    }
    Ok(())
}
