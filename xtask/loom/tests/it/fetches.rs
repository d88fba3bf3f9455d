//! A driver that makes something available while the device looks.

use loom::thread;
use loom_models::{Device, Rig, check};

use crate::support::{serve, serve_all};

/// The device does `work` with what it finds, while the driver makes a chain available.
fn check_fetch(work: fn(&mut Device)) {
    check(move |mut rig: Rig| {
        let mut queue = rig.device();
        let device = thread::spawn(move || {
            work(&mut queue);
            queue
        });
        rig.add(0);
        let reaped = rig.reap();
        let mut queue = device.join().unwrap();
        work(&mut queue);
        assert_eq!(reaped + rig.reap(), 1);
    });
}

/// BAR-1, BAR-5, BAR-9, DRV-BAR-1, DRV-PBAR-1: whatever stands behind a chain is there as soon as the chain is.
#[test]
fn fetching_against_a_publish_finds_all_of_the_chain() {
    check_fetch(|queue| _ = queue.next_chain().unwrap().map(serve));
}

/// BAR-1, BAR-4, BAR-5, BAR-8: so it is in a run, where rings are accessed as arrays.
#[test]
fn serving_against_a_publish_finds_all_of_the_chain() {
    check_fetch(|queue| _ = serve_all(queue));
}
