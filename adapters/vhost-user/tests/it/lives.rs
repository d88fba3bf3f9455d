//! How long a worker serves.

use adapter_test_support::{Signals, wait};
use vhost::VhostBackend;
use virtio_chain::WritableChain;
use virtio_fake_driver::DriverChain;
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_queue_core::Chain;
use virtio_vhost_user::{VhostUserDevice, Worker};

use crate::devices::TestDevice;
use crate::front_end::{Driver, FrontEnd, Running};
use crate::shapes::{FORMATS, break_split};

/// Writes how many chains a worker has seen.
fn count(seen: &mut u8, chain: impl Chain) {
    *seen += 1;
    WritableChain::new(chain).write_all(&[*seen]).unwrap();
}

fn counting_at_once() -> Worker {
    let mut seen = 0;
    Worker::at_once(move |chain| count(&mut seen, chain))
}

fn counting_later() -> Worker {
    let mut seen = 0;
    Worker::deferred(move |chain| count(&mut seen, chain))
}

const SHAPES: [fn() -> Worker; 2] = [counting_at_once, counting_later];

/// Has two queues, which one worker serves.
struct Pair(fn() -> Worker);

impl VhostUserDevice for Pair {
    const TYPE: &'static str = "net";
    const QUEUES_PER_WORKER: usize = 2;

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        (self.0)()
    }
}

/// Asks how many chains the worker has seen.
#[track_caller]
fn ask(signals: &Signals, driver: &mut Driver) -> u8 {
    signals.send(driver, &DriverChain::new().writable(1));
    signals.receive(driver, 1)[0].written()[0]
}

/// Stops a ring, and returns where it was. Nothing is in flight, so that one half says it all.
fn stop(front_end: &FrontEnd, index: usize) -> u16 {
    u16::try_from(front_end.connection.get_vring_base(index).unwrap() & 0xffff).unwrap()
}

/// Returns where a new ring is, and one that was asked twice, in rings of four.
fn bases_after_two(ring: u64) -> [u16; 2] {
    if ring & RING_PACKED == 0 { [0, 2] } else { [0x8000, 0x8002] }
}

#[test]
fn ring_that_starts_where_it_stopped_keeps_its_worker() {
    for (shape, ring) in SHAPES.into_iter().flat_map(|shape| FORMATS.map(|ring| (shape, ring))) {
        let back_end = Running::new(TestDevice::new(shape));
        let mut front_end = FrontEnd::new(&back_end, ring);
        let mut driver = front_end.driver(0, 4);
        let mut signals = front_end.start(0, &driver);
        // A ring of four wraps several times. At the beginning as well, it is only paused.
        for round in 1..20 {
            assert_eq!(ask(&signals, &mut driver), round);
            let base = stop(&front_end, 0);
            // Front ends say the features again at each start.
            front_end.set_features(0);
            signals = front_end.start_with(0, &driver, base, signals);
        }
    }
}

#[test]
fn ring_that_starts_anew_has_a_new_worker() {
    for (shape, ring) in SHAPES.into_iter().flat_map(|shape| FORMATS.map(|ring| (shape, ring))) {
        let back_end = Running::new(TestDevice::new(shape));
        let mut front_end = FrontEnd::new(&back_end, ring);
        for _ in 0..3 {
            let mut driver = front_end.driver(0, 4);
            let signals = front_end.start(0, &driver);
            assert_eq!([ask(&signals, &mut driver), ask(&signals, &mut driver)], [1, 2]);
            stop(&front_end, 0);
            front_end.set_features(0);
        }
    }
}

#[test]
fn ring_that_broke_has_a_new_worker_when_it_starts_again() {
    for shape in SHAPES {
        let back_end = Running::new(TestDevice::new(shape));
        let mut front_end = FrontEnd::new(&back_end, 0);
        for _ in 0..2 {
            let mut driver = front_end.driver(0, 8);
            let signals = front_end.start(0, &driver);
            assert_eq!(ask(&signals, &mut driver), 1);
            break_split(&front_end);
            signals.kick();
            wait(&signals.error);
            assert_eq!(stop(&front_end, 0), 0);
        }
    }
}

#[test]
fn other_features_have_a_new_worker() {
    let back_end = Running::new(TestDevice::new(counting_at_once));
    let mut front_end = FrontEnd::new(&back_end, 0);
    let mut driver = front_end.driver(0, 4);
    let mut signals = front_end.start(0, &driver);
    for seen in [1, 2] {
        assert_eq!(ask(&signals, &mut driver), seen);
        let base = stop(&front_end, 0);
        signals = front_end.start_with(0, &driver, base, signals);
    }
    let base = stop(&front_end, 0);
    front_end.set_features(RING_PACKED);
    front_end.set_features(0);
    let signals = front_end.start_with(0, &driver, base, signals);
    assert_eq!(ask(&signals, &mut driver), 1);
}

#[test]
fn queues_of_one_worker_have_a_new_one_if_one_of_them_starts_anew() {
    for (shape, ring) in SHAPES.into_iter().flat_map(|shape| [0, RING_PACKED | EVENT_IDX].map(|ring| (shape, ring))) {
        let back_end = Running::new(Pair(shape));
        let mut front_end = FrontEnd::new(&back_end, ring);
        for _ in 0..3 {
            let mut drivers = [0, 1].map(|index| front_end.driver(index, 4));
            // The first one stops where it began, and has begun again when the second one is said to begin anew.
            let signals = [0, 1].map(|index| front_end.start(index, &drivers[index]));
            assert_eq!([ask(&signals[1], &mut drivers[1]), ask(&signals[1], &mut drivers[1])], [1, 2]);
            assert_eq!([0, 1].map(|index| stop(&front_end, index)), bases_after_two(ring));
        }
        let mut drivers = [0, 1].map(|index| front_end.driver(index, 4));
        let signals = [0, 1].map(|index| front_end.start(index, &drivers[index]));
        assert_eq!([ask(&signals[1], &mut drivers[1]), ask(&signals[0], &mut drivers[0])], [1, 2]);
    }
}

#[test]
fn queue_that_is_reset_by_itself_keeps_the_worker_of_another() {
    for shape in SHAPES {
        let back_end = Running::new(Pair(shape));
        let mut front_end = FrontEnd::new(&back_end, 0);
        let mut drivers = [0, 1].map(|index| front_end.driver(index, 4));
        let mut signals = [0, 1].map(|index| front_end.start(index, &drivers[index]));
        // Afterwards, a pause is not taken for the beginning of what comes later.
        for round in 0..2 {
            let seen = ask(&signals[0], &mut drivers[0]);
            assert_eq!([seen, ask(&signals[1], &mut drivers[1])], [3 * round + 1, 3 * round + 2]);
            stop(&front_end, 0);
            drivers[0] = front_end.driver(0, 4);
            signals[0] = front_end.start(0, &drivers[0]);
            assert_eq!(ask(&signals[0], &mut drivers[0]), 3 * round + 3);
            let bases = [0, 1].map(|index| stop(&front_end, index));
            signals = [0, 1].map(|index| front_end.start_with(index, &drivers[index], bases[index], Signals::new()));
        }
    }
}
