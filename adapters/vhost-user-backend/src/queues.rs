//! The data that the framework gives to the device but not to its vrings.

use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_util::OwnedChain;

use super::types::{VringBitmap, VringMem, VringQueue};
use super::vring::Vring;
use crate::error::VringError;
use crate::setup::Setup;

/// The queues of a device, with the features and the memory that all vrings share.
///
/// `vhost-user-backend` reports features and memory changes only to the device. A device has one `Queues` for all of
/// its vrings. It passes these reports on, and gets the queues from here:
///
/// | method of the device | call here |
/// | --- | --- |
/// | `acked_features` | [`set_features`](Self::set_features) |
/// | `update_memory` | [`update_memory`](Self::update_memory) |
/// | `handle_event` | [`serve`](Self::serve) or [`queue`](Self::queue) |
///
/// The [crate](crate) documentation shows a whole device.
pub struct Queues<B: VringBitmap = ()> {
    inner: Mutex<Inner<B>>,
}

struct Inner<B: VringBitmap> {
    setup: Setup,
    /// The vrings for which a queue was requested.
    vrings: Vec<Vring<B>>,
}

impl<B: VringBitmap> Queues<B> {
    /// Creates queues whose chains can have as many elements as the queue has descriptors.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(None, virtio_util::DEFAULT_BUDGET)
    }

    /// Creates queues with limits. A chain has at most `chain_len` elements, which must be at least 1. The chains that
    /// are out have at most `budget` elements in total. See [`QueueLimits`](virtio_queue_core::QueueLimits) and
    /// [`SharedQueue`](VringQueue#the-budget).
    #[must_use]
    pub const fn with_limits(chain_len: Option<u32>, budget: usize) -> Self {
        let setup = Setup { features: 0, chain_len, budget };
        Self { inner: Mutex::new(Inner { setup, vrings: Vec::new() }) }
    }

    /// Sets the features that the driver accepted. Pass all of them.
    ///
    /// Running queues keep their features. Queues that are created later have the new features.
    pub fn set_features(&self, features: u64) {
        self.inner().setup.features = features;
    }

    /// Moves all queues to the memory that the front end shares now. Chains that are out keep their old memory.
    ///
    /// If the new memory does not contain a queue, the queue is paused until a later memory contains it.
    pub fn update_memory(&self) {
        let vrings = self.inner().vrings.clone();
        vrings.iter().for_each(Vring::update_memory);
    }

    /// Returns the queue of a vring. Returns `None` if the front end has not started or not enabled the vring, or if
    /// the vring has [failed](VringError) before.
    ///
    /// The first call after the front end has started the vring creates the queue. The queue ends when the front end
    /// stops the vring. While the vring is disabled, the queue is paused. Call this on each kick. You can also keep the
    /// queue longer, for example on other threads. After its end, its chains cannot be returned, and `wait_chain`
    /// returns `None`.
    ///
    /// # Errors
    ///
    /// If the vring cannot run with its settings. The error eventfd of the front end was signalled.
    pub fn queue(&self, vring: &Vring<B>) -> Result<Option<VringQueue<B>>, VringError> {
        let setup = self.know(vring);
        vring.queue(setup).inspect_err(|_| vring.signal_error())
    }

    /// Passes each available chain of a vring to `work`. Call it on each kick.
    ///
    /// The chains are owned: `work` can keep them, send them to another thread, and return them in any order. A dropped
    /// chain returns with nothing written.
    ///
    /// The framework calls the device again when more chains are available. For that, this call asks the driver to
    /// kick. The vring also kicks itself in three cases: when it is enabled again, when returned chains make room in
    /// the [budget](VringQueue#the-budget), and when more chains are available than the vring has descriptors. The
    /// thread serves its other vrings in between.
    ///
    /// # Errors
    ///
    /// As for [`queue`](Self::queue). Also if the queue breaks.
    pub fn serve(&self, vring: &Vring<B>, work: impl FnMut(OwnedChain<VringMem<B>>)) -> Result<(), VringError> {
        let setup = self.know(vring);
        vring.serve(setup, work).inspect_err(|_| vring.signal_error())
    }

    /// Records a vring, and returns the data that creates its queue.
    fn know(&self, vring: &Vring<B>) -> Setup {
        let mut inner = self.inner();
        if !inner.vrings.iter().any(|known| known.is_same(vring)) {
            inner.vrings.push(vring.clone());
        }
        inner.setup
    }

    fn inner(&self) -> MutexGuard<'_, Inner<B>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: VringBitmap> Default for Queues<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: VringBitmap> fmt::Debug for Queues<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("setup", &self.inner().setup).finish_non_exhaustive()
    }
}
