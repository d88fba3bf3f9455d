//! What a front end tells the device, and not its vrings.

use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_util::OwnedChain;

use super::types::{VringBitmap, VringMem, VringQueue};
use super::vring::Vring;
use crate::error::VringError;

/// What a device knows that its vrings need: the features and that there is other memory.
///
/// `vhost-user-backend` tells these to the device alone. The device has one `Queues` for all of its vrings, hands over
/// what it is told, and gets the queues from here:
///
/// | method of the device | call here |
/// | --- | --- |
/// | `acked_features` | [`set_features`](Self::set_features) |
/// | `update_memory` | [`update_memory`](Self::update_memory) |
/// | `handle_event` | [`serve`](Self::serve) or [`queue`](Self::queue) |
///
/// The documentation of the [crate](crate) shows a whole device.
pub struct Queues<B: VringBitmap = ()> {
    inner: Mutex<Inner<B>>,
}

struct Inner<B: VringBitmap> {
    setup: Setup,
    /// Those that have been asked for a queue.
    vrings: Vec<Vring<B>>,
}

/// What queues are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// All that was negotiated.
    pub(crate) features: u64,
    pub(crate) chain_len: Option<u32>,
    pub(crate) budget: usize,
}

impl<B: VringBitmap> Queues<B> {
    /// Returns what makes queues that take chains of as many elements as they have descriptors.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(None, virtio_util::DEFAULT_BUDGET)
    }

    /// Returns what makes queues with these limits: chains have at most `chain_len` elements, which must be at least 1,
    /// and those that are out have at most `budget` elements together. See
    /// [`QueueLimits`](virtio_queue_core::QueueLimits) and [`SharedQueue`](VringQueue#the-budget).
    #[must_use]
    pub const fn with_limits(chain_len: Option<u32>, budget: usize) -> Self {
        let setup = Setup { features: 0, chain_len, budget };
        Self { inner: Mutex::new(Inner { setup, vrings: Vec::new() }) }
    }

    /// Takes note of the features that the driver accepted: all of them.
    ///
    /// Queues that run keep the features that they were made with. Those that are made later have the new ones.
    pub fn set_features(&self, features: u64) {
        self.inner().setup.features = features;
    }

    /// Lets all queues go on in the memory that the front end shares now. Chains that are out keep the memory that they
    /// were fetched from.
    ///
    /// A queue that is not in the new memory is paused: it fetches nothing until the memory is back.
    pub fn update_memory(&self) {
        let vrings = self.inner().vrings.clone();
        vrings.iter().for_each(Vring::update_memory);
    }

    /// Returns the queue of a vring, or `None` if the front end has not started the vring, has not enabled it, or if
    /// the vring has [failed](VringError) before.
    ///
    /// The queue is made by the first call after the front end has started the vring, and ends when the front end stops
    /// it. While the vring is disabled, the queue is paused. Ask for the queue at each kick. To keep it beyond that,
    /// for example on other threads, is allowed: its chains end with it, and `wait_chain` returns `None`.
    ///
    /// # Errors
    ///
    /// If the vring cannot run as it was set up. The front end's error eventfd was signalled.
    pub fn queue(&self, vring: &Vring<B>) -> Result<Option<VringQueue<B>>, VringError> {
        let setup = self.know(vring);
        vring.queue(setup).inspect_err(|_| vring.signal_error())
    }

    /// Hands out each chain that is available in a vring. This is what a device does at each kick.
    ///
    /// The chains are owned: `work` can keep them, send them to another thread, and return them in any order. A chain
    /// that is dropped returns with nothing written.
    ///
    /// The device is called again when there is more: the driver is asked to kick, and the vring is kicked from here
    /// when it is enabled again, when chains return and make room in the [budget](VringQueue#the-budget), and when more
    /// chains are available than the vring has descriptors. The thread serves its other vrings in between.
    ///
    /// # Errors
    ///
    /// As for [`queue`](Self::queue), and if the queue breaks.
    pub fn serve(&self, vring: &Vring<B>, work: impl FnMut(OwnedChain<VringMem<B>>)) -> Result<(), VringError> {
        let setup = self.know(vring);
        vring.serve(setup, work).inspect_err(|_| vring.signal_error())
    }

    /// Remembers a vring, and returns what its queue is made with.
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
