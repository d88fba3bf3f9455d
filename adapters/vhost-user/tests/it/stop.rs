//! Stopping rings whose chains are out.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use vhost::VhostBackend;
use vhost::vhost_user::VhostUserFrontend;
use virtio_vhost_user::Worker;

use crate::devices::{TestDevice, answer, handing_over, keeping};
use crate::front_end::{FrontEnd, Running, question};
use crate::shapes::FORMATS;

#[test]
fn stop_waits_for_chains_in_flight() {
    for ring in FORMATS {
        let (device, chains, asked) = handing_over();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question("slow"));
        let kept = chains.recv().unwrap();
        let base = thread::scope(|scope| {
            let stopped = scope.spawn(|| front_end.connection.get_vring_base(0).unwrap());
            asked.recv().unwrap();
            answer(kept);
            stopped.join().unwrap()
        });
        let expected = [1, 1, 0x8002_8002, 0x8002_8002];
        assert_eq!(base, expected[FORMATS.iter().position(|format| *format == ring).unwrap()]);
        assert_eq!(driver.reap_all().unwrap()[0].written(), b"SLOW");
    }
}

#[test]
fn chains_that_are_put_back_are_fetched_again() {
    for ring in FORMATS {
        let (device, taken) = keeping();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 16);
        let mut signals = front_end.start(0, &driver);
        (0..5).for_each(|_| signals.send(&mut driver, &question("later")));
        for _ in 0..3 {
            (0..5).for_each(|_| taken.recv().unwrap());
            let base = front_end.connection.get_vring_base(0).unwrap() & 0x7fff;
            assert_eq!((base, driver.reap_all().unwrap().len()), (0, 0));
            let base = if base == 0 && ring & virtio_fake_driver::features::RING_PACKED != 0 { 0x8000 } else { 0 };
            signals = front_end.start_with(0, &driver, base, signals);
        }
    }
}

#[test]
fn device_that_never_returns_a_chain_loses_its_front_end_and_serves_the_next_one() {
    let (device, chains, _) = handing_over();
    let back_end = Running::new(device);
    let mut front_end = FrontEnd::new(&back_end, 0);
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    signals.send(&mut driver, &question("never"));
    let kept = chains.recv().unwrap();
    assert!(front_end.connection.get_vring_base(0).is_err());
    let mut next = FrontEnd::new(&back_end, 0);
    let mut driver = next.driver(0, 8);
    let signals = next.start(0, &driver);
    signals.send(&mut driver, &question("next"));
    answer(chains.recv().unwrap());
    assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"NEXT");
    assert!(kept.return_written(0).is_err(), "there is nowhere to return it to");
}

#[test]
fn device_that_never_ends_a_request_loses_its_front_end_and_serves_the_next_one() {
    let (begun, (let_go, end)) = (channel(), channel::<()>());
    let (sender, end) = (begun.0, Arc::new(Mutex::new(end)));
    let device = TestDevice::new(move || {
        let (sender, end) = (sender.clone(), Arc::clone(&end));
        Worker::at_once(move |_| {
            sender.send(()).unwrap();
            // Until the end of the test.
            let _ = end.lock().map(|end| end.recv());
        })
    });
    let back_end = Running::new(device);
    let mut front_end = FrontEnd::new(&back_end, 0);
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    signals.send(&mut driver, &question("never"));
    begun.1.recv().unwrap();
    assert!(front_end.connection.get_vring_base(0).is_err());
    drop(front_end);
    back_end.check_serves();
    drop(let_go);
}

#[test]
fn end_of_the_program_does_not_wait_for_chains() {
    let (device, chains, _) = handing_over();
    let back_end = Running::new(device);
    let mut front_end = FrontEnd::new(&back_end, 0);
    let mut driver = front_end.driver(0, 8);
    let signals = front_end.start(0, &driver);
    signals.send(&mut driver, &question("never"));
    let kept = chains.recv().unwrap();
    let began = std::time::Instant::now();
    drop(back_end);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(kept);
}

#[test]
fn reset_waits_for_chains_and_what_returns_after_it_is_refused() {
    for ring in FORMATS {
        let (device, chains, asked) = handing_over();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question("reset"));
        let kept = chains.recv().unwrap();
        thread::scope(|scope| {
            let reset = scope.spawn(|| front_end.connection.reset_device().unwrap());
            asked.recv().unwrap();
            assert!(kept.return_written(0).is_err());
            reset.join().unwrap();
        });
        assert!(driver.reap_all().unwrap().is_empty());
    }
}

#[test]
fn ring_that_is_disabled_lets_its_chains_return_and_fetches_none() {
    for ring in FORMATS {
        let (device, chains, _) = handing_over();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question("first"));
        let kept = chains.recv().unwrap();
        front_end.connection.set_vring_enable(0, false).unwrap();
        signals.send(&mut driver, &question("second"));
        signals.kick();
        answer(kept);
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"FIRST");
        assert!(chains.recv_timeout(Duration::from_millis(50)).is_err());
        front_end.connection.set_vring_enable(0, true).unwrap();
        answer(chains.recv().unwrap());
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"SECOND");
    }
}
