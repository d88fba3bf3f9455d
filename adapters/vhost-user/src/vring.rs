//! One ring, as the front end sets it up.

use std::io;
use std::sync::Arc;

use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{
    DriverNotify, FromConfig, Queue, QueueConfig, QueueLimits, Restorable, RingFeatures, SavedQueue,
};
use virtio_util::EventFd;

use super::event::Call;
use super::memory::{GuestMem, Memory};
use super::worker::Lane;
use crate::report::report;

/// A ring in one of the formats.
pub(super) trait VringRing: FromConfig + Restorable<Mem = GuestMem, Positions: Send> + Send + 'static {}

impl<R: FromConfig + Restorable<Mem = GuestMem, Positions: Send> + Send + 'static> VringRing for R {}

/// What a front end has said of a ring, in any order.
#[derive(Debug, Default)]
pub(super) struct Vring {
    pub(super) size: u16,
    pub(super) areas: Option<Areas>,
    /// Where to begin: at the beginning, if nothing is said.
    pub(super) base: Option<SavedQueue>,
    pub(super) kick: Option<Arc<EventFd>>,
    pub(super) call: Call,
    pub(super) error: Call,
    pub(super) enabled: bool,
}

/// Where a ring is, in the addresses of the front end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas {
    pub(super) descriptor: u64,
    pub(super) driver: u64,
    pub(super) device: u64,
}

/// What the rings of a device have in common.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) memory: Memory,
    /// The features that the driver accepted.
    pub(super) accepted: u64,
    /// Those of them that concern the rings.
    pub(super) features: RingFeatures,
    pub(super) limits: QueueLimits,
    pub(super) polls: u32,
}

impl Vring {
    /// Returns the ring that would run in `setup`, which touches no memory.
    ///
    /// # Errors
    ///
    /// If it could not.
    pub(super) fn ring<R: VringRing>(&self, setup: &Setup) -> io::Result<R> {
        R::from_config(&self.config(setup)?, setup.memory.table()).map_err(io::Error::other)
    }

    fn config(&self, setup: &Setup) -> io::Result<QueueConfig> {
        let areas = self.areas.ok_or_else(|| io::Error::other("nobody said where the ring is"))?;
        let [descriptor_area, driver_area, device_area] = areas.in_guest(&setup.memory)?;
        // What serves a ring returns chains in their order by itself. Of what else IN_ORDER allows, one used element
        // for many chains, neither DPDK's driver nor libblkio's knows.
        let features = setup.features.difference(RingFeatures::IN_ORDER);
        let mut config = QueueConfig::new(self.size, features, descriptor_area, driver_area, device_area);
        config.limits = setup.limits;
        Ok(config)
    }

    /// Returns the ring as it runs, from where it was, if all has been said for that. It is the one at `place` of those
    /// that belong together.
    ///
    /// # Errors
    ///
    /// If it cannot run like that.
    pub(super) fn lane<R: VringRing>(&self, name: String, place: usize, setup: &Setup) -> io::Result<Option<Lane<R>>> {
        let (Some(kick), true, true) = (&self.kick, self.enabled, self.areas.is_some()) else { return Ok(None) };
        let (ring, call) = (self.ring::<R>(setup)?, self.call.clone());
        let queue = match self.base {
            // Whether there is work already makes no difference: a worker looks before it waits.
            Some(base) => Queue::restore(ring, call, &base).map_err(io::Error::other)?.0,
            None => Queue::from_ring(ring, call).map_err(io::Error::other)?,
        };
        Ok(Some(Lane::new(name, place, queue, Arc::clone(kick), self.error.clone())))
    }

    /// Takes note of where the ring stopped. It goes on from there.
    ///
    /// A broken ring is nowhere and does not: it has to be set up again, with a new kick.
    pub(super) fn stopped_at(&mut self, base: Option<SavedQueue>) {
        self.base = base;
        if base.is_none() {
            self.kick = None;
        }
    }

    /// Tells everybody that the ring `name` cannot go on, and is broken.
    pub(super) fn end(&mut self, name: &str, fault: &io::Error) {
        report(format_args!("{name} is broken: {fault}"));
        self.error.notify();
        self.stopped_at(None);
    }
}

impl Areas {
    /// Returns the three addresses as the guest knows them.
    ///
    /// # Errors
    ///
    /// If one is not in memory.
    pub(super) fn in_guest(self, memory: &Memory) -> io::Result<[DriverAddr; 3]> {
        let guest_addr = |user| {
            memory
                .guest_addr(user)
                .ok_or_else(|| io::Error::other(format!("no memory at the ring's address {user:#x}")))
        };
        Ok([guest_addr(self.descriptor)?, guest_addr(self.driver)?, guest_addr(self.device)?])
    }
}
