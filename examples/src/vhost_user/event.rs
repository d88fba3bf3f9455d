//! The eventfds that a front end sends.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

/// Takes over an eventfd, and refuses every other kind of file: a kick that is readable for ever keeps a thread busy.
pub(super) fn event_fd(file: File) -> io::Result<Arc<EventFd>> {
    let kind = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if kind != Path::new("anon_inode:[eventfd]") {
        return Err(io::Error::other("the file is not an eventfd"));
    }
    Ok(Arc::new(OwnedFd::from(file).into()))
}

/// How the driver is notified: a front end that polls has no eventfd for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Call(pub(super) Option<Arc<EventFd>>);

impl DriverNotify for Call {
    #[inline]
    fn notify(&self) {
        if let Some(call) = &self.0 {
            call.notify();
        }
    }
}
