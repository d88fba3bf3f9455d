//! Stopping rings whose chains are out.

use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use adapter_test_support::{Signals, answer, event, question};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use vhost::VhostBackend;
use vhost::vhost_user::VhostUserFrontend;
use virtio_fake_driver::features::RING_PACKED;
use virtio_vhost_user::{KeptChain, Worker};

use crate::devices::{TestDevice, handing_over, keeping, keeping_with};
use crate::front_end::{Driver, FrontEnd, Running};
use crate::shapes::FORMATS;
use crate::signals::full;

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

/// The device has a chain in its hands while the front end stops the queue. Whoever waits for the queue makes room in
/// its call again and again, which shows that it has been there and did not ask.
#[test]
fn chains_are_put_back_between_two_polls_alone() {
    for ring in FORMATS {
        let call = Arc::new(full(EventfdFlags::NONBLOCK));
        let (in_hands, asked_too_early) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (begun, begins) = channel();
        let (rooms, holds) = (Arc::clone(&call), Arc::clone(&in_hands));
        let take = move |count| {
            if count == 1 {
                holds.store(true, Ordering::SeqCst);
                begun.send(()).unwrap();
                // Less than the patience of the back end, in all.
                let deadline = Instant::now() + Duration::from_secs(6);
                (0..3).for_each(|_| wait_until_room_is_made(&rooms, deadline));
                holds.store(false, Ordering::SeqCst);
            }
        };
        let (holds, early) = (in_hands, Arc::clone(&asked_too_early));
        let ask = move || {
            early.fetch_or(holds.load(Ordering::SeqCst), Ordering::SeqCst);
        };
        let back_end = Running::new(keeping_with(take, ask));
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 8);
        let signals = Signals { call: call.try_clone().unwrap(), ..Signals::new() };
        let start = if ring & RING_PACKED == 0 { 0 } else { 0x8000 };
        let signals = front_end.start_with(0, &driver, start, signals);
        (0..2).for_each(|_| signals.send(&mut driver, &question("later")));
        signals.kick();
        begins.recv().unwrap();
        let base = front_end.connection.get_vring_base(0).unwrap();
        assert!(!asked_too_early.load(Ordering::SeqCst), "the device was asked while it had a chain in its hands");
        assert_eq!((base & 0x7fff, driver.reap_all().unwrap().len()), (0, 0));
    }
}

/// Waits until somebody has taken what an eventfd counts, and fills it again.
fn wait_until_room_is_made(event: &OwnedFd, deadline: Instant) {
    let mut events = [PollFd::new(event, PollFlags::IN)];
    while poll(&mut events, Some(&Timespec::default())).unwrap() == 1 && Instant::now() < deadline {
        thread::yield_now();
    }
    let _ = rustix::io::write(event, &(u64::MAX - 1).to_ne_bytes());
}

/// Whoever runs this test alone counts its threads: those of other tests would be counted as well.
#[test]
fn notify_threads_end_with_their_ring() {
    const ALONE: &str = "VIRTIO_VHOST_USER_ALONE";
    if env::var_os(ALONE).is_none() {
        let mut alone = Command::new(env::current_exe().unwrap());
        alone.args(["--exact", "stop::notify_threads_end_with_their_ring"]).env(ALONE, "1");
        let output = alone.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let (device, chains, _) = handing_over();
    let back_end = Running::new(device);
    for round in 0..20 {
        let mut front_end = FrontEnd::new(&back_end, FORMATS[round % FORMATS.len()]);
        let mut driver = front_end.driver(0, 8);
        // A call without room holds up the thread that signals it.
        let signals = Signals { call: full(EventfdFlags::empty()), ..Signals::new() };
        let start = if FORMATS[round % FORMATS.len()] & RING_PACKED == 0 { 0 } else { 0x8000 };
        front_end.set_up(0, &driver, start, &signals);
        ioctl_fionbio(&signals.call, false).unwrap();
        front_end.connection.set_vring_enable(0, true).unwrap();
        front_end.connection.set_vring_kick(0, &event(&signals.kick)).unwrap();
        signals.send(&mut driver, &question("one"));
        signals.kick();
        answer(chains.recv().unwrap());
        match round % 3 {
            0 => drop(front_end.connection.get_vring_base(0).unwrap()),
            1 => front_end.connection.reset_device().unwrap(),
            _ => {}
        }
        drop(front_end);
        back_end.check_serves();
        let deadline = Instant::now() + Duration::from_secs(8);
        while notify_threads() > 0 {
            assert!(Instant::now() < deadline, "round {round}: {} threads are left", notify_threads());
            thread::yield_now();
        }
    }
}

/// Returns how many threads of this process notify drivers.
fn notify_threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        // One that has ended meanwhile has no name any more.
        fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim_end() == "virtio-notify").count()
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
