//! Reset, suspend, save and restore.
//!
//! A stopping queue has its own type. That type has only the operations that are allowed in this state.
//!
//! ```text
//! Queue ── drain ──> Draining ── suspend ──> Suspended ── resume ──> Queue
//!   │                  │  └──── cancel ──> Queue  │  └──── save ──> SavedQueue ── restore ──> Queue
//!   └──── reset ───────┴────────── reset ─────────┴──> Resetting ── finish ──> (gone; a new Queue may be made)
//! ```

use core::fmt;

use crate::error::{FatalError, ReturnError};
use crate::notify::{Armed, DriverNotify};
use crate::queue::Queue;
use crate::ring::Ring;
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::state::QueueState;
use crate::token::Token;

impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Begins to reset the queue.
    ///
    /// Call this if the driver resets the queue or the device. From now on, the queue accesses no memory and does not
    /// notify (GEN-5). Chains in flight can only be discarded. While any chain is in flight, the transport must show to
    /// the driver that the reset is not complete (VIRTIO 1.4 §2.6.1.1 "Virtqueue Reset", QRST-1, QRST-5).
    pub fn reset(self) -> Resetting<R, N> {
        let (ring, state) = self.into_parts();
        Resetting { ring, state }
    }

    /// Begins to suspend the queue.
    ///
    /// The queue fetches no more chains, and returns those in flight (VIRTIO 1.4 §3.4.2 "Device Requirements: Device
    /// Suspend", SUSP-2).
    pub fn drain(self) -> Draining<R, N> {
        let (ring, state) = self.into_parts();
        Draining { ring, state }
    }
}

/// A queue that is being reset. It accesses no memory.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let mut queue = fixture.queue;
/// # let driver = &mut fixture.driver;
/// # driver.add(&DriverChain::new().writable(4)).unwrap();
/// let token = queue.next_chain()?.ok_or("nothing is available")?.into_token();
/// let mut resetting = queue.reset();
/// assert!(!resetting.is_complete());
/// resetting.discard(token)?;
/// assert!(resetting.finish().is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// A `Resetting` keeps the memory alive, because I/O for a chain in flight can still access the buffers. Dropping it
/// drops the memory handle as well, so drop it only when no such I/O is left.
pub struct Resetting<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

impl<R: Ring, N: DriverNotify> Resetting<R, N> {
    /// Removes a chain in flight without returning it to the driver.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue.
    pub fn discard(&mut self, token: Token) -> Result<(), ReturnError> {
        self.state.discard(token)
    }

    /// Returns the number of slots in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Returns whether no chain is in flight any more.
    ///
    /// Only then can the transport tell the driver that the reset is complete. After that, the driver can free the
    /// memory (QRST-6, DRV-RST-1, DRV-CFG-7).
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.in_flight() == 0
    }

    /// Ends the reset, and returns the ring and the notifier.
    ///
    /// The ring contains the memory handle. A queue that is made after this starts from the beginning of its rings
    /// (QRST-2, QRST-3, DRV-RST-2).
    ///
    /// # Errors
    ///
    /// If chains are in flight. The error contains the queue, which is still being reset.
    pub fn finish(self) -> Result<(R, N), Self> {
        if self.is_complete() { Ok((self.ring, self.state.into_notify())) } else { Err(self) }
    }
}

impl<R: Ring, N: DriverNotify> fmt::Debug for Resetting<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resetting").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// A queue that is about to be suspended. It fetches no chains, and returns those in flight.
///
/// ```
/// # use virtio_fake_driver::{DriverChain, SplitFixture};
/// # let mut fixture = SplitFixture::new(16);
/// # let mut queue = fixture.queue;
/// # let driver = &mut fixture.driver;
/// # driver.add(&DriverChain::new().writable(4)).unwrap();
/// let token = queue.next_chain()?.ok_or("nothing is available")?.into_token();
/// let mut draining = queue.drain();
/// draining.complete(token, 4)?;
/// assert!(draining.suspend().is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Draining<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

impl<R: Ring, N: DriverNotify> Draining<R, N> {
    /// Returns a chain in flight, as [`Queue::complete`] does.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue, or if the queue is broken.
    pub fn complete(&mut self, token: Token, written: u32) -> Result<(), ReturnError> {
        self.state.complete(&self.ring, token, written)?;
        Ok(self.state.publish(&self.ring)?)
    }

    /// Returns the number of slots in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Suspends the queue, if no chain is in flight any more.
    ///
    /// # Errors
    ///
    /// If chains are in flight, or if the queue is broken. The error contains the queue. A broken queue cannot be
    /// suspended, and the device should set DEVICE_NEEDS_RESET (SUSP-3).
    pub fn suspend(mut self) -> Result<Suspended<R, N>, Self> {
        // Chains that were completed and not published must be published before the suspend.
        if self.in_flight() == 0 && self.state.publish(&self.ring).is_ok() {
            Ok(Suspended { ring: self.ring, state: self.state })
        } else {
            Err(self)
        }
    }

    /// Returns the error that broke the queue, or `None` if the queue is not broken.
    #[must_use]
    pub const fn fault(&self) -> Option<FatalError> {
        self.state.fault()
    }

    /// Cancels the suspend, and returns the queue.
    ///
    /// If the device ignored a notification meanwhile, serve the queue once without waiting for one.
    pub fn cancel(self) -> Queue<R, N> {
        Queue::from_parts(self.ring, self.state)
    }

    /// Cancels the suspend, and begins a reset as [`Queue::reset`] does.
    pub fn reset(self) -> Resetting<R, N> {
        self.cancel().reset()
    }
}

impl<R: Ring, N: DriverNotify> fmt::Debug for Draining<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// A suspended queue.
///
/// It accesses no memory, and does not notify (SUSP-1).
///
/// ```
/// # use virtio_fake_driver::SplitFixture;
/// # let queue = SplitFixture::new(16).queue;
/// use virtio_queue_core::Armed;
///
/// let suspended = queue.drain().suspend().map_err(|_| "a chain is in flight")?;
/// let (_queue, armed) = suspended.resume()?;
/// assert_eq!(armed, Armed::Waiting);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Suspended<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

impl<R: Ring, N: DriverNotify> Suspended<R, N> {
    /// Resumes the queue where it stopped, and asks the driver for notifications.
    ///
    /// Check the returned [`Armed`]: the driver does not notify of chains that it added meanwhile (DRV-SUSP-1,
    /// DRV-SUSP-2).
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed, or if the driver's part of the ring is invalid (SUSP-4).
    pub fn resume(self) -> Result<(Queue<R, N>, Armed), FatalError> {
        let mut queue = Queue::from_parts(self.ring, self.state);
        let armed = queue.enable_notifications()?;
        Ok((queue, armed))
    }

    /// Begins a reset as [`Queue::reset`] does. No chain is in flight.
    pub fn reset(self) -> Resetting<R, N> {
        Queue::from_parts(self.ring, self.state).reset()
    }
}

impl<R: Restorable, N: DriverNotify> Suspended<R, N> {
    /// Returns the positions of the queue, from which [`Queue::restore`] makes it again.
    #[must_use]
    pub fn save(&self) -> SavedQueue {
        self.ring.save(self.state.positions())
    }
}

impl<R: Restorable, N: DriverNotify> Queue<R, N> {
    /// Makes a queue that continues at the positions of a saved one.
    ///
    /// `ring` must be made from the same configuration.
    ///
    /// Chains that the saved queue had fetched and not returned are lost: they do not count as in flight, and do not
    /// hold up a drain (BASE-2). If their heads were recorded, [adopt](Self::adopt) them.
    ///
    /// This asks the driver for notifications. It also notifies the driver once, because a notification of the saved
    /// queue can be lost. Check the returned [`Armed`]: the driver does not notify of chains that it added meanwhile.
    ///
    /// # Errors
    ///
    /// If the positions cannot be those of this ring: nothing was written. If an area cannot be accessed, or if the
    /// driver's part of the ring is invalid.
    pub fn restore(ring: R, notify: N, saved: &SavedQueue) -> Result<(Self, Armed), RestoreError> {
        let positions = ring.restore(saved)?;
        let mut queue = Self::from_parts(ring, QueueState::begin(positions, notify));
        let armed = queue.enable_notifications().map_err(RestoreError::Ring)?;
        queue.notify();
        Ok((queue, armed))
    }
}

impl<R: Ring, N: DriverNotify> fmt::Debug for Suspended<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspended").finish_non_exhaustive()
    }
}
