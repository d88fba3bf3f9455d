//! Stopping rings whose chains are out.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adapter_test_support::{Signals, answer, question};
use vhost::VhostBackend;
use vhost::vhost_user::VhostUserFrontend;
use virtio_vhost_user::{KeptChain, Worker};

use crate::devices::{TestDevice, handing_over, keeping};
use crate::front_end::{Driver, FrontEnd, Running};
use crate::shapes::FORMATS;

/// A ring with a chain that the device has handed over to the test.
struct Out {
    back_end: Running<TestDevice>,
    front_end: FrontEnd,
    driver: Driver,
    signals: Signals,
    /// Where the next chains come.
    chains: Receiver<KeptChain>,
    /// Where the device is asked to put chains back.
    asked: Receiver<()>,
    kept: KeptChain,
}

impl Out {
    fn new(ring: u64, text: &str) -> Self {
        let (device, chains, asked) = handing_over();
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = front_end.start(0, &driver);
        signals.send(&mut driver, &question(text));
        let kept = chains.recv().unwrap();
        Self { back_end, front_end, driver, signals, chains, asked, kept }
    }
}

#[test]
fn stop_waits_for_chains_in_flight() {
    for ring in FORMATS {
        let Out { back_end: _back_end, front_end, mut driver, asked, kept, .. } = Out::new(ring, "slow");
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
    let Out { back_end, front_end, chains, kept, .. } = Out::new(0, "never");
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
    let Out { back_end, front_end: _front_end, kept, .. } = Out::new(0, "never");
    let began = std::time::Instant::now();
    drop(back_end);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(kept);
}

#[test]
fn reset_waits_for_chains_and_what_returns_after_it_is_refused() {
    for ring in FORMATS {
        let Out { back_end: _back_end, mut front_end, mut driver, asked, kept, .. } = Out::new(ring, "reset");
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
        let Out { back_end: _back_end, mut front_end, mut driver, signals, chains, kept, .. } = Out::new(ring, "first");
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
