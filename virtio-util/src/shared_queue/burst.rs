//! Many chains under one lock.

use core::fmt;

use virtio_queue_core::{Burst, BurstChain, DriverNotify, FatalError, Queue, ReturnError, Token};

use super::phase::Phase;
use super::ring::SharedRing;

/// A [`Burst`] on a shared queue, which is locked meanwhile.
///
/// Its chains are borrowed. The burst publishes them together at its end. It finds no chain while the queue is
/// [paused](crate::SharedQueue::pause), or after the [end](crate::SharedQueue#the-end-of-a-queue) of the queue.
pub struct SharedBurst<'q, R: SharedRing, N: DriverNotify> {
    source: Source<'q, R, N>,
    paused: bool,
    /// Whether the queue put back a chain that the device has not seen.
    unseen: &'q mut bool,
}

/// The source of the chains of a burst.
enum Source<'q, R: SharedRing, N: DriverNotify> {
    Queue(Burst<'q, R, N>),
    /// A queue that is being reset or is taken out.
    Nowhere(&'q mut Phase<R, N>),
}

impl<'q, R: SharedRing, N: DriverNotify> SharedBurst<'q, R, N> {
    #[inline]
    pub(super) fn new(phase: &'q mut Phase<R, N>, paused: bool, unseen: &'q mut bool) -> Self {
        let source = match phase {
            Phase::Running(queue) => Source::Queue(Queue::burst(queue)),
            _ => Source::Nowhere(phase),
        };
        Self { source, paused, unseen }
    }

    /// Returns the next available chain, or `None`.
    ///
    /// # Errors
    ///
    /// As for [`Burst::next_chain`].
    #[inline]
    pub fn next_chain(&mut self) -> Result<Option<BurstChain<'_, R, N>>, FatalError> {
        match &mut self.source {
            Source::Queue(burst) if !self.paused => {
                *self.unseen = false;
                burst.next_chain()
            }
            _ => Ok(None),
        }
    }

    /// Returns the chain of a token to the driver, as [`Queue::complete`] does.
    ///
    /// # Errors
    ///
    /// If the token does not belong to a chain in flight in this queue. If the queue is broken, is being reset, or is
    /// taken out.
    #[inline]
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        match &mut self.source {
            Source::Queue(burst) => burst.complete(token, written),
            Source::Nowhere(phase) => phase.discard(token),
        }
    }

    /// Publishes the chains held back so far, and notifies the driver if it wants it. The burst stays usable.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn flush(&mut self) -> Result<(), FatalError> {
        match &mut self.source {
            Source::Queue(burst) => burst.flush(),
            Source::Nowhere(_) => Ok(()),
        }
    }

    /// Ends the burst as its drop does, and reports an error.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn finish(mut self) -> Result<(), FatalError> {
        self.flush()
    }
}

impl<R: SharedRing, N: DriverNotify> fmt::Debug for SharedBurst<'_, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBurst").field("paused", &self.paused).finish_non_exhaustive()
    }
}
