//! Where rings stop and go on.

use core::time::Duration;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use adapter_test_support::{answer, question};
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};

use super::device::{UpperCase, next, nothing_comes};
use super::framework::vhost::VhostBackend;
use super::front_end::FrontEnd;

/// BASE-1, BASE-2: a ring goes on where it stopped, at every position of the ring and in either lap of a packed one.
#[test]
fn ring_goes_on_where_it_stopped() {
    for ring in [0, EVENT_IDX, RING_PACKED, RING_PACKED | EVENT_IDX] {
        let (device, _) = UpperCase::new(answer);
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 8, ring);
        let mut base = 0;
        for round in 0..20 {
            let signals = front_end.start(0, &driver, base);
            for _ in 0..round % 3 + 1 {
                assert_eq!(signals.ask(&mut driver, "text"), "TEXT");
            }
            let stopped_at = front_end.connection.get_vring_base(0).unwrap();
            assert_eq!(stopped_at, u32::from(driver.available_position()), "{ring:#x}");
            base = u16::try_from(stopped_at).unwrap();
        }
    }
}

#[test]
fn ring_that_never_ran_stops_at_its_base() {
    let (device, _) = UpperCase::new(answer);
    let mut front_end = FrontEnd::new(device, 0);
    let driver = front_end.driver(1, 8, 0);
    front_end.connection.set_vring_base(0, 77).unwrap();
    assert_eq!(front_end.connection.get_vring_base(0).unwrap(), 77);
    drop(front_end.start(1, &driver, 0));
    assert_eq!(front_end.connection.get_vring_base(1).unwrap(), 0);
}

/// The back end answers only when the last chain has returned, and the driver has it then.
#[test]
fn ring_stops_when_nothing_is_in_flight() {
    for ring in [0, RING_PACKED] {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 8, ring);
        let signals = front_end.start(0, &driver, 0);
        signals.send(&mut driver, &question("late"));
        let kept = next(&chains);

        let (sender, stopped) = channel();
        let connection = front_end.connection.clone();
        let stop = thread::spawn(move || sender.send(connection.get_vring_base(0).unwrap()).unwrap());
        assert_eq!(stopped.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
        answer(kept);
        assert_eq!(stopped.recv().unwrap(), u32::from(driver.available_position()));
        stop.join().unwrap();
        assert_eq!(driver.reap_all().unwrap()[0].written(), b"LATE");
    }
}

/// What is made available while the ring is stopped is served when it starts again.
#[test]
fn ring_that_is_stopped_fetches_nothing() {
    for ring in [EVENT_IDX, RING_PACKED] {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 8, ring);
        let signals = front_end.start(0, &driver, 0);
        let base = front_end.connection.get_vring_base(0).unwrap();
        driver.add(&question("while it is stopped")).unwrap();
        signals.kick();
        assert_eq!(front_end.connection.get_vring_base(0).unwrap(), base);
        assert!(nothing_comes(&chains));
        let signals = front_end.start(0, &driver, u16::try_from(base).unwrap());
        answer(next(&chains));
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"WHILE IT IS STOPPED");
    }
}

/// SET_VRING_BASE on a ring that runs ends its queue. The chain that is out is refused when it returns.
#[test]
fn base_that_is_set_while_the_ring_runs_ends_its_queue() {
    let (device, chains) = UpperCase::handing_over();
    let mut front_end = FrontEnd::new(device, 0);
    let mut driver = front_end.driver(0, 8, 0);
    let signals = front_end.start(0, &driver, 0);
    signals.send(&mut driver, &question("lost"));
    let lost = next(&chains);
    front_end.connection.set_vring_base(0, 0).unwrap();
    assert!(lost.return_written(0).is_err());
    assert!(driver.reap_all().unwrap().is_empty());

    // The next queue begins at the base, and fetches the chain once more.
    signals.kick();
    answer(next(&chains));
    assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"LOST");
}
