//! The settings of a vring from the front end, and its queue.

use alloc::sync::Arc;

use virtio_mem_traits::DriverAddr;
use virtio_queue_core::{AnyRing, FromConfig, Queue, QueueConfig, QueueLimits, SavedQueue};
use virtio_ring::RingFeatures;
use virtio_vm_memory::VmMemory;

use super::framework::vm_memory::GuestMemoryMmap;
use super::types::{GuestMem, VringBitmap, VringMem, VringQueue};
use crate::call::Call;
use crate::error::VringError;
use crate::setup::Setup;

/// The state of a vring, under its lock.
#[derive(Debug)]
pub(crate) struct State<B: VringBitmap> {
    limit: u16,
    size: u16,
    areas: Option<[DriverAddr; 3]>,
    /// The position at which the queue starts: the lower half of the base of vhost-user.
    base: u16,
    ready: bool,
    enabled: bool,
    queue: Made<B>,
}

/// Whether the vring has a queue.
#[derive(Debug)]
enum Made<B: VringBitmap> {
    NotYet,
    Runs(Running<B>),
    /// The queue could not be created, and the error was reported.
    Failed,
}

#[derive(Debug)]
struct Running<B: VringBitmap> {
    queue: VringQueue<B>,
    /// The last memory from the front end.
    mem: Arc<GuestMemoryMmap<B>>,
    /// Whether the last memory contains all areas of the queue. If not, the queue still uses the memory before it.
    complete: bool,
}

/// Settings from the front end.
impl<B: VringBitmap> State<B> {
    pub(crate) const fn new(limit: u16) -> Self {
        Self { limit, size: limit, areas: None, base: 0, ready: false, enabled: false, queue: Made::NotYet }
    }

    pub(crate) fn set_size(&mut self, size: u16) {
        self.size = size;
        self.forgive();
    }

    pub(crate) fn set_areas(&mut self, areas: [u64; 3]) {
        self.areas = Some(areas.map(DriverAddr));
        self.forgive();
    }

    /// Sets the base at which the next queue starts. Ends the current queue, if any.
    pub(crate) fn set_base(&mut self, base: u16) {
        self.base = base;
        if let Made::Runs(running) = core::mem::replace(&mut self.queue, Made::NotYet) {
            running.queue.reset();
        }
    }

    pub(crate) fn set_ready(&mut self, ready: bool) {
        self.ready = ready;
        self.settle();
    }

    pub(crate) fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.settle();
    }

    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns whether the front end has started the vring and not stopped it.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Returns whether the front end lets the vring run.
    pub(crate) const fn runs(&self) -> bool {
        self.ready && self.enabled
    }

    /// Allows another attempt to create a queue after a failure, because a setting has changed.
    fn forgive(&mut self) {
        if let Made::Failed = self.queue {
            self.queue = Made::NotYet;
        }
    }

    /// Resumes or pauses the queue to match the settings.
    fn settle(&self) {
        let Made::Runs(running) = &self.queue else { return };
        if self.runs() && running.complete {
            running.queue.resume();
        } else {
            running.queue.pause();
        }
    }
}

/// The queue of the vring.
impl<B: VringBitmap> State<B> {
    /// Returns the queue. Creates it if there is none and the vring runs.
    pub(crate) fn queue(
        &mut self,
        setup: Setup,
        mem: &GuestMem<B>,
        call: &Call,
    ) -> Result<Option<VringQueue<B>>, VringError> {
        let (true, Some(areas)) = (self.runs(), self.areas) else { return Ok(None) };
        if let Made::NotYet = self.queue {
            // The queue counts as failed until it is created.
            self.queue = Made::Failed;
            self.queue = Made::Runs(self.make(areas, setup, VmMemory::from(mem), call.clone())?);
        }
        self.update_memory(mem);
        Ok(self.running().cloned())
    }

    fn make(
        &self,
        [descriptor, driver, device]: [DriverAddr; 3],
        setup: Setup,
        mem: VringMem<B>,
        call: Call,
    ) -> Result<Running<B>, VringError> {
        let features = RingFeatures::from_negotiated(setup.features)?;
        let mut config = QueueConfig::new(self.size, features, descriptor, driver, device);
        config.limits = QueueLimits { queue_size: self.limit, chain_len: setup.chain_len };
        let saved = SavedQueue::from_vring_base(self.whole_base(features), features)?;
        let ring = AnyRing::from_config(&config, mem.clone())?;
        // The result does not matter: every caller that asks for the queue looks for chains.
        let (queue, _) = Queue::restore(ring, call, &saved)?;
        let queue = VringQueue::with_budget(queue, setup.budget);
        Ok(Running { queue, mem: Arc::clone(mem.handle()), complete: true })
    }

    /// Returns the full base, including the half that the framework cuts off from the base of a packed ring.
    ///
    /// The missing half is the used position. It is the same as the available position, because a vring stops only when
    /// no chain is in flight.
    fn whole_base(&self, features: RingFeatures) -> u32 {
        let base = u32::from(self.base);
        if features.contains(RingFeatures::RING_PACKED) { base << 16 | base } else { base }
    }

    /// Moves the queue to the current memory, if it has changed.
    ///
    /// If the memory does not contain the whole ring, the queue is paused until a memory does.
    pub(crate) fn update_memory(&mut self, mem: &GuestMem<B>) {
        let Made::Runs(running) = &mut self.queue else { return };
        let mem = VmMemory::from(mem);
        if Arc::ptr_eq(mem.handle(), &running.mem) {
            return;
        }
        running.mem = Arc::clone(mem.handle());
        running.complete = running.queue.replace_mem(mem).is_ok();
        self.settle();
    }

    pub(crate) const fn running(&self) -> Option<&VringQueue<B>> {
        match &self.queue {
            Made::Runs(running) => Some(&running.queue),
            Made::NotYet | Made::Failed => None,
        }
    }

    /// Returns the position of the queue. Returns `None` if the front end has not started the vring or has stopped it.
    pub(crate) fn started_position(&self) -> Option<u16> {
        self.ready.then(|| self.position())
    }

    /// Returns the position of the queue.
    fn position(&self) -> u16 {
        let saved = self.running().and_then(VringQueue::save);
        saved.map_or(self.base, |saved| saved.next_available())
    }

    /// Ends the queue, and records its position. No chain must be in flight.
    pub(crate) fn end(&mut self) -> u16 {
        let position = self.position();
        self.set_base(position);
        position
    }
}
