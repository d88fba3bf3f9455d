//! Positions and tokens of a queue of the other format.

use std::rc::Rc;

use virtio_fake_driver::features::RING_PACKED;
use virtio_fake_driver::{Any, DriverChain, Packed, Split};
use virtio_queue_core::{AnyRing, FatalError, FromConfig, QueueLimits, ReturnError, Ring, ServeChain, Walk};

use crate::support::{fetch, start};

/// FEAT-13: a ring that is used with the positions of the other format says so: a mistake on this side, not of the
/// driver.
#[test]
fn positions_of_other_format_refused() {
    let rings = [0, RING_PACKED].map(|features| {
        let fixture = start::<Any>(8, features);
        let config = fixture.driver.queue_config(QueueLimits::default());
        let ring = AnyRing::from_config(&config, Rc::clone(&fixture.mem)).unwrap();
        let positions = ring.activate().unwrap();
        (ring, positions)
    });
    let [(split_ring, mut split), (packed_ring, mut packed)] = rings;
    for (ring, foreign) in [(&split_ring, &mut packed), (&packed_ring, &mut split)] {
        let error = FatalError::ForeignPositions;
        assert_eq!(ring.fetch(foreign, 0), Err(error));
        assert_eq!(ring.complete(foreign, virtio_queue_core::Head::default(), 0), Err(error));
        assert_eq!(ring.serve(foreign, 0, 1, Nothing), Err(error));
        assert_eq!(ring.complete_all(foreign, core::iter::empty(), |_| {}), Err(error));
        assert_eq!(ring.publish(foreign), Err(error));
        assert_eq!(ring.suppress_notifications(foreign), Err(error));
        assert_eq!(ring.enable_notifications(foreign), Err(error));
    }
}

/// QRST-8, GEN-12: tokens of a queue of the other format are refused like those of any other queue.
#[test]
fn tokens_of_other_format_refused() {
    let mut one = start::<Split>(8, 0);
    let mut other = start::<Packed>(8, 0);
    one.driver.add(&DriverChain::new().writable(1)).unwrap();
    other.driver.add(&DriverChain::new().writable(1)).unwrap();
    let (ours, theirs) = (fetch(&mut one.queue), fetch(&mut other.queue));
    let (our_id, their_id) = (ours.id(), theirs.id());
    assert_eq!(one.queue.complete(theirs, 0), Err(ReturnError::Stale { id: their_id }));
    assert_eq!(other.queue.complete(ours, 0), Err(ReturnError::Stale { id: our_id }));
}

/// Work that does nothing.
struct Nothing;

impl ServeChain for Nothing {
    fn serve(&mut self, _: impl Walk) -> u32 {
        0
    }
}
