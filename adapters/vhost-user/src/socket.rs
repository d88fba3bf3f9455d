//! Where front ends connect.

use core::time::Duration;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use virtio_queue_core::DriverNotify;
use virtio_util::EventFd;

use crate::options::Options;
use crate::report::report;

/// How long to wait when the system has nothing left for a connection.
const SHORTAGE: Duration = Duration::from_millis(100);

/// The socket at which front ends wait for their turn. Its file goes when it does, if it was made here.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: Option<UnixListener>,
    /// The file that was made for it.
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// Signalled when the socket is stopped, and never taken.
    end: EventFd,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// A connection that was there from the beginning.
    first: Option<UnixStream>,
    /// The connection that has its turn.
    connection: Option<UnixStream>,
}

/// A socket that this process was started with.
enum Inherited {
    Listening(UnixListener),
    Connected(UnixStream),
}

impl Socket {
    /// Makes or takes over the socket that the options name.
    pub(crate) fn open(options: &Options) -> io::Result<Self> {
        match (&options.socket_path, options.fd) {
            (Some(path), _) => Self::bind(path),
            (None, Some(fd)) => Self::inherit(fd),
            (None, None) => Err(io::Error::other("neither a path nor a file descriptor of a socket is there")),
        }
    }

    /// Makes the file `path`. One that nobody listens at any more is replaced.
    fn bind(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(io::Error::other(in_the_way(path))),
            result => result,
        };
        Self::new(Some(listener?), Some(path.into()), None)
    }

    fn inherit(fd: RawFd) -> io::Result<Self> {
        match Inherited::take(fd)? {
            Inherited::Listening(listener) => Self::new(Some(listener), None, None),
            Inherited::Connected(connection) => Self::new(None, None, Some(connection)),
        }
    }

    fn new(listener: Option<UnixListener>, path: Option<PathBuf>, first: Option<UnixStream>) -> io::Result<Self> {
        // To accept must not block: a connection can be gone by then, or be somebody else's.
        listener.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
        let state = Mutex::new(State { first, ..State::default() });
        Ok(Self { listener, path, state, end: EventFd::new()? })
    }

    /// Ends the connection that has its turn. The front end is cut off when both handles on it are gone.
    pub(crate) fn hang_up(&self) {
        self.state().connection = None;
    }

    /// Waits for the next connection, until the socket is stopped or no other one can come.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        let first = self.state().first.take();
        if let Some(connection) = first {
            return self.has_its_turn(connection);
        }
        let Some(listener) = &self.listener else { return Ok(None) };
        let mut told = false;
        while !self.is_stopped() {
            match listener.accept().and_then(|(connection, _)| self.has_its_turn(connection)) {
                Ok(connection) => return Ok(connection),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(Some(listener), None),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) if is_shortage(&error) => {
                    if !told {
                        report(format_args!("front ends wait until they can be served: {error}"));
                    }
                    told = true;
                    self.wait(None, Some(SHORTAGE));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn has_its_turn(&self, connection: UnixStream) -> io::Result<Option<UnixStream>> {
        connection.set_nonblocking(false)?;
        let mut state = self.state();
        if state.stopped {
            return Ok(None);
        }
        // Without a second handle, the connection could not be ended from elsewhere: the front end has to try again.
        state.connection = Some(connection.try_clone()?);
        Ok(Some(connection))
    }

    /// Waits for a connection, for the end, or for some time.
    fn wait(&self, listener: Option<&UnixListener>, time: Option<Duration>) {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let listener = listener.map_or(self.end.as_fd(), AsFd::as_fd);
        let mut events = [listener, self.end.as_fd()].map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN));
        let _ = poll(&mut events, time.as_ref());
    }

    /// Ends all waiting, for the next connection and for whatever the front end was about to say.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        self.end.notify();
        // It fails if it has ended already.
        let _ = state.connection.take().map(|connection| connection.shutdown(Shutdown::Both));
    }

    /// Returns whether the program is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the file.
impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl Inherited {
    /// Takes over the file descriptor `fd`.
    fn take(fd: RawFd) -> io::Result<Self> {
        // It is looked at before it is owned: what is not open cannot be closed.
        fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|_| io::Error::other("it is not open"))?;
        // SAFETY: it is open, and whoever started this program says that it is for this.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let kind = socket_domain(&fd).and_then(|domain| Ok((domain, socket_type(&fd)?)));
        if kind != Ok((AddressFamily::UNIX, SocketType::STREAM)) {
            return Err(io::Error::other("it must be a Unix domain socket of the stream kind"));
        }
        fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        Ok(if socket_acceptconn(&fd)? { Self::Listening(fd.into()) } else { Self::Connected(fd.into()) })
    }
}

/// Returns whether the system has nothing left, for the moment.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    shortages.iter().any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error()))
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
