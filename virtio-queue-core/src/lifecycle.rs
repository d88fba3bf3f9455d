//! The end of a queue, and its pauses.
//!
//! A queue that stops is another type for as long as it stops: what may not be done then is not there to be called.
//!
//! ```text
//! Queue ── drain ──> Draining ── suspend ──> Suspended ── resume ──> Queue
//!   │                  │  └──── cancel ──> Queue  │  └──── save ──> SavedQueue ── restore ──> Queue
//!   └──── reset ───────┴────────── reset ─────────┴──> Resetting ── finish ──> (gone; a new Queue may be made)
//! ```

use core::fmt;

use crate::{
    Armed, DriverNotify, FatalError, Queue, QueueState, Restorable, RestoreError, ReturnError, Ring, SavedQueue, Token,
};

impl<R: Ring, N: DriverNotify> Queue<R, N> {
    /// Begins a reset of the queue, or of the device.
    ///
    /// From here on the driver sees nothing of the queue any more: no access, no notification. Chains that are in
    /// flight can only be discarded; a transport shows the reset as ongoing until there are none (VIRTIO 1.4 §2.6.1.1
    /// "Virtqueue Reset", QRST-1, QRST-5).
    pub fn reset(self) -> Resetting<R, N> {
        let (ring, state) = self.into_parts();
        Resetting { ring, state }
    }

    /// Begins to suspend the queue: nothing more is fetched, what is in flight is brought to its end (VIRTIO 1.4 §3.4.2
    /// "Device Requirements: Device Suspend", SUSP-2).
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
/// It keeps the memory alive, because I/O that was begun for a chain in flight may still access its buffers. To drop it
/// is to give that up.
pub struct Resetting<R: Ring, N> {
    ring: R,
    state: QueueState<R, N>,
}

impl<R: Ring, N: DriverNotify> Resetting<R, N> {
    /// Takes a chain in flight back, of which the driver will not hear any more.
    ///
    /// # Errors
    ///
    /// If the token is not for a chain in flight in this queue.
    pub fn discard(&mut self, token: Token) -> Result<(), ReturnError> {
        self.state.discard(token)
    }

    /// Returns how many slots are in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Returns whether nothing is in flight any more, so that the driver may be told that the reset is complete, and
    /// may then free the memory (QRST-6).
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.in_flight() == 0
    }

    /// Ends the reset, and returns what is left: the ring with its handle on the memory, and the notifier. A queue that
    /// is made after this begins from nothing (QRST-2, QRST-3).
    ///
    /// # Errors
    ///
    /// If there are chains in flight: the queue goes on being reset.
    pub fn finish(self) -> Result<(R, N), Self> {
        if self.is_complete() { Ok((self.ring, self.state.into_notify())) } else { Err(self) }
    }
}

impl<R: Ring, N: DriverNotify> fmt::Debug for Resetting<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resetting").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// A queue that is about to be suspended. It fetches nothing, but returns what is in flight.
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

    /// Returns how many slots are in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.state.in_flight()
    }

    /// Suspends the queue, if nothing is in flight any more.
    ///
    /// # Errors
    ///
    /// If there are chains in flight, or if the queue is broken: then it cannot be suspended, and the device should set
    /// DEVICE_NEEDS_RESET (SUSP-3).
    pub fn suspend(mut self) -> Result<Suspended<R, N>, Self> {
        // Nothing may be left behind that was completed and not published.
        if self.in_flight() == 0 && self.state.publish(&self.ring).is_ok() {
            Ok(Suspended { ring: self.ring, state: self.state })
        } else {
            Err(self)
        }
    }

    /// Returns why the queue is broken, if it is.
    #[must_use]
    pub const fn fault(&self) -> Option<FatalError> {
        self.state.fault()
    }

    /// Gives up on suspending: the queue is what it was before. Look at it once without waiting for a notification, if
    /// one may have been ignored meanwhile.
    pub fn cancel(self) -> Queue<R, N> {
        Queue::from_parts(self.ring, self.state)
    }

    /// Gives up on suspending, and begins a reset as [`Queue::reset`] does.
    pub fn reset(self) -> Resetting<R, N> {
        self.cancel().reset()
    }
}

impl<R: Ring, N: DriverNotify> fmt::Debug for Draining<R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

/// A queue that is suspended. It accesses no memory, and does not notify (SUSP-1).
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
    /// Goes on where the queue was. What the driver made available meanwhile was not notified of, so that the second
    /// value has to be looked at; the driver is asked for notifications.
    ///
    /// # Errors
    ///
    /// If an area cannot be accessed, or the driver's part of the ring makes no sense (SUSP-4).
    pub fn resume(self) -> Result<(Queue<R, N>, Armed), FatalError> {
        let mut queue = Queue::from_parts(self.ring, self.state);
        let armed = queue.enable_notifications()?;
        Ok((queue, armed))
    }

    /// Begins a reset as [`Queue::reset`] does. Nothing is in flight.
    pub fn reset(self) -> Resetting<R, N> {
        Queue::from_parts(self.ring, self.state).reset()
    }
}

impl<R: Restorable, N: DriverNotify> Suspended<R, N> {
    /// Returns all that has to be remembered of the queue, to make it again elsewhere.
    #[must_use]
    pub fn save(&self) -> SavedQueue {
        self.ring.save(self.state.positions())
    }
}

impl<R: Restorable, N: DriverNotify> Queue<R, N> {
    /// Makes a queue that goes on where another was when it was saved. `ring` is made from the same configuration.
    ///
    /// Buffers that the other queue had fetched and not returned are lost: they count neither as in flight nor against
    /// a drain. Whoever knows them [adopts](Self::adopt) them.
    ///
    /// The driver is asked for notifications, and is notified once: what it was not told of before may have been lost
    /// on the way. The second value has to be looked at, because what it made available meanwhile was not notified of.
    ///
    /// # Errors
    ///
    /// If what was saved makes no sense in this ring: nothing was written then. If an area cannot be accessed, or the
    /// driver's part of the ring makes no sense.
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
