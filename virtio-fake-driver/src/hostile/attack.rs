//! One attack on one queue, from its start to its end.

mod offer;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_util::NotificationCounter;

use super::breach::Breach;
use super::ledger::{Ledger, Trust};
use super::memory::HostileMem;
use super::panics::{Unwound, catch};
use super::ring::Ring;
use super::schedule::random_poke;
use super::setup::{DeviceResult, Setup};
use super::work::{Touched, Work};
use crate::chain::DriverChain;
use crate::features::{IN_ORDER, INDIRECT_DESC, RING_PACKED};
use crate::pool::AddressPool;

/// A device that was started, and serves its queue.
pub(super) type Running<'d> = Box<dyn FnMut() -> DeviceResult + 'd>;

/// Starts a device.
pub(super) type Start<'d> = dyn FnMut(Setup) -> DeviceResult<Running<'d>> + 'd;

/// How often a device is asked to serve a queue that still has buffers.
const PATIENCE: usize = 4;

/// The circumstances of an attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) size: u16,
    pub(super) offered: u64,
    pub(super) features: u64,
    pub(super) request: &'a DriverChain,
    /// Whether the memory wants reports of accesses.
    pub(super) reports: bool,
    pub(super) limit: Option<u64>,
    /// Whether the device can keep buffers as long as it likes.
    pub(super) keeps_chains: bool,
}

/// The result of a device for one attack.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) reaction: Reaction,
    /// The most work of one call, and what the device touched there.
    pub(super) work: Work,
    pub(super) touched: Touched,
    pub(super) breaches: Vec<Breach>,
    /// The first error of the device.
    pub(super) error: Option<String>,
}

/// The way in which a device takes an attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reaction {
    #[default]
    Served,
    Refused,
    Fatal,
}

/// An attack on a queue.
pub(super) struct Attack<'a, 'd> {
    pub(super) scene: Scene<'a>,
    pub(super) ring: Ring,
    pub(super) setup: Setup,
    pub(super) mem: Arc<HostileMem>,
    ledger: Ledger,
    pool: AddressPool,
    /// The end of the memory that is in use.
    end: u64,
    start: &'a mut Start<'d>,
    device: Option<Running<'d>>,
    outcome: Outcome,
    /// Whether the device was started, or has refused that.
    was_started: bool,
    /// Whether no call of the device follows.
    is_over: bool,
    /// Whether the driver only starts the device, and lends nothing.
    is_idle: bool,
    /// Whether the driver can do what it does.
    is_legal: bool,
    /// The memory that another thread changes.
    racer: Option<(u64, Vec<DriverRange>)>,
}

impl<'a, 'd> Attack<'a, 'd> {
    pub(super) fn new(scene: Scene<'a>, start: &'a mut Start<'d>) -> Self {
        let mem = Arc::new(HostileMem::new(scene.reports));
        let mut pool = AddressPool::new(mem.range());
        // Nothing lies at the start, so that an access before an area is noticed.
        pool.alloc(64, 64).expect("the memory has room");
        let is_packed = scene.features & RING_PACKED != 0;
        let ring = Ring::new(is_packed, mem.view().clone(), scene.size, &mut pool);
        let end = ring.areas().iter().map(|area| area.after(area.len()).start().0).max().unwrap_or(0);
        let [descriptor_area, driver_area, device_area] = ring.areas().map(DriverRange::start);
        let Scene { size, offered, features, .. } = scene;
        let notify = Arc::new(NotificationCounter::new());
        let max_size = size;
        let mem_of_device = Arc::clone(&mem);
        Self {
            setup: Setup {
                size,
                max_size,
                offered,
                features,
                descriptor_area,
                driver_area,
                device_area,
                mem: mem_of_device,
                notify,
            },
            ledger: Ledger::new(features & INDIRECT_DESC != 0, features & IN_ORDER != 0),
            scene,
            ring,
            mem,
            pool,
            end,
            start,
            device: None,
            outcome: Outcome::default(),
            was_started: false,
            is_over: false,
            is_idle: false,
            is_legal: false,
            racer: None,
        }
    }

    /// Returns whether the driver accepted the feature.
    pub(super) const fn has(&self, feature: u64) -> bool {
        self.scene.features & feature != 0
    }

    pub(super) fn trust(&mut self, trust: Trust) {
        self.ledger.trust(trust);
    }

    /// Demands that the device serves the driver.
    pub(super) fn is_legal(&mut self) {
        self.is_legal = true;
    }

    /// Lends nothing: the driver only starts the device.
    pub(super) fn is_idle(&mut self) {
        self.is_idle = true;
    }

    /// Lets another thread change memory while the device is at work.
    pub(super) fn race(&mut self, seed: u64, targets: Vec<DriverRange>) {
        self.racer = Some((seed, targets));
    }
}

/// Calls of the device.
impl Attack<'_, '_> {
    /// Starts the device, if that was not done.
    pub(super) fn start(&mut self) {
        if mem::replace(&mut self.was_started, true) {
            return;
        }
        self.mem.set_layout(self.setup.layout());
        self.mem.begin(self.limit(), usize::MAX, &[]);
        let setup = self.setup.clone();
        let started = catch(|| (self.start)(setup));
        self.note_work(self.used_len());
        match started {
            Ok(Ok(device)) => self.device = Some(device),
            Ok(Err(error)) => self.note_error(Reaction::Refused, error.to_string()),
            Err(unwound) => self.note_unwound(unwound),
        }
    }

    /// Stops the device, and starts it again.
    pub(super) fn restart(&mut self) {
        self.stop();
        self.was_started = false;
        self.start();
    }

    /// Asks the device to serve its queue, as on a kick.
    pub(super) fn serve(&mut self) {
        self.start();
        let Some(mut device) = self.device.take().filter(|_| !self.is_over) else { return };
        self.ledger.find(&mut self.ring, &self.mem);
        self.mem.begin(self.limit(), self.used_len(), &self.ledger.elements());
        let served = self.beside_racer(|| catch(&mut device));
        self.device = Some(device);
        self.note_work(self.used_len());
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.note_error(Reaction::Fatal, error.to_string()),
            Err(unwound) => return self.note_unwound(unwound),
        }
        if !self.is_idle && self.outcome.reaction != Reaction::Fatal {
            self.ledger.find(&mut self.ring, &self.mem);
        }
        let breaches = if self.is_idle { Vec::new() } else { self.ledger.take_back(&mut self.ring, &self.mem) };
        self.outcome.breaches.extend(breaches);
    }

    fn beside_racer<T>(&self, call: impl FnOnce() -> T) -> T {
        let Some((seed, targets)) = &self.racer else { return call() };
        let (mem, is_done) = (&self.mem, AtomicBool::new(false));
        let race = || {
            let mut rng: Xoshiro256PlusPlus = SeedableRng::seed_from_u64(*seed);
            // Relaxed: nothing but the end of the race depends on it.
            while !is_done.load(Ordering::Relaxed) {
                if let Some((addr, bytes)) = random_poke(&mut rng, targets) {
                    mem.poke(addr, &bytes);
                }
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            scope.spawn(race);
            let result = call();
            is_done.store(true, Ordering::Relaxed);
            result
        })
    }

    fn stop(&mut self) {
        self.mem.begin(self.limit(), self.used_len(), &self.ledger.elements());
        let device = self.device.take();
        let stopped = catch(|| drop(device));
        let is_over = self.is_over;
        self.note_work(usize::MAX);
        if let Err(unwound) = stopped.or_else(|unwound| if is_over { Ok(()) } else { Err(unwound) }) {
            self.note_unwound(unwound);
        }
    }

    /// Returns the number of bytes at the start of the memory that must be compared around a call.
    ///
    /// Without reports, the comparison alone shows what the device wrote, and a long element can go on to the end of
    /// the memory. With reports, the end of the attack is soon enough for what lies behind the buffers.
    fn used_len(&self) -> usize {
        if !self.scene.reports {
            return usize::MAX;
        }
        let used = self.end.saturating_sub(self.mem.range().start().0);
        usize::try_from(used).map_or(usize::MAX, |used| used + 64)
    }

    fn limit(&self) -> u64 {
        let size = u64::from(self.scene.size);
        let bytes: u64 = self.scene.request.parts().iter().map(|part| part.len()).sum();
        self.scene.limit.unwrap_or(1000 + 64 * (size + 1) * (size + 2) + 4 * bytes)
    }
}

/// The end, and the verdict.
impl Attack<'_, '_> {
    /// Lets the device serve what is there, checks that it goes on or is silent, and stops it.
    pub(super) fn finish(mut self) -> Outcome {
        self.serve();
        self.serve();
        self.mem.heal();
        self.racer = None;
        match self.outcome.reaction {
            Reaction::Served if self.is_idle => {}
            Reaction::Served => self.go_on(),
            Reaction::Fatal => self.be_silent(),
            Reaction::Refused => {}
        }
        if let Some(error) = self.outcome.error.clone().filter(|_| self.is_legal) {
            self.outcome.breaches.push(Breach::Failed { error });
        }
        self.stop();
        self.outcome
    }

    /// Checks that the device has used everything, and uses a good buffer.
    fn go_on(&mut self) {
        let is_trusted = self.ledger.is_trusted();
        self.wait();
        let ids = self.ledger.ids();
        if !ids.is_empty() {
            if is_trusted && !self.scene.keeps_chains && !self.is_over {
                self.outcome.breaches.push(Breach::Forgotten { ids });
            }
            return;
        }
        self.offer_request();
        self.wait();
        let is_stuck = !self.ledger.ids().is_empty() && self.ledger.is_trusted();
        if is_stuck && self.outcome.reaction == Reaction::Served && !self.scene.keeps_chains && !self.is_over {
            self.outcome.breaches.push(Breach::Stuck);
        }
    }

    fn wait(&mut self) {
        for _ in 0..PATIENCE {
            if !self.ledger.ids().is_empty() || !self.ledger.is_trusted() {
                self.serve();
            }
        }
    }

    /// Checks that a broken queue accesses no ring. The memory reports it.
    fn be_silent(&mut self) {
        self.trust(Trust::Nothing);
        self.offer_request();
        self.serve();
        self.serve();
    }

    fn note_work(&mut self, len: usize) {
        let (work, touched, breaches) = self.mem.end(len);
        if work.total() > self.outcome.work.total() {
            (self.outcome.work, self.outcome.touched) = (work, touched);
        }
        self.outcome.breaches.extend(breaches);
        if work.total() >= self.limit() {
            self.is_over = true;
            self.outcome.breaches.push(Breach::Unbounded { limit: self.limit() });
        }
    }

    fn note_error(&mut self, reaction: Reaction, error: String) {
        self.outcome.reaction = reaction;
        self.outcome.error.get_or_insert(error);
        if reaction == Reaction::Fatal {
            self.mem.is_fatal();
        }
    }

    fn note_unwound(&mut self, unwound: Unwound) {
        self.is_over = true;
        if let Unwound::Panicked(message) = unwound {
            self.outcome.breaches.push(Breach::Panicked { message });
        }
    }

    /// Returns the work of the most expensive call so far, and the memory in use.
    pub(super) fn measure(mut self) -> (Work, DriverRange, Outcome) {
        self.start();
        self.outcome.work = Work::default();
        self.offer_request();
        self.is_legal();
        self.serve();
        let work = self.outcome.work;
        let start = self.setup.descriptor_area;
        let used = DriverRange::new(start, self.end - start.0).expect("the memory in use is in memory");
        (work, used, self.finish())
    }

    /// Writes while the device is at work, before the access or translation number `nth` of the next call.
    pub(super) fn poke_at(&mut self, nth: usize, addr: DriverAddr, bytes: &[u8]) {
        self.start();
        self.mem.with_schedule(|schedule| schedule.poke_at(nth as u64, (addr, bytes.to_vec())));
    }
}
