//! Notifications through an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use virtio_queue_core::DriverNotify;

/// A notifier that adds one to an eventfd: the way to signal through KVM's irqfd, vhost-user and VFIO.
///
/// Signalling neither blocks nor fails. An eventfd whose counter is full has a signal pending, and one more adds
/// nothing.
///
/// # When not to use it
///
/// Where the driver lives in the same program and a condition variable does, or where interrupts are injected by a call
/// of the hypervisor's: implement [`DriverNotify`] for that.
///
/// # Examples
///
/// ```
/// use virtio_queue_core::DriverNotify;
/// use virtio_util::EventFd;
///
/// let call = EventFd::new()?;
/// call.notify();
/// call.notify();
/// // On the other side, when `poll` or `epoll` finds it readable:
/// assert_eq!(call.take()?, 2);
/// assert_eq!(call.take()?, 0);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct EventFd {
    /// INVARIANT: in non-blocking mode.
    fd: OwnedFd,
}

impl EventFd {
    /// Creates an eventfd, with its counter at zero.
    ///
    /// # Errors
    ///
    /// If the system has none left to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Takes over an eventfd that somebody else created, such as a vhost-user front end.
    ///
    /// It is put into non-blocking mode, for everybody who shares it: nobody may be able to stop the device by filling
    /// the counter.
    ///
    /// # Errors
    ///
    /// If the mode cannot be set. Whether it is an eventfd at all is not checked.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&fd, true)?;
        Ok(Self { fd })
    }

    /// Returns how many signals there have been since the last call, without waiting for one.
    ///
    /// This is the other side's business, and that of a device whose driver kicks through an eventfd.
    ///
    /// # Errors
    ///
    /// If it cannot be read, as when it is not an eventfd.
    pub fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match read(&self.fd, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl DriverNotify for EventFd {
    #[inline]
    fn notify(&self) {
        // It fails if the counter is full: then a signal is pending already. Or if this is no eventfd: then there is
        // nobody to signal, and nobody to tell.
        let _ = write(&self.fd, &1_u64.to_ne_bytes());
    }
}

/// For `epoll` and its kind, and for handing a duplicate to the other side.
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
