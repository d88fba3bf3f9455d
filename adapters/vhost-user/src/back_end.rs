//! A device behind its socket.

use core::fmt;
use std::io;

use crate::options::Options;
use crate::report::{report, say};
use crate::session::Session;
use crate::socket::Socket;
use crate::vhost_user_device::VhostUserDevice;

/// A device behind a socket, served to one front end after the other.
///
/// [`run`](crate::run) is a `main` with one, which also survives SIGBUS. Another program can have several, each on a
/// thread:
///
/// ```no_run
/// use virtio_chain::WritableChain;
/// use virtio_vhost_user::{BackEnd, Options, VhostUserDevice, Worker};
///
/// struct Zeros;
///
/// impl VhostUserDevice for Zeros {
///     const TYPE: &'static str = "rng";
///
///     fn worker(&self, _queue: usize, _features: u64) -> Worker {
///         Worker::at_once(|chain| drop(WritableChain::new(chain).write_all(&[0; 64])))
///     }
/// }
///
/// let back_end = BackEnd::new(Options::at("/run/zeros.sock"), Zeros)?;
/// std::thread::scope(|scope| {
///     let served = scope.spawn(|| back_end.serve());
///     // Later:
///     back_end.stop();
///     served.join().unwrap_or(Ok(()))
/// })?;
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct BackEnd<D> {
    options: Options,
    device: D,
    socket: Socket,
}

impl<D: VhostUserDevice> BackEnd<D> {
    /// Makes the socket, or takes over the one that was inherited. From here on, front ends can connect.
    ///
    /// # Errors
    ///
    /// If there can be no such socket.
    pub fn new(options: Options, device: D) -> io::Result<Self> {
        let socket = Socket::open(&options)?;
        Ok(Self { options, device, socket })
    }

    /// Serves one front end after the other, until it is [stopped](Self::stop). If a connected socket was inherited, it
    /// serves the front end that is connected, and returns when that has gone.
    ///
    /// Nothing goes to the standard output of the program. What is wrong goes to the standard error. The
    /// [report](VhostUserDevice::report) of the device is for [`run`](crate::run), and for whoever asks the
    /// [device](Self::device).
    ///
    /// # Errors
    ///
    /// If nobody can connect any more.
    pub fn serve(&self) -> io::Result<()> {
        self.serve_each(|_| ())
    }

    /// Does so, and calls `gone` when a front end has gone.
    fn serve_each(&self, mut gone: impl FnMut(&Self)) -> io::Result<()> {
        while let Some(connection) = self.socket.accept()? {
            Session::new(&self.device, &self.options, &self.socket).run(connection);
            self.socket.hang_up();
            gone(self);
        }
        Ok(())
    }

    /// Ends [`serve`](Self::serve), whatever the front end that is connected does.
    pub fn stop(&self) {
        self.socket.stop();
    }

    /// Returns the device.
    #[must_use]
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// Writes the report of the device to the standard output, unless nobody reads that.
    pub(crate) fn report(&self) {
        say(self.device.report());
    }

    /// Serves, writes the report of the device when a front end has gone, and says what was wrong. At the end, it
    /// writes the report once more if it has changed since.
    pub(crate) fn serve_reporting(&self) -> bool {
        let mut last = String::new();
        let served = self.serve_each(|back_end| {
            last = back_end.device.report();
            say(last.clone());
        });
        let end = self.device.report();
        if end != last {
            say(end);
        }
        served.inspect_err(|error| report(format_args!("error: {error}"))).is_ok()
    }
}

impl<D> fmt::Debug for BackEnd<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackEnd").field("options", &self.options).field("socket", &self.socket).finish_non_exhaustive()
    }
}
