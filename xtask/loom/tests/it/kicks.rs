//! A driver that makes something available while the device is about to sleep.

use loom::thread;
use loom_models::{Device, Rig, check};
use virtio_queue_core::Armed;

use crate::support::{serve, serve_all};

/// Fetches and serves a chain, if there is one.
fn serve_next(queue: &mut Device) -> bool {
    queue.next_chain().unwrap().map(serve).is_some()
}

/// A device does `work` that finds out whether there is a chain, while the driver makes the second one available.
fn check_kick(prepare: fn(&mut Device), work: fn(&mut Device) -> bool) {
    check(move |mut rig: Rig| {
        let mut queue = rig.device();
        rig.add(0);
        assert!(serve_next(&mut queue));
        assert!(rig.driver.needs_kick(), "a new queue wants to be kicked");
        prepare(&mut queue);
        let device = thread::spawn(move || (work(&mut queue), queue));
        rig.add(1);
        let kicked = rig.driver.needs_kick();
        let (found, _queue) = device.join().unwrap();
        assert!(found || kicked, "a kick was lost");
    });
}

/// BAR-2, BAR-6, SPLIT-ANOT-7, PACK-EVT-7, DRV-BAR-2, DRV-PBAR-2: either the device finds the chain when it looks once
/// more, or the driver sees that it has to kick.
#[test]
fn enabling_against_a_publish_loses_no_kick() {
    let enable = |queue: &mut Device| match queue.enable_notifications().unwrap() {
        Armed::Waiting => false,
        Armed::MoreAvailable => {
            assert!(serve_next(queue), "what was seen can be fetched");
            true
        }
    };
    check_kick(Device::suppress_notifications, enable);
}

/// BAR-2, BAR-6, SPLIT-ANOT-6: a fetch that finds nothing leaves the driver asked for the next chain.
#[test]
fn fetching_against_a_publish_loses_no_kick() {
    check_kick(|_| (), serve_next);
}

/// BAR-2, BAR-6: so does a run of chains that comes to its end.
#[test]
fn serving_against_a_publish_loses_no_kick() {
    check_kick(|_| (), |queue| serve_all(queue) == 1);
}

/// BACK-2: a device that has put a chain back asks for the one behind it.
#[test]
fn enabling_for_more_against_a_publish_loses_no_kick() {
    check(|mut rig: Rig| {
        let mut queue = rig.device();
        rig.add(0);
        let _ = rig.driver.needs_kick();
        queue.next_chain().unwrap().unwrap().unfetch().unwrap();
        let device = thread::spawn(move || (queue.enable_notifications_of_more().unwrap(), queue));
        rig.add(1);
        let kicked = rig.driver.needs_kick();
        let (armed, mut queue) = device.join().unwrap();
        assert!(armed == Armed::MoreAvailable || kicked, "a kick was lost");
        assert!(serve_next(&mut queue) && serve_next(&mut queue));
    });
}
