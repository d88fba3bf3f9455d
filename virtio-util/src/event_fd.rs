//! Notifications through an eventfd.

use alloc::sync::Arc;
use alloc::task::Wake;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ReadWriteFlags, preadv2, read, write};
use virtio_queue_core::DriverNotify;

/// A notifier that adds one to an eventfd. KVM's irqfd, vhost-user and VFIO take signals this way.
///
/// Convert an eventfd from elsewhere, such as from a vhost-user front end, from its [`OwnedFd`]. The conversion makes
/// no system call.
///
/// # What can block
///
/// Every process that shares an eventfd can change its mode at any time. So the mode matters here in one case only:
///
/// * [`take`](Self::take) never blocks, whatever kind of descriptor the other side sent. Since Linux 5.8, each read
///   tells the kernel not to wait (`preadv2` with `RWF_NOWAIT`). An older kernel does not support this for eventfds:
///   there, the mode decides.
/// * [`notify`](DriverNotify::notify) is one `write`. The kernel has no eventfd write that never blocks in blocking
///   mode. The write blocks if the other side has set blocking mode **and** has filled the counter up to 2^64 - 2. This
///   does not happen by accident. To check for room first does not help: the other side can fill the counter right
///   after the check.
///
/// If a hostile front end must not block your device, put the eventfd into a [`NotifyThread`](crate::NotifyThread). The
/// write can then block only a thread that does nothing else. In non-blocking mode, a full counter loses no signal,
/// because a signal is already pending.
///
/// # When not to use it
///
/// If the driver is in the same program and a condition variable is enough. If a call to the hypervisor injects
/// interrupts. Implement [`DriverNotify`] for these cases.
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
///
/// Under tokio, when the driver kicks. `AsyncFd::register` is `unsafe`, because the descriptor must stay open while
/// tokio polls it. Its safe predecessor `AsyncFd::new` does the same; tokio 1.54 deprecates it. A crate that forbids
/// `unsafe` calls `AsyncFd::new`, under `#[expect(deprecated)]`:
///
/// ```
/// # use virtio_queue_core::DriverNotify;
/// use tokio::io::unix::AsyncFd;
/// use virtio_util::EventFd;
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// // SAFETY: the `EventFd` owns a valid file descriptor, and keeps it while the `AsyncFd` owns it.
/// let kick = unsafe { AsyncFd::register(EventFd::new()?) }?;
/// # kick.get_ref().notify();
/// let mut ready = kick.readable().await?;
/// ready.clear_ready();
/// assert_eq!(kick.get_ref().take()?, 1);
/// // queue.wake();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// Creates an eventfd, with its counter at zero, in non-blocking mode.
    ///
    /// # Errors
    ///
    /// If the system cannot create another eventfd.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Returns the number of signals since the last call, without waiting.
    ///
    /// The receiving side calls this: for example, a device whose driver kicks through an eventfd.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be read, or cannot be read without waiting. Both can happen if it is not an eventfd.
    pub fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match self.read(&mut count) {
            Ok(8) => Ok(u64::from_ne_bytes(count)),
            Ok(read) => Err(io::Error::other(alloc::format!("{read} bytes were read, but an eventfd has 8"))),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, count: &mut [u8; 8]) -> Result<usize, Errno> {
        // The offset -1 stands for no offset.
        match preadv2(&self.fd, &mut [IoSliceMut::new(count)], u64::MAX, ReadWriteFlags::NOWAIT) {
            // This descriptor cannot be read without waiting, or the kernel is older than 5.8: there, the mode decides.
            Err(Errno::OPNOTSUPP) if !nowait_is_known()? => read(&self.fd, count),
            result => result,
        }
    }

    /// Duplicates the descriptor, for the other side or for another owner here. Both descriptors share one counter.
    ///
    /// # Errors
    ///
    /// If the system cannot create another descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.fd.try_clone().map(Self::from)
    }
}

/// Returns whether the kernel can read a blocking eventfd without waiting. Tests this once, with a private eventfd.
fn nowait_is_known() -> Result<bool, Errno> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let own = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let read = preadv2(&own, &mut [IoSliceMut::new(&mut [0; 8])], u64::MAX, ReadWriteFlags::NOWAIT);
    Ok(*KNOWN.get_or_init(|| read != Err(Errno::OPNOTSUPP)))
}

impl DriverNotify for EventFd {
    #[inline]
    fn notify(&self) {
        // The write fails if the counter is full: then a signal is already pending. It also fails if this is not an
        // eventfd: then nobody can receive a signal or an error.
        let _ = write(&self.fd, &1_u64.to_ne_bytes());
    }
}

/// Signals the eventfd. A device with its own event loop uses it as the waker of a
/// [`DescChainStream`](crate::DescChainStream). The signal tells the device to poll the stream again.
impl Wake for EventFd {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// Takes over an eventfd that was created elsewhere. Does not check that the descriptor is an eventfd.
impl From<OwnedFd> for EventFd {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<EventFd> for OwnedFd {
    fn from(signal: EventFd) -> Self {
        signal.fd
    }
}

/// Lends the descriptor to `epoll` and similar interfaces, or for a duplicate to send to the other side.
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Lends the descriptor to tokio's `AsyncFd`, io_uring, and other interfaces that do not support [`AsFd`].
impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
