//! Bursts: many chains that are published together.

use core::fmt;

use crate::chain::{DescChain, ReturnTo};
use crate::error::{FatalError, Refused, ReturnError};
use crate::notify::DriverNotify;
use crate::ring::Ring;
use crate::state::QueueState;
use crate::token::Token;

/// A run of chains that are published together at its end.
///
/// The burst holds back each chain that is returned. At its end it publishes all of them, and notifies the driver at
/// most once. So all buffers of a network packet become visible together (PACK-MB-2, USER-1).
///
/// A burst ends with [`finish`](Self::finish), or when it is dropped.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let queue = &mut fixture.queue;
/// # let driver = &mut fixture.driver;
/// # driver.add(&DriverChain::new().writable(1)).unwrap();
/// # driver.add(&DriverChain::new().writable(1)).unwrap();
/// let mut burst = queue.burst();
/// while let Some(chain) = burst.next_chain()? {
///     chain.return_written(0)?;
/// }
/// burst.finish()?;
/// assert_eq!(fixture.notifications.count(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Burst<'q, R: Ring, N: DriverNotify> {
    ring: &'q R,
    state: &'q mut QueueState<R, N>,
}

/// A chain whose return is held back until the end of its burst.
pub type BurstChain<'b, R, N> = DescChain<'b, R, ReturnToBurst<'b, R, N>>;

/// The place where the chains of a [`Burst`] return to.
pub struct ReturnToBurst<'b, R: Ring, N>(&'b mut QueueState<R, N>);

/// Publishes the chain at the end of the burst.
impl<R: Ring, N: DriverNotify> ReturnTo<R> for ReturnToBurst<'_, R, N> {
    #[inline(always)]
    fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        self.0.complete(ring, token, written)
    }

    fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        self.0.unfetch(ring, token)
    }
}

impl<'q, R: Ring, N: DriverNotify> Burst<'q, R, N> {
    /// Begins a burst on the two parts of a queue.
    #[inline]
    pub fn new(ring: &'q R, state: &'q mut QueueState<R, N>) -> Self {
        Self { ring, state }
    }

    /// Returns the next available chain, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`Queue::next_chain`](crate::Queue::next_chain). Chains held back so far will not be published.
    #[inline]
    pub fn next_chain(&mut self) -> Result<Option<BurstChain<'_, R, N>>, FatalError> {
        let fetched = self.state.fetch(self.ring)?;
        Ok(fetched.map(|token| DescChain::new(self.ring, token, ReturnToBurst(self.state))))
    }

    /// Returns the chain of a token, as [`Queue::complete`](crate::Queue::complete) does.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    #[inline]
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        self.state.complete(self.ring, token, written)
    }

    /// Puts the chain of a token back, as if it had not been fetched.
    ///
    /// # Errors
    ///
    /// As for [`Queue::unfetch`](crate::Queue::unfetch).
    #[inline]
    pub fn unfetch(&mut self, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        self.state.unfetch(self.ring, token)
    }

    /// Publishes the chains held back so far, and notifies the driver if the driver wants that. The burst continues.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn flush(&mut self) -> Result<(), FatalError> {
        self.state.publish(self.ring)
    }

    /// Ends the burst as its drop does, and returns the error if that fails.
    ///
    /// # Errors
    ///
    /// If the queue is broken.
    #[inline]
    pub fn finish(mut self) -> Result<(), FatalError> {
        self.flush()
    }
}

impl<R: Ring, N: DriverNotify> Drop for Burst<'_, R, N> {
    #[inline]
    fn drop(&mut self) {
        // A broken queue cannot publish. It has reported the fault already, or will do so.
        let _ = self.flush();
    }
}

impl<R: Ring<Positions: fmt::Debug>, N: DriverNotify> fmt::Debug for Burst<'_, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Burst").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<R: Ring<Positions: fmt::Debug>, N> fmt::Debug for ReturnToBurst<'_, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
