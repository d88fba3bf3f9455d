//! One ring, as the front end sets it up.

use std::io;
use std::sync::Arc;

use virtio_mem_traits::{DriverAddr, DriverRange};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{
    AnyRing, DriverNotify, FromConfig, Queue, QueueConfig, QueueLimits, Restorable, RestoreError, RingFeatures,
    SavedQueue,
};
use virtio_util::EventFd;

use crate::deferred::{Beginning, DeferredLane};
use crate::event::{Call, Later};
use crate::inflight::any::{AnyRecordedRing, AnyRecorder};
use crate::inflight::{Inflight, Left};
use crate::lanes::{Lane, Signals};
use crate::log::{Log, RingLog};
use crate::memory::{GuestMem, Memory};
use crate::not_running::NotRunning;
use crate::report::report;

/// A ring in one of the formats.
pub(crate) trait VringRing: Restorable<Mem = GuestMem, Positions: Send> + Send + 'static {
    /// Returns the ring that `config` is of, as it begins in `setup`, and where it is if not at its beginning. The
    /// front end has said that it was at the base of `vring`.
    ///
    /// # Errors
    ///
    /// If it cannot run like that.
    fn begin(
        config: &QueueConfig,
        mem: GuestMem,
        setup: &Setup,
        vring: &Vring,
    ) -> Result<(Self, Option<SavedQueue>), NotRunning>;

    /// Returns how many chains are left to be fetched again, from when the ring begins.
    fn left(&self) -> Left {
        Left::default()
    }
}

/// Nothing is recorded of a ring whose format is chosen when the program is compiled.
macro_rules! plain {
    ($($ring:ident),+) => {$(
        impl VringRing for $ring<GuestMem> {
            fn begin(
                config: &QueueConfig,
                mem: GuestMem,
                _setup: &Setup,
                vring: &Vring,
            ) -> Result<(Self, Option<SavedQueue>), NotRunning> {
                Ok((Self::from_config(config, mem)?, vring.base))
            }
        }
    )+};
}

plain!(SplitRing, PackedRing);

impl VringRing for AnyRecordedRing {
    fn begin(
        config: &QueueConfig,
        mem: GuestMem,
        setup: &Setup,
        vring: &Vring,
    ) -> Result<(Self, Option<SavedQueue>), NotRunning> {
        let ring = AnyRing::from_config(config, mem)?;
        let Some(record) = &setup.record else { return Ok((AnyRecorder::none(ring), vring.base)) };
        let (ring, saved) = AnyRecorder::resume(ring, config, record, vring.index, vring.base)?;
        Ok((ring, Some(saved)))
    }

    fn left(&self) -> Left {
        self.recorder().left()
    }
}

/// What a front end has said of a ring, in any order.
#[derive(Debug, Default)]
pub(crate) struct Vring {
    /// Which of the device's rings it is.
    pub(crate) index: usize,
    pub(crate) size: u16,
    pub(crate) areas: Option<Areas>,
    /// Where to begin: at the beginning, if nothing is said.
    pub(crate) base: Option<SavedQueue>,
    pub(crate) kick: Option<Arc<EventFd>>,
    pub(crate) call: Call,
    pub(crate) error: Call,
    pub(crate) enabled: bool,
    /// Where the log has what is used, if that is to be marked.
    pub(crate) log: Option<DriverAddr>,
    /// Whether somebody has been told that it cannot run.
    pub(crate) rests: bool,
    /// Whether it was served once. Then `base` is where it stopped, until another is said.
    pub(crate) was_served: bool,
}

/// Where a ring is, in the addresses of the front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) descriptor: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
}

/// What the rings of a device have in common.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) memory: Memory,
    /// The features that the driver accepted.
    pub(crate) accepted: u64,
    /// Those of them that concern the rings.
    pub(crate) features: RingFeatures,
    pub(crate) limits: QueueLimits,
    pub(crate) polls: u32,
    /// Where what is in flight is recorded.
    pub(crate) record: Option<Inflight>,
    /// Where the pages are marked that are written.
    pub(crate) log: Option<Arc<Log>>,
    /// Whether all of them are, or those of the rings that have a log.
    pub(crate) log_all: bool,
}

impl Vring {
    /// Returns its kick, if all has been said that a ring needs to run.
    pub(crate) fn ready(&self) -> Option<&Arc<EventFd>> {
        self.kick.as_ref().filter(|_| self.enabled && self.areas.is_some())
    }

    /// Returns what is signalled for it.
    pub(crate) fn signals(&self) -> Signals {
        Signals { call: self.call.clone(), error: self.error.clone() }
    }

    /// Returns the three addresses as the guest knows them.
    pub(crate) fn areas_in_guest(&self, memory: &Memory) -> io::Result<[DriverAddr; 3]> {
        let areas = self.areas.ok_or_else(|| io::Error::other("nobody said where the ring is"))?;
        areas.in_guest(memory)
    }

    /// Returns the memory as the ring has it that `config` is of.
    fn memory(&self, setup: &Setup, areas: [DriverAddr; 3]) -> GuestMem {
        let log = setup.log.as_ref().filter(|_| setup.log_all || self.log.is_some());
        let [descriptor, _, device] = areas;
        let size = u64::from(self.size);
        // That of a packed ring has its descriptors written over.
        let used = if setup.features.contains(RingFeatures::RING_PACKED) {
            DriverRange::new(descriptor, 16 * size)
        } else {
            DriverRange::new(device, 6 + 8 * size)
        };
        setup.memory.table(log.map(|log| RingLog { log: Arc::clone(log), used: used.zip(self.log) }))
    }

    fn config(&self, setup: &Setup) -> io::Result<QueueConfig> {
        let [descriptor_area, driver_area, device_area] = self.areas_in_guest(&setup.memory)?;
        // What serves a ring returns chains in their order by itself. Of what else IN_ORDER allows, one used element
        // for many chains, neither DPDK's driver nor libblkio's knows.
        let features = setup.features.difference(RingFeatures::IN_ORDER);
        let mut config = QueueConfig::new(self.size, features, descriptor_area, driver_area, device_area);
        config.limits = setup.limits;
        Ok(config)
    }

    /// Returns the queue as it runs, from where it was.
    ///
    /// Whether there is work already makes no difference: whoever serves it looks before it waits.
    fn queue<R: VringRing, N: DriverNotify>(
        &self,
        setup: &Setup,
        notify: N,
    ) -> Result<(Queue<R, N>, Left), NotRunning> {
        let config = self.config(setup).map_err(NotRunning::NotThere)?;
        let mem = self.memory(setup, [config.descriptor_area, config.driver_area, config.device_area]);
        let (ring, base) = R::begin(&config, mem, setup, self)?;
        let left = ring.left();
        let queue = match base {
            Some(base) => Queue::restore(ring, notify, &base)?.0,
            None => Queue::from_ring(ring, notify).map_err(RestoreError::Ring)?,
        };
        Ok((queue, left))
    }

    /// Returns the ring as a thread serves it at once, if all has been said for that. It is the one at `place` of those
    /// that belong together.
    ///
    /// # Errors
    ///
    /// If it cannot run like that.
    pub(crate) fn lane<R: VringRing>(
        &self,
        name: String,
        place: usize,
        setup: &Setup,
    ) -> Result<Option<Lane<R>>, NotRunning> {
        let Some(kick) = self.ready() else { return Ok(None) };
        let call = self.call.clone();
        // This thread must not be held up. What is to be signalled is signalled by the one that serves the ring.
        call.hold();
        let queue = self.queue::<R, _>(setup, call.clone())?;
        Ok(Some(Lane::new(name, place, queue, Arc::clone(kick), call, self.error.clone())))
    }

    /// Returns the ring as a future serves it, if all has been said for that.
    ///
    /// # Errors
    ///
    /// If it cannot run like that.
    pub(crate) fn beginning(&self, name: String, place: usize, setup: &Setup) -> Result<Option<Beginning>, NotRunning> {
        let Some(kick) = self.ready().cloned() else { return Ok(None) };
        let areas = self.areas_in_guest(&setup.memory).map_err(NotRunning::NotThere)?;
        let (call, error) = (self.call.clone(), self.error.clone());
        let notify = Arc::new(Later::new(call.clone()).map_err(NotRunning::NotThere)?);
        // It was held if a thread was to serve the ring at once, and could not be made.
        if call.let_go() {
            notify.notify();
        }
        let (queue, left) = self.queue(setup, Arc::clone(&notify))?;
        Ok(Some(Beginning { name, place, queue, left, areas, kick, notify, call, error }))
    }

    /// Goes on with what serves the ring already, if it is to run.
    ///
    /// # Errors
    ///
    /// If the ring is not in the memory. It stays paused.
    pub(crate) fn go_on(&self, lane: &DeferredLane, setup: &Setup) -> Result<(), NotRunning> {
        let Some(kick) = self.ready() else { return Ok(()) };
        lane.kick_with(kick);
        let areas = self.areas_in_guest(&setup.memory);
        areas.and_then(|areas| lane.go_on(self.memory(setup, areas), areas)).map_err(NotRunning::NotThere)
    }

    /// Returns whether the ring is to begin elsewhere than where it stopped. A ring that broke stopped nowhere.
    pub(crate) fn begins_anew_at(&self, base: &SavedQueue) -> bool {
        self.was_served && self.base.map(|stopped| stopped.vring_base()) != Some(base.vring_base())
    }

    /// Takes note of where the ring stopped. It goes on from there.
    ///
    /// A broken ring is nowhere and does not: it has to be set up again, with a new kick.
    pub(crate) fn stopped_at(&mut self, base: Option<SavedQueue>) {
        self.base = base;
        (self.rests, self.was_served) = (false, true);
        if base.is_none() {
            self.kick = None;
        }
    }

    /// Tells everybody that the ring `name` cannot go on, and is broken.
    pub(crate) fn end(&mut self, name: &str, fault: &io::Error) {
        report(format_args!("{name} is broken: {fault}"));
        self.error.notify_apart();
        self.stopped_at(None);
    }
}

impl Areas {
    /// Returns the three addresses as the guest knows them.
    ///
    /// # Errors
    ///
    /// If one is not in memory.
    pub(crate) fn in_guest(self, memory: &Memory) -> io::Result<[DriverAddr; 3]> {
        let guest_addr = |user| {
            memory
                .guest_addr(user)
                .ok_or_else(|| io::Error::other(format!("no memory at the ring's address {user:#x}")))
        };
        Ok([guest_addr(self.descriptor)?, guest_addr(self.driver)?, guest_addr(self.device)?])
    }
}
