//! Signals to the front end.

use alloc::sync::Arc;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

/// The notifier of a [`VringQueue`](crate::VringQueue). It signals the last eventfd from the front end.
///
/// The front end can set another eventfd at any time, or none. Each notification goes to exactly one eventfd. After the
/// front end gets the reply that the new eventfd is in use, the old one gets no signal. Notifications without an
/// eventfd are kept, as one signal, for the next eventfd.
#[derive(Clone, Debug, Default)]
pub struct Call {
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    fd: Option<EventFd>,
    /// Whether a notification is still pending, because there was no eventfd.
    missed: bool,
}

impl Call {
    /// Signals through `file` from now on.
    pub(crate) fn set(&self, file: Option<File>) {
        self.with(|slot| {
            slot.fd = file.map(event_fd);
            if core::mem::take(&mut slot.missed) {
                slot.notify();
            }
        });
    }

    /// The signal is sent under the lock. Otherwise it could still go to an eventfd that was replaced.
    fn with(&self, work: impl FnOnce(&mut Slot)) {
        work(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Slot {
    fn notify(&mut self) {
        match &self.fd {
            Some(fd) => fd.notify(),
            None => self.missed = true,
        }
    }
}

impl DriverNotify for Call {
    fn notify(&self) {
        self.with(Slot::notify);
    }
}

/// Takes over an eventfd of the front end.
pub(crate) fn event_fd(file: File) -> EventFd {
    EventFd::from(OwnedFd::from(file))
}
