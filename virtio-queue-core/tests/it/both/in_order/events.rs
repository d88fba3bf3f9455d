//! Events that a driver waits for, among what a batch skips.

use virtio_fake_driver::DriverChain;
use virtio_fake_driver::features::EVENT_IDX;
use virtio_fake_driver::packed::EventSuppression;

use super::{packed_rig, split_rig};
use crate::support::packed::off_wrap;

/// SPLIT-ORD-8, EVA-2: an event anywhere among the entries of a batch notifies, and none outside.
#[test]
fn split_event_on_skipped_entry_notifies() {
    for event in 0..8 {
        let (mut rig, raw) = split_rig(EVENT_IDX);
        let mut tokens = rig.fetch(&[(); 6].map(|()| DriverChain::new().writable(1)));
        rig.queue.complete(tokens[0].take().unwrap(), 1).unwrap();
        rig.notifications.take();
        raw.set_used_event(event);
        for at in [4, 3, 2, 1] {
            assert_eq!(rig.notifications.count(), 0);
            rig.queue.complete(tokens[at].take().unwrap(), 1).unwrap();
        }
        assert_eq!(rig.notifications.count(), usize::from((1..=4).contains(&event)), "{event}");
    }
}

/// PACK-EVT-9, EVA-9, PACK-INO-2: the same on slots, those inside of lists as well.
#[test]
fn packed_event_on_skipped_slot_notifies() {
    for start_at in 0..14_u32 {
        for event in 0..14_u32 {
            let (mut rig, raw) = packed_rig(7, EVENT_IDX);
            rig.advance(start_at);
            let lists = [1, 2, 1, 2].map(|len| DriverChain::new().writable_cut(len, &vec![1; len as usize]));
            let mut tokens = rig.fetch(&lists);
            rig.notifications.take();
            let wanted = off_wrap(7, event);
            raw.set_driver_events(EventSuppression { off_wrap: wanted, flags: EventSuppression::DESC });
            for (at, len) in [(2, 1), (1, 2), (0, 1)] {
                assert_eq!(rig.notifications.count(), 0);
                rig.queue.complete(tokens[at].take().unwrap(), len).unwrap();
            }
            let passed = (start_at..start_at + 4).any(|position| off_wrap(7, position) == wanted);
            assert_eq!(rig.notifications.count(), usize::from(passed), "{event} from {start_at}");
        }
    }
}
