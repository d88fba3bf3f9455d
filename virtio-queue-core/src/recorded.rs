//! A record of the chains in flight, for a later process.

use core::{fmt, mem};

use virtio_ring::packed::Descriptor;

use crate::config::ConfigError;
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::ring::{KeepsDescriptors, Ring};
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::walk::Element;

/// Records which chains are in flight, so that a later process can continue with them.
///
/// This is "Inflight I/O tracking" of vhost-user.
///
/// A [`RecordedRing`] calls these methods in the order that the vhost-user protocol requires, also for each chain of a
/// burst (RECORD-1):
///
/// | when | method |
/// | --- | --- |
/// | a chain was fetched, and the device has not seen it yet | [`fetched`](Self::fetched) |
/// | a chain was put back | [`unfetched`](Self::unfetched) |
/// | a chain was returned, and the driver cannot see that yet | [`completed`](Self::completed) |
/// | the returned chains will be published next | [`publishing`](Self::publishing) |
/// | the returned chains were published | [`published`](Self::published) |
/// | the device asks for the next chain, which can be one of an earlier process | [`fetch_again`](Self::fetch_again) |
/// | a chain of an earlier process was put back | [`unfetch_again`](Self::unfetch_again) |
///
/// The record is untrusted, like everything in shared memory.
pub trait Recorder {
    /// Records a chain that was fetched.
    ///
    /// In a packed ring, `descriptors` are those of the chain's list, because used descriptors will be written over
    /// them. [`Head::slots`] is the number of them. In a split ring there are none: the head is enough to find the
    /// chain again (RECORD-2).
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>);

    /// Removes the chain that was fetched last: it was put back.
    fn unfetched(&mut self, head: Head);

    /// Records that a chain was returned. The driver cannot see that yet.
    fn completed(&mut self, head: Head);

    /// Records that the returned chains will be published next. The used position will then be `next_used`.
    fn publishing(&mut self, next_used: u16);

    /// Records that the returned chains were published. The used position is `next_used`.
    fn published(&mut self, next_used: u16);

    /// Returns the next chain that an earlier process left in flight, and marks it as fetched again.
    ///
    /// The chains are returned in the order of their fetching. The record contains them already.
    ///
    /// The ring fetches these chains before any other (RECORD-3). The ring must be restored to the positions that it
    /// had with these chains in flight. By default there are no such chains.
    fn fetch_again(&mut self) -> Option<Head> {
        None
    }

    /// Takes back a chain that [`fetch_again`](Self::fetch_again) returned. Returns whether `head` is such a chain.
    ///
    /// The next call of `fetch_again` returns the chain again.
    fn unfetch_again(&mut self, head: Head) -> bool {
        let _ = head;
        false
    }

    /// Returns the number of chains that [`fetch_again`](Self::fetch_again) will return.
    fn left_to_fetch_again(&self) -> u16 {
        0
    }
}

/// A ring whose chains in flight can be recorded.
pub trait Record: Restorable {
    /// Returns copies of the descriptors that must be stored to find the chain again.
    ///
    /// See [`Recorder::fetched`].
    ///
    /// # Errors
    ///
    /// If the area cannot be accessed.
    fn stored(&self, head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>>;

    /// Undoes an [`adopt`](Restorable::adopt): the chain can be adopted again.
    ///
    /// The chain must be in flight, and must be the last one that was adopted.
    fn disown(&self, positions: &mut Self::Positions, head: Head);

    /// Returns the used position that the driver will see when all completed chains are published.
    fn next_used(&self, positions: &Self::Positions) -> u16;
}

/// A ring that calls a [`Recorder`] for each chain.
///
/// It wraps a ring `R`. A queue that records nothing uses the ring `R` directly.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_queue_core::{
///     AnyRing, DriverNotify, FromConfig, Head, Queue, QueueConfig, RecordedRing, Recorder, RingFeatures, SavedQueue,
/// };
/// use virtio_ring::packed::Descriptor;
///
/// /// Counts chains. A real recorder writes into a region that the front end keeps.
/// #[derive(Clone, Default)]
/// struct Count(u32);
///
/// impl Recorder for Count {
///     fn fetched(&mut self, _head: Head, _descriptors: impl Iterator<Item = Descriptor>) {
///         self.0 += 1;
///     }
///
///     fn unfetched(&mut self, _head: Head) {
///         self.0 -= 1;
///     }
///
///     fn completed(&mut self, _head: Head) {}
///     fn publishing(&mut self, _next_used: u16) {}
///
///     fn published(&mut self, _next_used: u16) {
///         self.0 = 0;
///     }
/// }
/// # struct Interrupt;
/// # impl DriverNotify for Interrupt {
/// #     fn notify(&self) {}
/// # }
///
/// let mem = HeapMem::new(DriverAddr(0), 0x1_0000)?;
/// let features = RingFeatures::from_negotiated(1 << 32)?;
/// let config = QueueConfig::new(256, features, DriverAddr(0x1000), DriverAddr(0x2000), DriverAddr(0x3000));
/// let ring = RecordedRing::new(AnyRing::from_config(&config, &mem)?, Count::default());
/// let mut queue = Queue::from_ring(ring, Interrupt)?;
/// assert!(queue.next_chain()?.is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Do not negotiate IN_ORDER together with a record. With IN_ORDER, one used element can stand for several chains, and
/// `completed` is called for the last of them only. The record of vhost-user does not support that.
#[derive(Debug)]
pub struct RecordedRing<R, K> {
    ring: R,
    recorder: K,
}

/// The positions of a [`RecordedRing`], and its recorder.
#[derive(Clone, Copy)]
pub struct RecordedPositions<P, K> {
    positions: P,
    recorder: K,
    /// Whether a chain was completed and not published.
    unpublished: bool,
}

impl<R: Record, K: Recorder + Clone> RecordedRing<R, K> {
    /// Makes a ring that records. Each life of the queue begins with a clone of `recorder`.
    #[must_use]
    pub const fn new(ring: R, recorder: K) -> Self {
        Self { ring, recorder }
    }

    /// Returns the recorder of which each life of the queue gets a clone.
    #[must_use]
    pub const fn recorder(&self) -> &K {
        &self.recorder
    }

    fn begin(&self, positions: R::Positions) -> RecordedPositions<R::Positions, K> {
        RecordedPositions { positions, recorder: self.recorder.clone(), unpublished: false }
    }
}

impl<R: Record, K: Recorder + Clone> Ring for RecordedRing<R, K> {
    type Mem = R::Mem;
    type Positions = RecordedPositions<R::Positions, K>;
    type Walk<'r>
        = R::Walk<'r>
    where
        Self: 'r;
    type Place = R::Place;

    #[inline]
    fn mem(&self) -> &R::Mem {
        self.ring.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.ring.size()
    }

    fn activate(&self) -> Result<Self::Positions, FatalError> {
        self.ring.activate().map(|positions| self.begin(positions))
    }

    #[inline]
    fn fetch(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        while let Some(head) = positions.recorder.fetch_again() {
            // The record is untrusted: a chain that cannot be in flight is skipped.
            if let Some(head) = self.ring.adopt(&mut positions.positions, head, in_flight) {
                return Ok(Some(head));
            }
        }
        let Some(head) = self.ring.fetch(&mut positions.positions, in_flight)? else { return Ok(None) };
        let mut lost = None;
        let stored = self.ring.stored(head).map_while(|item| item.map_err(|error| lost = Some(error)).ok());
        positions.recorder.fetched(head, stored);
        lost.map_or(Ok(Some(head)), Err)
    }

    fn unfetch(&self, positions: &mut Self::Positions, head: Head) -> Result<bool, FatalError> {
        if positions.recorder.unfetch_again(head) {
            self.ring.disown(&mut positions.positions, head);
            return Ok(true);
        }
        let is_last = self.ring.unfetch(&mut positions.positions, head)?;
        if is_last {
            positions.recorder.unfetched(head);
        }
        Ok(is_last)
    }

    #[inline]
    fn walk(&self, head: Head) -> Self::Walk<'_> {
        self.ring.walk(head)
    }

    #[inline]
    fn start(&self, head: Head) -> Self::Place {
        self.ring.start(head)
    }

    #[inline]
    fn next_element(&self, place: &mut Self::Place) -> Option<Result<Element, ChainError>> {
        self.ring.next_element(place)
    }

    #[inline]
    fn complete(&self, positions: &mut Self::Positions, head: Head, written: u32) -> Result<bool, FatalError> {
        let in_flight = self.ring.complete(&mut positions.positions, head, written)?;
        if in_flight {
            positions.recorder.completed(head);
            positions.unpublished = true;
        }
        Ok(in_flight)
    }

    #[inline]
    fn publish(&self, positions: &mut Self::Positions) -> Result<bool, FatalError> {
        let RecordedPositions { positions, recorder, unpublished } = positions;
        if !mem::take(unpublished) {
            return Ok(false);
        }
        let next_used = self.ring.next_used(positions);
        recorder.publishing(next_used);
        let wanted = self.ring.publish(positions)?;
        recorder.published(next_used);
        Ok(wanted)
    }

    fn suppress_notifications(&self, positions: &mut Self::Positions) -> Result<(), FatalError> {
        self.ring.suppress_notifications(&mut positions.positions)
    }

    fn enable_notifications(&self, positions: &mut Self::Positions) -> Result<Armed, FatalError> {
        let armed = self.ring.enable_notifications(&mut positions.positions)?;
        Ok(if positions.recorder.left_to_fetch_again() == 0 { armed } else { Armed::MoreAvailable })
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut Self::Positions,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        // The positions of the ring do not move for chains that are fetched again.
        let unfetched = unfetched.saturating_sub(positions.recorder.left_to_fetch_again());
        self.ring.enable_notifications_of_more(&mut positions.positions, unfetched)
    }
}

impl<R: Record + KeepsDescriptors, K: Recorder + Clone> KeepsDescriptors for RecordedRing<R, K> {}

impl<R: Record, K: Recorder + Clone> Restorable for RecordedRing<R, K> {
    fn in_memory(&self, mem: R::Mem) -> Result<Self, ConfigError> {
        let ring = self.ring.in_memory(mem)?;
        Ok(Self { ring, recorder: self.recorder.clone() })
    }

    fn save(&self, positions: &Self::Positions) -> SavedQueue {
        self.ring.save(&positions.positions)
    }

    fn restore(&self, saved: &SavedQueue) -> Result<Self::Positions, RestoreError> {
        self.ring.restore(saved).map(|positions| self.begin(positions))
    }

    fn adopt(&self, positions: &mut Self::Positions, head: Head, in_flight: u16) -> Option<Head> {
        self.ring.adopt(&mut positions.positions, head, in_flight)
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        self.ring.walk_stored(head, stored)
    }
}

impl<P: fmt::Debug, K> fmt::Debug for RecordedPositions<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedPositions").field("positions", &self.positions).finish_non_exhaustive()
    }
}
