//! The eventfds that a front end sends.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::io::ioctl_fionbio;
use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

/// Takes over an eventfd, and refuses every other kind of file: a kick that is readable for ever keeps a thread busy.
///
/// It is put into non-blocking mode: a front end that sends a full eventfd in blocking mode does not hold a thread up.
pub(super) fn event_fd(file: File) -> io::Result<Arc<EventFd>> {
    let kind = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if kind != Path::new("anon_inode:[eventfd]") {
        return Err(io::Error::other("the file is not an eventfd"));
    }
    ioctl_fionbio(&file, true)?;
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

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::fs::{OFlags, fcntl_getfl};

    use super::*;

    #[test]
    fn full_eventfd_in_blocking_mode_holds_nobody_up() {
        let full = File::from(eventfd(0, EventfdFlags::empty()).unwrap());
        rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        let call = event_fd(full).unwrap();
        assert!(fcntl_getfl(&*call).unwrap().contains(OFlags::NONBLOCK));
        Call(Some(call)).notify();
    }

    #[test]
    fn file_of_another_kind_is_refused() {
        assert!(event_fd(File::open("/dev/null").unwrap()).is_err());
    }
}
