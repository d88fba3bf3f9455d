//! Devices that serve both formats.

use adapter_test_support::{answer, question};
use virtio_chain::WritableChain;
use virtio_fake_driver::DriverChain;
use virtio_fake_driver::features::{EVENT_IDX, INDIRECT_DESC, RING_PACKED};

use super::device::{UpperCase, next, nothing_comes};
use super::framework::adapter::Queues;
use super::front_end::FrontEnd;

/// Sends chains on two rings until each has come around several times.
#[track_caller]
fn check(ring: u64, size: u16) {
    let (device, _) = UpperCase::new(answer);
    let mut front_end = FrontEnd::new(device, ring);
    let mut drivers = [0, 1].map(|index| front_end.driver(index, size, ring));
    let signals = [0, 1].map(|index| front_end.start(index, &drivers[index], 0));
    for round in 0..100 {
        for (driver, signals) in drivers.iter_mut().zip(&signals) {
            let texts = [format!("first of {round}"), format!("second of {round}")];
            texts.iter().for_each(|text| signals.send(driver, &question(text)));
            let used = signals.receive(driver, 2);
            let answers: Vec<_> = used.iter().map(|used| used.written().to_vec()).collect();
            assert_eq!(answers, texts.map(|text| text.to_uppercase().into_bytes()));
        }
    }
}

#[test]
fn split_rings_are_served() {
    for ring in [0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC] {
        check(ring, 8);
    }
}

#[test]
fn packed_rings_are_served() {
    for ring in [0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC] {
        check(RING_PACKED | ring, 8);
    }
}

/// DRV-CFG-3: a packed ring has any size.
#[test]
fn packed_ring_of_odd_size_is_served() {
    check(RING_PACKED, 7);
    check(RING_PACKED | EVENT_IDX, 100);
}

/// A device that keeps its chains and returns the last one first.
#[test]
fn chains_that_are_kept_return_in_any_order() {
    for ring in [EVENT_IDX, RING_PACKED | EVENT_IDX] {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        for text in ["one", "two", "three"] {
            signals.send(&mut driver, &question(text));
        }
        let mut kept: Vec<_> = chains.iter().take(3).collect();
        while let Some(chain) = kept.pop() {
            answer(chain);
        }
        let used = signals.receive(&mut driver, 3);
        let answers: Vec<_> = used.iter().map(|used| used.written()).collect();
        assert_eq!(answers, [&b"THREE"[..], b"TWO", b"ONE"]);
    }
}

/// As many chains as are handed out at a time, and no kick after the start. After that, the driver is asked to kick.
#[test]
fn start_serves_all_that_is_available() {
    for ring in [EVENT_IDX, RING_PACKED | EVENT_IDX] {
        let (device, _) = UpperCase::new(answer);
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        for _ in 0..16 {
            driver.add(&DriverChain::new().writable(1)).unwrap();
        }
        assert!(driver.needs_kick());
        // Nobody kicks: the back end looks at what was there when it was started.
        let signals = front_end.start(0, &driver, 0);
        assert_eq!(signals.receive(&mut driver, 16).len(), 16);
        assert_eq!(signals.ask(&mut driver, "more"), "MORE");
    }
}

/// With room for the elements of two chains, the third is fetched when one has returned, without a kick.
#[test]
fn chains_beyond_the_budget_are_served_when_others_return() {
    for ring in [EVENT_IDX, RING_PACKED | EVENT_IDX] {
        let (device, chains) = UpperCase::handing_over_from(Queues::with_limits(None, 4));
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 16, ring);
        let signals = front_end.start(0, &driver, 0);
        for text in ["one", "two", "three"] {
            signals.send(&mut driver, &question(text));
        }
        let (one, two) = (next(&chains), next(&chains));
        assert!(nothing_comes(&chains));
        answer(one);
        let three = next(&chains);
        answer(two);
        answer(three);
        assert_eq!(signals.receive(&mut driver, 3).len(), 3);
    }
}

/// Chains have more elements than the queue has descriptors, where the device allows that.
#[test]
fn chains_are_as_long_as_the_device_allows() {
    for (limit, allowed) in [(None, false), (Some(12), true)] {
        let (device, chains) = UpperCase::handing_over_from(Queues::with_limits(limit, 1 << 16));
        let mut front_end = FrontEnd::new(device, INDIRECT_DESC);
        let mut driver = front_end.driver(0, 4, INDIRECT_DESC);
        let signals = front_end.start(0, &driver, 0);
        driver.stage_unchecked(&DriverChain::new().writable_cut(12, &[1; 11]).indirect()).unwrap();
        driver.publish();
        signals.kick();
        let mut chain = WritableChain::new(next(&chains));
        assert_eq!(chain.write_all(&[7; 12]).is_ok(), allowed);
        drop(chain);
        assert_eq!(signals.receive(&mut driver, 1).len(), 1);
    }
}
