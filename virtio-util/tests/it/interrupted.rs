//! A ring in which the unlikely happens.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use virtio_mem_traits::AreaError;
use virtio_queue_core::split::{SplitPlace, SplitPositions, SplitRing, SplitWalk};
use virtio_queue_core::{Armed, ChainError, Element, FatalError, FromConfig, Head, QueueLimits, Ring};

use crate::rig::{Mem, Rig};

/// What a ring says whose areas are lost.
pub(crate) const LOST: FatalError = FatalError::Area(AreaError::OutOfRange { offset: 0, size: 2, len: 0 });

/// A split ring in which something else happens at an awkward moment, once, and whose areas can be lost.
pub(crate) struct Interrupted {
    ring: SplitRing<Mem>,
    moment: Moment,
    pub(crate) event: Arc<Mutex<Option<Event>>>,
    /// Whether the areas are lost.
    pub(crate) lost: Arc<AtomicBool>,
}

pub(crate) type Event = Box<dyn FnOnce() + Send>;

/// The moment: after a look that found nothing.
#[derive(PartialEq)]
pub(crate) enum Moment {
    AfterFetch,
    AfterArming,
}

impl Interrupted {
    pub(crate) fn new(rig: &Rig, moment: Moment) -> Self {
        let config = rig.driver.queue_config(QueueLimits::default());
        let ring = SplitRing::from_config(&config, Arc::clone(&rig.mem)).unwrap();
        Self { ring, moment, event: Arc::default(), lost: Arc::default() }
    }

    fn check(&self) -> Result<(), FatalError> {
        if self.lost.load(Ordering::Relaxed) { Err(LOST) } else { Ok(()) }
    }

    fn reached(&self, moment: Moment) {
        if self.moment == moment {
            if let Some(event) = self.event.lock().unwrap().take() {
                event();
            }
        }
    }
}

impl Ring for Interrupted {
    type Mem = Mem;
    type Positions = SplitPositions;
    type Walk<'r> = SplitWalk<'r, Mem>;
    type Place = SplitPlace;

    fn mem(&self) -> &Mem {
        self.ring.mem()
    }

    fn size(&self) -> u16 {
        self.ring.size()
    }

    fn activate(&self) -> Result<SplitPositions, FatalError> {
        self.ring.activate()
    }

    fn walk(&self, head: Head) -> Self::Walk<'_> {
        self.ring.walk(head)
    }

    fn start(&self, head: Head) -> SplitPlace {
        self.ring.start(head)
    }

    fn next_element(&self, place: &mut SplitPlace) -> Option<Result<Element, ChainError>> {
        self.ring.next_element(place)
    }

    fn fetch(&self, positions: &mut SplitPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        let fetched = self.ring.fetch(positions, in_flight)?;
        if fetched.is_none() {
            self.reached(Moment::AfterFetch);
        }
        Ok(fetched)
    }

    fn unfetch(&self, positions: &mut SplitPositions, head: Head) -> Result<bool, FatalError> {
        self.check()?;
        self.ring.unfetch(positions, head)
    }

    fn complete(&self, positions: &mut SplitPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.ring.complete(positions, head, written)
    }

    fn publish(&self, positions: &mut SplitPositions) -> Result<bool, FatalError> {
        self.check()?;
        self.ring.publish(positions)
    }

    fn suppress_notifications(&self, positions: &mut SplitPositions) -> Result<(), FatalError> {
        self.check()?;
        self.ring.suppress_notifications(positions)
    }

    fn enable_notifications(&self, positions: &mut SplitPositions) -> Result<Armed, FatalError> {
        let armed = self.ring.enable_notifications(positions)?;
        if armed == Armed::Waiting {
            self.reached(Moment::AfterArming);
        }
        Ok(armed)
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut SplitPositions,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        self.ring.enable_notifications_of_more(positions, unfetched)
    }
}
