//! Many chains at once, under the lock.

use core::fmt;

use virtio_queue_core::{Burst, BurstChain, DriverNotify, FatalError, Queue, ReturnError, Token};

use super::SharedRing;
use super::state::Phase;

/// A [`Burst`] on a shared queue, for as long as it is locked.
///
/// Its chains are borrowed, and published together at its end. Nothing is available while the queue is
/// [paused](crate::SharedQueue::pause), or once it has come to its [end](crate::SharedQueue#the-end-of-a-queue).
pub struct SharedBurst<'q, R: SharedRing, N: DriverNotify> {
    source: Source<'q, R, N>,
    paused: bool,
    /// Whether there is a chain that was put back and that nobody has seen.
    unseen: &'q mut bool,
}

/// Where a burst has its chains from.
enum Source<'q, R: SharedRing, N: DriverNotify> {
    Queue(Burst<'q, R, N>),
    /// A queue that is being reset, or is taken out.
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

    /// Returns the next available chain, if there is one.
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

    /// Returns the chain that a token stands for, as [`Queue::complete`] does.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken, is being reset, or is taken
    /// out.
    #[inline]
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        match &mut self.source {
            Source::Queue(burst) => burst.complete(token, written),
            Source::Nowhere(phase) => phase.discard(token),
        }
    }

    /// Publishes what was held back until now, notifies the driver if it wants that, and goes on.
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

    /// Ends the burst as its drop does, and says if that failed.
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
