//! Signals to the front end.

use alloc::sync::Arc;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

/// The notifier of a [`VringQueue`](crate::VringQueue): the eventfd that the front end has named last.
///
/// The front end can name another one at any time, or none. A notification goes to exactly one of them: the old one
/// gets none after the front end has been told that the new one is in use. What is notified while there is none is
/// kept, as one signal, for the next one.
#[derive(Clone, Debug, Default)]
pub struct Call {
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    fd: Option<EventFd>,
    /// Whether there was a notification that nobody got.
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

    /// The signal is given under the lock: otherwise it could still be on its way to an eventfd that was replaced.
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
