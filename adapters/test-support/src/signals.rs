//! The eventfds of a ring, and what a driver does with them.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use virtio_fake_driver::{AnyDriver, DriverChain, UsedBuffer};
use virtio_mem_traits::DriverMem;
use vmm_sys_util::eventfd::EventFd;

use crate::text::question;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The eventfds of a ring.
#[derive(Debug)]
pub struct Signals {
    /// The driver made buffers available.
    pub kick: OwnedFd,
    /// The device used buffers.
    pub call: OwnedFd,
    /// The ring is broken.
    pub error: OwnedFd,
}

impl Signals {
    /// Makes three eventfds that do not block.
    #[expect(clippy::new_without_default, reason = "nobody needs a default of it")]
    #[must_use]
    pub fn new() -> Self {
        let [kick, call, error] = [(); 3].map(|()| event_fd(EventfdFlags::NONBLOCK));
        Self { kick, call, error }
    }

    /// Kicks.
    pub fn kick(&self) {
        signal(&self.kick);
    }

    /// Sends a chain.
    pub fn send<M: DriverMem + Clone>(&self, driver: &mut AnyDriver<M>, chain: &DriverChain) {
        driver.add(chain).unwrap();
        if driver.needs_kick() {
            self.kick();
        }
    }

    /// Waits until `count` buffers are used, and returns them.
    #[track_caller]
    pub fn receive<M: DriverMem + Clone>(&self, driver: &mut AnyDriver<M>, count: usize) -> Vec<UsedBuffer> {
        let mut used = Vec::new();
        loop {
            used.extend(driver.reap_all().unwrap());
            if used.len() >= count {
                return used;
            }
            if !driver.enable_interrupts() {
                wait(&self.call);
            }
        }
    }

    /// Sends a text, and waits for the answer.
    #[track_caller]
    pub fn ask<M: DriverMem + Clone>(&self, driver: &mut AnyDriver<M>, text: &str) -> String {
        self.send(driver, &question(text));
        let used = self.receive(driver, 1);
        assert_eq!(used.len(), 1);
        String::from_utf8(used[0].written().to_vec()).unwrap()
    }
}

/// Makes an eventfd that counts nothing yet.
#[must_use]
pub fn event_fd(flags: EventfdFlags) -> OwnedFd {
    eventfd(0, flags | EventfdFlags::CLOEXEC).unwrap()
}

/// Returns an eventfd as the crate `vhost` takes it.
#[must_use]
pub fn event(fd: &OwnedFd) -> EventFd {
    let fd = fd.try_clone().unwrap().into_raw_fd();
    // SAFETY: nobody else has this duplicate.
    unsafe { EventFd::from_raw_fd(fd) }
}

/// Adds one to what an eventfd counts.
pub fn signal(event: &OwnedFd) {
    rustix::io::write(event, &1_u64.to_ne_bytes()).unwrap();
}

/// Waits for a signal, and takes it.
#[track_caller]
pub fn wait(event: &OwnedFd) {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let ready = poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&patience)).unwrap();
    assert_eq!(ready, 1, "nothing came");
    rustix::io::read(event, &mut [0; 8]).unwrap();
}
