//! A queue that begins, for the first time or again.

use loom::thread;
use loom_models::{Rig, check};
use virtio_queue_core::Queue;

use crate::support::serve;

/// Takes the ring into service in another thread, while the driver makes the first chain available. Until then, the
/// device's area says that nobody wants to be kicked.
fn check_start(mut rig: Rig) {
    rig.forbid_kicks();
    let (config, mem, interrupt) = (rig.config(), rig.mem(), rig.interrupt.clone());
    let device = thread::spawn(move || {
        let mut queue = virtio_queue_core::AnyQueue::new(&config, mem, interrupt).unwrap();
        let found = queue.next_chain().unwrap().map(serve).is_some();
        (found, queue)
    });
    rig.add(0);
    let kicked = rig.driver.needs_kick();
    let (found, _queue) = device.join().unwrap();
    assert!(found || kicked, "the first kick was lost");
}

/// GEN-9, BAR-2, BAR-6, DRV-ANOT-1: the first look comes after what the driver is asked for, so the first chain is not
/// missed.
#[test]
fn starting_against_a_publish_loses_no_kick() {
    check(check_start);
}

/// QRST-2, QRST-4: nor is it after a reset, whatever the queue before has left behind.
#[test]
fn restarting_after_a_reset_against_a_publish_loses_no_kick() {
    check(|mut rig: Rig| {
        let mut queue = rig.device();
        rig.add(0);
        serve(queue.next_chain().unwrap().unwrap());
        queue.suppress_notifications();
        queue.reset().finish().unwrap_or_else(|_| panic!("nothing is in flight"));
        check_start(rig.reset());
    });
}

/// SUSP-6: a queue that is resumed finds what was made available while it was suspended.
#[test]
fn resuming_against_a_publish_loses_no_kick() {
    check(|mut rig: Rig| {
        let queue = rig.device();
        let suspended = queue.drain().suspend().unwrap_or_else(|_| panic!("nothing is in flight"));
        let device = thread::spawn(move || {
            let (mut queue, _) = suspended.resume().unwrap();
            let found = queue.next_chain().unwrap().map(serve).is_some();
            (found, queue)
        });
        rig.add(0);
        let kicked = rig.driver.needs_kick();
        let (found, _queue): (bool, Queue<_, _>) = device.join().unwrap();
        assert!(found || kicked, "a kick was lost");
    });
}
