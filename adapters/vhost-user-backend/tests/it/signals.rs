//! Kicks, calls, and what is enabled.

use std::fs::File;

use adapter_test_support::{answer, event, event_fd, question};
use rustix::event::{EventfdFlags, eventfd};
use virtio_fake_driver::features::{EVENT_IDX, RING_PACKED};
use virtio_util::EventFd;

use super::device::{UpperCase, next, nothing_comes};
use super::framework::adapter::{GuestMem, Vring};
use super::framework::vhost::VhostBackend;
use super::framework::vhost::vhost_user::VhostUserFrontend;
use super::framework::vhost_user_backend::VringT;
use super::framework::vm_memory::GuestMemoryMmap;
use super::front_end::FrontEnd;

/// Each answer is signalled once, through the eventfd that is named then.
#[test]
fn call_is_swapped_while_chains_are_out() {
    for ring in [0, RING_PACKED] {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 8, ring);
        let old = front_end.start(0, &driver, 0);
        old.send(&mut driver, &question("text"));
        let kept = next(&chains);
        // The queue has signalled when it was made.
        assert_eq!(event(&old.call).read().unwrap(), 1);

        let new = event(&event_fd(EventfdFlags::NONBLOCK));
        front_end.connection.set_vring_call(0, &new).unwrap();
        assert!(new.read().is_err());
        answer(kept);
        assert_eq!(new.read().unwrap(), 1);
        assert!(event(&old.call).read().is_err());
        assert_eq!(driver.reap_all().unwrap().len(), 1);
    }
}

/// `vhost` has no message with which its front end could take the eventfd away.
#[test]
fn call_that_nobody_got_is_kept_for_the_next_eventfd() {
    let vring = vring();
    vring.signal_used_queue().unwrap();
    vring.signal_used_queue().unwrap();
    let (first, file) = shared(EventfdFlags::NONBLOCK);
    vring.set_call(Some(file));
    assert_eq!(first.take().unwrap(), 1);
    vring.signal_used_queue().unwrap();
    assert_eq!(first.take().unwrap(), 1);

    let (second, file) = shared(EventfdFlags::NONBLOCK);
    vring.set_call(Some(file));
    assert_eq!(second.take().unwrap(), 0);
    vring.set_call(None);
    vring.signal_used_queue().unwrap();
    assert_eq!((first.take().unwrap(), second.take().unwrap()), (0, 0));
}

/// A front end can take the signal away between the wake-up and the read, and can let reads block.
#[test]
fn kick_that_is_not_there_is_no_error_and_does_not_block() {
    for mode in [EventfdFlags::empty(), EventfdFlags::NONBLOCK] {
        let vring = vring();
        let (kick, file) = shared(mode);
        vring.set_kick(Some(file));
        assert!(!vring.read_kick().unwrap());
        vring.set_enabled(true);
        assert!(vring.read_kick().unwrap());
        vring.kick();
        assert_eq!(kick.take().unwrap(), 1);
    }
}

#[test]
fn vring_without_eventfds_signals_nobody() {
    let vring = vring();
    vring.kick();
    vring.signal_error();
    assert!(!vring.read_kick().unwrap());
}

fn vring() -> Vring {
    Vring::new(GuestMem::new(GuestMemoryMmap::new()), 8).unwrap()
}

/// Returns an eventfd, and what a back end gets of it.
fn shared(mode: EventfdFlags) -> (EventFd, File) {
    let own = eventfd(0, mode | EventfdFlags::CLOEXEC).unwrap();
    let file = File::from(own.try_clone().unwrap());
    (own.into(), file)
}

/// What is made available while a ring is disabled is served when it is enabled, without another kick.
#[test]
fn ring_that_is_disabled_fetches_nothing() {
    for ring in [EVENT_IDX, RING_PACKED | EVENT_IDX] {
        let (device, chains) = UpperCase::handing_over();
        let mut front_end = FrontEnd::new(device, ring);
        let mut driver = front_end.driver(0, 8, ring);
        let signals = front_end.start(0, &driver, 0);
        signals.send(&mut driver, &question("early"));
        let early = next(&chains);

        front_end.connection.set_vring_enable(0, false).unwrap();
        signals.send(&mut driver, &question("later"));
        // A chain that is out returns as ever.
        answer(early);
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"EARLY");
        assert!(nothing_comes(&chains));

        front_end.connection.set_vring_enable(0, true).unwrap();
        answer(next(&chains));
        assert_eq!(signals.receive(&mut driver, 1)[0].written(), b"LATER");
    }
}
