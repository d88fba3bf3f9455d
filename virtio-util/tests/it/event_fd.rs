//! `EventFd`.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

use crate::driver::{Driver, queue, rings};

/// The most that the counter of an eventfd can hold.
const FULL: u64 = u64::MAX - 1;

/// A duplicate, for the other side.
fn duplicate(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn new_counts_until_taken() {
    let signal = EventFd::new().unwrap();
    assert_eq!(signal.take().unwrap(), 0);
    for _ in 0..3 {
        signal.notify();
    }
    assert_eq!(signal.take().unwrap(), 3);
    assert_eq!(signal.take().unwrap(), 0);
}

#[test]
fn from_fd_signals_the_other_side() {
    // Blocking, as a front end may have made it.
    let fd = eventfd(0, EventfdFlags::empty()).unwrap();
    let front_end = EventFd::from_fd(duplicate(&fd)).unwrap();
    let signal = EventFd::from_fd(fd).unwrap();
    signal.notify();
    assert_eq!(front_end.take().unwrap(), 1);
    assert_eq!(signal.take().unwrap(), 0);
}

#[test]
fn notify_with_full_counter_returns() {
    let fd = eventfd(0, EventfdFlags::empty()).unwrap();
    File::from(duplicate(&fd)).write_all(&FULL.to_ne_bytes()).unwrap();
    let signal = EventFd::from_fd(fd).unwrap();
    signal.notify();
    assert_eq!(signal.take().unwrap(), FULL);
}

#[test]
fn queue_signals_through_it() {
    let mem = rings();
    let driver = Driver::new(&mem);
    let signal = EventFd::new().unwrap();
    let mut queue = queue(&mem, &signal);
    driver.offer(0);
    drop(queue.next_chain().unwrap().unwrap());
    assert_eq!(signal.take().unwrap(), 1);
}
