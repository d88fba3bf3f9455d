//! Eventfds of every flavour.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use adapter_test_support::{REGIONS, Signals, event, event_fd, question, signal};
use rustix::event::EventfdFlags;
use rustix::io::ioctl_fionbio;
use vhost::VhostBackend;
use vhost::vhost_user::VhostUserFrontend;

use crate::devices::all;
use crate::front_end::{FrontEnd, Running};
use crate::shapes::FORMATS;

const FLAVOURS: [EventfdFlags; 2] = [EventfdFlags::empty(), EventfdFlags::SEMAPHORE];

/// Returns an eventfd without room.
fn full(flags: EventfdFlags) -> OwnedFd {
    let full = event_fd(flags);
    rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    full
}

/// What a front end says of a ring whose worker waits in an eventfd.
type Say = fn(&mut FrontEnd);

const SAY: [Say; 6] = [
    |front_end| assert!(front_end.connection.get_vring_base(0).is_ok()),
    |front_end| front_end.connection.set_vring_enable(0, false).unwrap(),
    |front_end| front_end.connection.set_vring_call(0, &event(&event_fd(EventfdFlags::empty()))).unwrap(),
    |front_end| front_end.connection.set_vring_kick(0, &event(&event_fd(EventfdFlags::empty()))).unwrap(),
    |front_end| front_end.remove(REGIONS[2]),
    |front_end| front_end.connection.reset_device().unwrap(),
];

#[test]
fn call_that_is_full_and_blocks_holds_up_nobody_but_its_ring() {
    for flags in FLAVOURS {
        for (_, device) in all() {
            let back_end = Running::new(device);
            for (say, ring) in SAY.iter().zip(FORMATS.iter().cycle()) {
                let mut front_end = FrontEnd::new(&back_end, *ring);
                let mut driver = front_end.driver(0, 8);
                let signals = Signals { call: full(flags), ..Signals::new() };
                // From a base, which is when a driver is notified at once.
                let base = if ring & virtio_fake_driver::features::RING_PACKED == 0 { 0 } else { 0x8000 };
                front_end.set_up(0, &driver, base, &signals);
                // After it was taken over, it blocks again.
                ioctl_fionbio(&signals.call, false).unwrap();
                front_end.connection.set_vring_enable(0, true).unwrap();
                front_end.connection.set_vring_kick(0, &event(&signals.kick)).unwrap();
                signals.send(&mut driver, &question("held up"));
                say(&mut front_end);
                drop(front_end);
                back_end.check_serves();
            }
        }
    }
}

#[test]
fn error_that_is_full_and_blocks_holds_up_nobody() {
    for flags in FLAVOURS {
        for (_, device) in all() {
            let back_end = Running::new(device);
            let mut front_end = FrontEnd::new(&back_end, 0);
            let driver = front_end.driver(0, 8);
            let signals = Signals { error: full(flags), ..Signals::new() };
            front_end.set_up(0, &driver, 0, &signals);
            ioctl_fionbio(&signals.error, false).unwrap();
            front_end.connection.set_vring_enable(0, true).unwrap();
            front_end.connection.set_vring_kick(0, &event(&signals.kick)).unwrap();
            crate::shapes::break_split(&front_end);
            signals.kick();
            front_end.connection.get_vring_base(0).unwrap();
            drop(front_end);
            back_end.check_serves();
        }
    }
}

/// Returns what an eventfd counts.
fn count(event: &OwnedFd) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", event.as_raw_fd())).unwrap();
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).unwrap();
    u64::from_str_radix(count.trim(), 16).unwrap()
}

/// It is readable for ever. A back end that looked at it whenever it is would spin.
#[test]
fn kick_that_counts_for_ever_costs_next_to_no_time() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        for ring in FORMATS {
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            let signals = Signals { kick: full(EventfdFlags::SEMAPHORE), ..Signals::new() };
            let base = if ring & virtio_fake_driver::features::RING_PACKED == 0 { 0 } else { 0x8000 };
            let signals = front_end.start_with(0, &driver, base, signals);
            driver.add(&question(name)).unwrap();
            assert_eq!(signals.receive(&mut driver, 1)[0].written(), name.to_uppercase().as_bytes());
            let before = count(&signals.kick);
            thread::sleep(Duration::from_millis(200));
            let looks = before - count(&signals.kick);
            assert!(looks < 1000, "{name} looked {looks} times");
        }
    }
}

#[test]
fn kick_that_is_a_semaphore_is_as_good_as_another() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        let mut front_end = FrontEnd::new(&back_end, 0);
        let mut driver = front_end.driver(0, 8);
        let kick = event_fd(EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK);
        let signals = front_end.start_with(0, &driver, 0, Signals { kick, ..Signals::new() });
        for _ in 0..200 {
            (0..3).for_each(|_| signal(&signals.kick));
            assert_eq!(signals.ask(&mut driver, name), name.to_uppercase());
        }
    }
}

#[test]
fn call_that_is_named_at_run_time_is_signalled_from_then_on() {
    for (name, device) in all() {
        let back_end = Running::new(device);
        for ring in FORMATS {
            let mut front_end = FrontEnd::new(&back_end, ring);
            let mut driver = front_end.driver(0, 8);
            let mut signals = front_end.start(0, &driver);
            for _ in 0..20 {
                assert_eq!(signals.ask(&mut driver, name), name.to_uppercase());
                signals.call = event_fd(EventfdFlags::NONBLOCK);
                front_end.connection.set_vring_call(0, &event(&signals.call)).unwrap();
            }
        }
    }
}
