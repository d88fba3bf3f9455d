//! Where front ends connect.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The socket at which front ends wait for their turn. Its file goes when it does.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// The connection that has its turn.
    connection: Option<UnixStream>,
}

impl Socket {
    /// Makes the file `path`. One that nobody listens at any more is replaced.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            result => result,
        };
        Ok(Self { listener: listener?, path: path.into(), state: Mutex::default() })
    }

    /// Ends the connection that has its turn. The front end is cut off when both handles on it are gone.
    pub(super) fn hang_up(&self) {
        self.state().connection = None;
    }

    /// Waits for the next connection, until the socket is stopped.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            let accepted = self.listener.accept();
            let mut state = self.state();
            match accepted {
                _ if state.stopped => return Ok(None),
                Ok((connection, _)) => {
                    state.connection = Some(connection.try_clone()?);
                    return Ok(Some(connection));
                }
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends all waiting, for the next connection and for whatever the front end was about to say.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        // Either fails if it has ended already.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        let _ = state.connection.take().map(|connection| connection.shutdown(Shutdown::Both));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the file.
impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether `path` is the socket of a program that is gone.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
