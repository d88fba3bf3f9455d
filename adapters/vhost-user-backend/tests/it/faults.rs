//! Drivers and front ends that are wrong.

use adapter_test_support::{answer, event, wait};
use virtio_fake_driver::AnyRaw;
use virtio_queue_core::{ConfigError, FatalError, RestoreError};
use virtio_ring::QueueSizeError;
use virtio_vhost_user_backend::VringError;

use super::device::{UpperCase, next, nothing_comes};
use super::framework::vhost::VhostBackend;
use super::front_end::FrontEnd;

/// A jump of the index is reported once. The other vring is served, and the broken one starts anew.
#[test]
fn broken_ring_is_reported_once_and_starts_anew() {
    let (device, errors) = UpperCase::new(answer);
    let mut front_end = FrontEnd::new(device, 0);
    let mut drivers = [0, 1].map(|index| front_end.driver(index, 8, 0));
    let signals = [0, 1].map(|index| front_end.start(index, &drivers[index], 0));
    assert_eq!(signals[0].ask(&mut drivers[0], "first"), "FIRST");
    let AnyRaw::Split(raw) = drivers[0].raw() else { panic!("the ring is split") };
    raw.set_available_index(100);
    signals[0].kick();
    wait(&signals[0].error);
    let expected = FatalError::Oversubscribed { available: 99, in_flight: 0, size: 8 };
    assert_eq!(next(&errors), VringError::Ring(expected));
    signals[0].kick();
    assert_eq!(signals[1].ask(&mut drivers[1], "other"), "OTHER");

    assert_eq!(front_end.connection.get_vring_base(0).unwrap(), 1);
    assert!(nothing_comes(&errors) && event(&signals[0].error).read().is_err());
    drivers[0] = front_end.driver(0, 8, 0);
    let again = front_end.start(0, &drivers[0], 0);
    assert_eq!(again.ask(&mut drivers[0], "anew"), "ANEW");
}

/// A ring that cannot run is reported once, and its thread goes on.
#[test]
fn ring_that_cannot_run_is_reported_once() {
    let lost = RestoreError::Lost { available: 5000, used: 0, size: 8 };
    let size = QueueSizeError::Split { size: 7 };
    for (base, size, expected) in
        [(5000, 8, VringError::from(lost)), (0, 7, VringError::Config(ConfigError::Size(size)))]
    {
        let (device, errors) = UpperCase::new(answer);
        let mut front_end = FrontEnd::new(device, 0);
        let mut driver = front_end.driver(0, 8, 0);
        let signals = front_end.start_as(0, &driver, size, base);
        assert_eq!(next(&errors), expected);
        wait(&signals.error);
        signals.kick();
        assert!(nothing_comes(&errors));
        front_end.connection.get_vring_base(0).unwrap();
        let again = front_end.start(0, &driver, 0);
        assert_eq!(again.ask(&mut driver, "anew"), "ANEW");
    }
}
