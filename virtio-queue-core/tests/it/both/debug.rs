//! What queues and their positions show of themselves.

use virtio_fake_driver::{DriverChain, Split};
use virtio_queue_core::{Head, InOrderRing, OrderSlot, Queue, RecordedRing, Recorder, Ring};
use virtio_ring::packed::Descriptor;
use virtio_util::NotificationCounter;

use crate::support::{fetch, start};

/// Records nothing.
#[derive(Clone)]
struct Nowhere;

impl Recorder for Nowhere {
    fn fetched(&mut self, _head: Head, _descriptors: impl Iterator<Item = Descriptor>) {}
    fn unfetched(&mut self, _head: Head) {}
    fn completed(&mut self, _head: Head) {}
    fn publishing(&mut self, _next_used: u16) {}
    fn published(&mut self, _next_used: u16) {}
}

/// In each state of its life, a queue shows how much is in flight.
#[test]
fn queue_shows_what_is_in_flight() {
    let fixture = || {
        let mut fixture = start::<Split>(8, 0);
        fixture.driver.add(&DriverChain::new().writable(1)).unwrap();
        let token = fetch(&mut fixture.queue);
        (fixture.queue, token)
    };
    let (queue, token) = fixture();
    let shown = format!("{queue:?}");
    assert!(shown.contains("QueueState {") && shown.contains("in_flight: 1, fault: None"), "{shown}");
    let mut draining = queue.drain();
    assert_eq!(format!("{draining:?}"), "Draining { in_flight: 1, .. }");
    draining.complete(token, 1).unwrap();
    assert_eq!(format!("{:?}", draining.suspend().unwrap()), "Suspended { .. }");
    let (queue, _token) = fixture();
    assert_eq!(format!("{:?}", queue.reset()), "Resetting { in_flight: 1, .. }");
}

/// The positions of a ring around another one show those of the inner one.
#[test]
fn positions_show_those_within() {
    let (queue, _) = start::<Split>(8, 0).queue.into_parts();
    let recorded = RecordedRing::new(queue, Nowhere);
    let ordered = InOrderRing::<_, Vec<OrderSlot>>::new(recorded, true).unwrap();
    let shown = format!("{:?}", ordered.activate().unwrap());
    let (start, end) = (
        "InOrderPositions { positions: RecordedPositions { positions: SplitPositions {",
        "in_flight: 0, held: 0, .. }",
    );
    assert!(shown.starts_with(start) && shown.ends_with(end), "{shown}");
    assert!(Queue::from_ring(ordered, NotificationCounter::new()).is_ok());
}
