//! Notifications through an eventfd.

use alloc::sync::Arc;
use alloc::task::Wake;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ReadWriteFlags, preadv2, read, write};
use virtio_queue_core::DriverNotify;

/// A notifier that adds one to an eventfd: the way to signal through KVM's irqfd, vhost-user and VFIO.
///
/// One that was made elsewhere, such as a vhost-user front end's, is converted from its [`OwnedFd`]. That makes no
/// system call.
///
/// # What can block
///
/// Everybody who shares an eventfd can change its mode at any time, from another process as well. So nothing here
/// depends on the mode, but for one case:
///
/// * [`take`](Self::take) never blocks, whatever kind of descriptor the other side has sent. It asks the kernel for
///   that with each read (`preadv2` with `RWF_NOWAIT`), since Linux 5.8. Before 5.8 the kernel does not know of that,
///   and the mode decides.
/// * [`notify`](DriverNotify::notify) is one `write`. The kernel has no write to an eventfd that never blocks whatever
///   its mode is. The write blocks if the other side has put the eventfd into blocking mode **and** has filled its
///   counter up to 2^64 - 2, which needs an intent. To look first whether there is room would not help: the other side
///   can fill the counter right after the look.
///
/// A device that must not be held up by a hostile front end puts the eventfd into a
/// [`NotifyThread`](crate::NotifyThread): the write then holds up a thread that does nothing else. If the mode is
/// non-blocking, a full counter loses nothing: a signal is pending.
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
    /// If the system has none left to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Returns how many signals there have been since the last call, without waiting for one.
    ///
    /// This is the other side's business, and that of a device whose driver kicks through an eventfd.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or not without waiting, as when it is not an eventfd.
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
        // An offset of -1 is none.
        match preadv2(&self.fd, &mut [IoSliceMut::new(count)], u64::MAX, ReadWriteFlags::NOWAIT) {
            // Nobody can read this one without waiting, or the kernel is older than 5.8: there, the mode decides.
            Err(Errno::OPNOTSUPP) if !nowait_is_known()? => read(&self.fd, count),
            result => result,
        }
    }

    /// Duplicates the descriptor: for the other side, or for two that share it here. Both have one counter.
    ///
    /// # Errors
    ///
    /// If the system has no descriptor left to give.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.fd.try_clone().map(Self::from)
    }
}

/// Returns whether the kernel can read an eventfd without waiting whatever its mode is: it is asked once, with an
/// eventfd that nobody else has.
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
        // It fails if the counter is full: then a signal is pending already. Or if this is no eventfd: then there is
        // nobody to signal, and nobody to tell.
        let _ = write(&self.fd, &1_u64.to_ne_bytes());
    }
}

/// Signals. So a device with an event loop of its own learns from a [`DescChainStream`](crate::DescChainStream) when it
/// has to poll the stream again.
impl Wake for EventFd {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

/// Takes over an eventfd that somebody else created. Whether it is an eventfd at all is not checked.
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

/// For `epoll` and its kind, and for handing a duplicate to the other side.
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// For tokio's `AsyncFd`, io_uring, and others that have not heard of [`AsFd`].
impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
