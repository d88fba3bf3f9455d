//! Chains in flight, recorded for the process that comes after this one.

use core::{fmt, mem};

use virtio_ring::packed::Descriptor;

use crate::{
    Armed, ChainError, ConfigError, Element, FatalError, Head, KeepsDescriptors, Restorable, RestoreError, Ring,
    SavedQueue,
};

/// Records which chains are in flight, where a later process finds it: vhost-user's "Inflight I/O tracking".
///
/// A [`RecordedRing`] calls it in the order that the vhost-user protocol demands, for each chain of a burst as well:
///
/// | when | what |
/// | --- | --- |
/// | a chain was fetched, and nobody has seen it yet | [`fetched`](Self::fetched) |
/// | it was put back | [`unfetched`](Self::unfetched) |
/// | it was returned, before the driver can see that | [`completed`](Self::completed) |
/// | the driver is about to see all that was returned | [`publishing`](Self::publishing) |
/// | the driver can see it | [`published`](Self::published) |
/// | what comes next is asked for, and may be a chain of an earlier process | [`fetch_again`](Self::fetch_again) |
/// | such a chain was put back | [`unfetch_again`](Self::unfetch_again) |
///
/// Whoever reads the record later must distrust it like everything in shared memory.
pub trait Recorder {
    /// Takes note of a chain that was fetched.
    ///
    /// `descriptors` are those of a list in a packed ring, in which used descriptors will be written over them. There
    /// are as many as [`Head::slots`] says. For a split ring there are none: its head is enough to find the chain
    /// again.
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>);

    /// Takes note that the chain that was fetched last is not fetched any more.
    fn unfetched(&mut self, head: Head);

    /// Takes note of a chain that was returned. The driver does not know it yet.
    fn completed(&mut self, head: Head);

    /// Takes note that the driver is about to see what was returned: the used position will be `next_used`.
    fn publishing(&mut self, next_used: u16);

    /// Takes note that the driver can see what was returned.
    fn published(&mut self, next_used: u16);

    /// Returns the next chain that is in flight since an earlier process, in the order of their fetching, and takes
    /// note that it is fetched again. The record has it already.
    ///
    /// The ring fetches these chains before anything else. It must have been restored to the positions that it had with
    /// them in flight. By default there are none.
    fn fetch_again(&mut self) -> Option<Head> {
        None
    }

    /// Takes a chain back that [`fetch_again`](Self::fetch_again) returned, which is the next one again, and returns
    /// whether it was such a chain.
    fn unfetch_again(&mut self, head: Head) -> bool {
        let _ = head;
        false
    }

    /// Returns how many chains [`fetch_again`](Self::fetch_again) would return.
    fn left_to_fetch_again(&self) -> u16 {
        0
    }
}

/// A ring whose chains in flight can be recorded.
pub trait Record: Restorable {
    /// Returns copies of the descriptors that must be stored to find the chain again: see [`Recorder::fetched`].
    ///
    /// # Errors
    ///
    /// If the area cannot be accessed.
    fn stored(&self, head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>>;

    /// Returns the used position that the driver will see when everything that was completed is published.
    fn next_used(&self, positions: &Self::Positions) -> u16;
}

/// A ring that tells a [`Recorder`] of each chain.
///
/// It is a ring around a ring. A queue that records nothing uses the ring `R` as it is, and pays nothing.
///
/// ```
/// use virtio_mem_traits::{DriverAddr, HeapMem};
/// use virtio_queue_core::{
///     AnyRing, DriverNotify, FromConfig, Head, Queue, QueueConfig, RecordedRing, Recorder, RingFeatures, SavedQueue,
/// };
/// use virtio_ring::packed::Descriptor;
///
/// /// Counts. A real one writes into a region that the front end keeps.
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
/// With IN_ORDER, one used element can stand for several chains, and the recorder is told of the last one alone.
/// vhost-user's record does not provide for that: do not negotiate IN_ORDER together with it.
#[derive(Debug)]
pub struct RecordedRing<R, K> {
    ring: R,
    recorder: K,
}

/// The positions of a [`RecordedRing`], with its recorder.
#[derive(Clone, Copy)]
pub struct RecordedPositions<P, K> {
    positions: P,
    recorder: K,
    /// Whether something was completed and not published.
    unpublished: bool,
}

impl<R: Record, K: Recorder + Clone> RecordedRing<R, K> {
    /// Returns `ring` with a recorder. Each life of the queue begins with a clone of it.
    #[must_use]
    pub const fn new(ring: R, recorder: K) -> Self {
        Self { ring, recorder }
    }

    /// Returns the recorder that each life of the queue begins with.
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
            // One that cannot be in flight is none: what was recorded is as little to be trusted as a driver.
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

    fn enable_notifications(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Armed, FatalError> {
        let armed = self.ring.enable_notifications(&mut positions.positions, in_flight)?;
        Ok(if positions.recorder.left_to_fetch_again() == 0 { armed } else { Armed::MoreAvailable })
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        // The ring has never moved for those that are fetched again.
        let unfetched = unfetched.saturating_sub(positions.recorder.left_to_fetch_again());
        self.ring.enable_notifications_of_more(&mut positions.positions, in_flight, unfetched)
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

    fn disown(&self, positions: &mut Self::Positions, head: Head) {
        self.ring.disown(&mut positions.positions, head);
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
