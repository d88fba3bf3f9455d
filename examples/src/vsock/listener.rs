//! Where programs of the host are found, and find the guest.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The socket at which programs of the host ask for connections to the guest.
///
/// A program of the host that accepts connections of the guest listens beside it: for port 7, at the same path with
/// `_7` after it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket `path`. One that nobody listens at any more is replaced.
    ///
    /// # Errors
    ///
    /// If there is something else at `path`, if it cannot be made, or if it is so long that there is no room for `_`
    /// and a port number after it.
    pub fn bind(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        // A guest that connects would be refused, and nobody would know why.
        if SocketAddrUnix::new(beside(&path, u32::MAX)).is_err() {
            let text = format!("the path is too long: there is no room for `_{}` after it", u32::MAX);
            return Err(io::Error::other(text));
        }
        let socket = match UnixListener::bind(&path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(&path) => {
                fs::remove_file(&path)?;
                UnixListener::bind(&path)
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(io::Error::other(in_the_way(&path))),
            result => result,
        }?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path })
    }

    /// Accepts the next program that asks for a connection to the guest, if there is one.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                Ok(Some(socket))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Connects to the program that listens for connections of the guest to `port`. This does not wait.
    ///
    /// # Errors
    ///
    /// If there is none, or too many connections wait for it.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        let path = beside(&self.path, port);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket.into())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Removes the file.
impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns where a program of the host listens for connections to `port`, if its guest is at `path`.
fn beside(path: &Path, port: u32) -> OsString {
    let mut path = OsString::from(path);
    path.push(format!("_{port}"));
    path
}

/// Says why there can be no socket at `path`.
fn in_the_way(path: &Path) -> &'static str {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket { "another program listens there" } else { "there is something else than a socket" }
}

/// Returns whether `path` is the socket of a program that is gone.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
