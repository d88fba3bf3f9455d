//! The socket of a connection, on the side of the host.
//!
//! It never blocks. Bytes go from the socket into driver memory, and the other way, without a copy in between.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use libc::{MSG_NOSIGNAL, iovec, msghdr, readv, sendmsg};
use rustix::net::{SendFlags, send};
use virtio_chain::IoVec;

use super::packet::Ends;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Stream(UnixStream);

/// What became of bytes that were to be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many bytes were moved: at least one.
    Bytes(usize),
    /// Not now.
    Later,
    /// Never again. Nothing is wrong: the program on the host has ended this direction.
    Never,
}

impl Stream {
    /// Takes a socket that does not block.
    pub(super) const fn new(socket: UnixStream) -> Self {
        Self(socket)
    }

    /// Reads into `pieces`.
    ///
    /// # Errors
    ///
    /// If the connection is lost: the program on the host did not read all that it got, for example.
    ///
    /// # Safety
    ///
    /// 1. Until this returns, the memory that `pieces` stand for is valid, and the device may write it.
    pub(super) unsafe fn read(&self, pieces: &[IoVec]) -> io::Result<Moved> {
        let count = i32::try_from(pieces.len()).map_err(io::Error::other)?;
        // SAFETY: an array of `IoVec` is one of `iovec`, and there are `count` of them; the kernel writes what they
        // stand for, by (1), and until this returns.
        moved(|| unsafe { readv(self.0.as_raw_fd(), pieces.as_ptr().cast(), count) })
    }

    /// Writes `pieces`.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    ///
    /// # Safety
    ///
    /// 1. Until this returns, the memory that `pieces` stand for is valid, and the device may read it.
    pub(super) unsafe fn write(&self, pieces: &[IoVec]) -> io::Result<Moved> {
        let vectors = pieces.as_ptr().cast_mut().cast::<iovec>();
        let message = msghdr {
            msg_name: core::ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: vectors,
            msg_iovlen: pieces.len(),
            msg_control: core::ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        };
        // SAFETY: an array of `IoVec` is one of `iovec`, and there are as many as the message says; the kernel only
        // reads them, and reads what they stand for, by (1), and until this returns.
        moved(|| unsafe { sendmsg(self.0.as_raw_fd(), &raw const message, MSG_NOSIGNAL) })
    }

    /// Writes bytes of the device.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub(super) fn write_bytes(&self, bytes: &[u8]) -> io::Result<Moved> {
        outcome(send(&self.0, bytes, SendFlags::NOSIGNAL).map_err(io::Error::from))
    }

    /// Ends what the guest has ended. The program on the host still gets what was written before.
    pub(super) fn end(&self, guest: Ends) {
        for (ends, direction) in [(guest.send, Shutdown::Write), (guest.receive, Shutdown::Read)] {
            if ends {
                // It fails if the program on the host is gone.
                let _ = self.0.shutdown(direction);
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Calls the kernel, again if a signal came first.
fn moved(call: impl Fn() -> isize) -> io::Result<Moved> {
    loop {
        let result = usize::try_from(call()).map_err(|_| io::Error::last_os_error());
        if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
            return outcome(result);
        }
    }
}

fn outcome(result: io::Result<usize>) -> io::Result<Moved> {
    match result {
        Ok(0) => Ok(Moved::Never),
        Ok(len) => Ok(Moved::Bytes(len)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Moved::Later),
            ErrorKind::BrokenPipe => Ok(Moved::Never),
            _ => Err(error),
        },
    }
}
