//! Chains of an earlier process that are left to be fetched again.

use virtio_fake_driver::{DriverChain, Split};
use virtio_queue_core::Armed;

use super::files::create;
use super::*;
use crate::inflight::any::{AnyRecorder, Kind};

/// RECORD-3: a ring cannot say where it is before all of them were fetched again. Chains that are put back are left
/// again. If the other process returned all chains in order, none is left: the ring goes back to where they are.
#[test]
fn chains_are_left_until_they_were_fetched_again() {
    for returned in 0..3 {
        let mem = Memory::new();
        let mut driver = driver::<Split>(&mem, 8, None);
        let config = config(&driver);
        let (_, record) = create(1, 8);
        let begin = || {
            let ring = RingOf::<Split>::from_config(&config, Rc::clone(&mem)).unwrap();
            let part = record.queue::<RingOf<Split>>(0).unwrap();
            let (recorder, saved) = ring.resume(&config, part, start::<Split>(&config, None)).unwrap();
            let recorder = AnyRecorder(Kind::Split(recorder));
            let left = recorder.left();
            let again = RecordedRing::new(ring, recorder);
            (Queue::restore(again, NotificationCounter::new(), &saved).unwrap().0, left)
        };
        let (mut queue, _) = begin();
        let mut tokens = Vec::new();
        for _ in 0..3 {
            driver.add(&DriverChain::new().writable(1)).unwrap();
            tokens.push(queue.next_chain().unwrap().unwrap().into_token());
        }
        queue.complete(tokens.remove(returned), 0).unwrap();

        let (mut queue, left) = begin();
        let in_order = returned == 0;
        assert_eq!((left.is_nothing(), queue.enable_notifications()), (in_order, Ok(Armed::MoreAvailable)));
        let _first = queue.next_chain().unwrap().unwrap().into_token();
        assert_eq!(left.is_nothing(), in_order);
        let second = queue.next_chain().unwrap().unwrap().into_token();
        assert_eq!((left.is_nothing(), queue.enable_notifications()), (true, Ok(Armed::Waiting)));
        queue.unfetch(second).unwrap();
        assert_eq!(left.is_nothing(), in_order);
        let _second = queue.next_chain().unwrap().unwrap().into_token();
        // A chain of this process is not one of the other's.
        driver.add(&DriverChain::new().writable(1)).unwrap();
        queue.next_chain().unwrap().unwrap().unfetch().unwrap();
        assert!(left.is_nothing());
    }
}
