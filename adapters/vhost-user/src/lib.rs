//! Devices behind a vhost-user socket.
//!
//! A back end is a program that serves a device to whoever connects to a socket: QEMU, DPDK, libblkio. Everything that
//! device types have in common in that is here. One of them brings its [`VhostUserDevice`] and a `main`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use virtio_chain::{TransferError, WritableChain};
//! use virtio_queue_core::Chain;
//! use virtio_vhost_user::{Device, Options, VhostUserDevice};
//!
//! /// Answers every chain with what the clock says.
//! struct Clock;
//!
//! impl Device for Clock {
//!     type Error = TransferError;
//!
//!     fn process(&mut self, chain: impl Chain) -> Result<u64, TransferError> {
//!         let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
//!         WritableChain::new(chain).write_all(&now.to_le_bytes())?;
//!         Ok(8)
//!     }
//! }
//!
//! impl VhostUserDevice for Clock {
//!     type Worker = Clock;
//!
//!     fn worker(&self, _index: usize, _features: u64) -> Clock {
//!         Clock
//!     }
//! }
//!
//! /// Says what time it is
//! #[derive(clap::Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     options: Options,
//! }
//!
//! fn main() -> ExitCode {
//!     virtio_vhost_user::run(|args: Args| Ok((args.options, Clock)))
//! }
//! ```
//!
//! The messages are handled on the main thread, and each ring that runs has a thread of its own, or one together with
//! those that it belongs to. Between messages and rings there is one rule: whatever concerns a ring that runs is
//! changed while it does not. Its thread ends at a point where nothing is in flight, and another one goes on from
//! there.
//!
//! # Front ends that are not to be trusted
//!
//! A front end can make its own device fail, and nothing else. Two things remain that no back end can prevent, because
//! it is the front end who owns what is shared. If it makes the file behind a region shorter afterwards, then an access
//! ends this process with SIGBUS; what is beyond the end of the file from the beginning is refused. And if it makes the
//! eventfd of a ring block, and fills it, then the next notification waits until it is read, and so does whoever stops
//! that ring.

mod device;
mod early;
mod event;
mod group;
mod inflight;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod memory;
mod options;
mod report;
mod session;
#[expect(unsafe_code, reason = "what is mapped is vouched for here")]
mod shm;
mod socket;
mod vring;
mod worker;

use core::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

pub use device::{Device, Serve, Served, Turn, WaitsFor};
pub use options::Options;
use session::Session;
use socket::Socket;

use report::report;

/// A device type, as vhost-user front ends get to know it.
pub trait VhostUserDevice: Sync {
    /// What serves its queues, or those of them that belong together, on a thread of its own.
    type Worker: Serve + Send + 'static;

    /// How many queues belong together, at most two: 2 of a network device, which receives and transmits.
    const QUEUES_PER_WORKER: usize = 1;

    /// Returns what serves the queues from `index * QUEUES_PER_WORKER` on, for a driver that accepted `features`.
    fn worker(&self, index: usize, features: u64) -> Self::Worker;

    /// Returns the features that the device offers, the queue's not among them.
    fn features(&self) -> u64 {
        0
    }

    /// Returns the configuration space, of which nothing can be written.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Returns the number of workers.
    fn workers(&self) -> usize {
        1
    }

    /// Says what it has done until now, for whoever reads the standard output: when a front end has gone, with all that
    /// served it, and at any time on SIGUSR1.
    fn report(&self) {}
}

/// Is the `main` of a back end: makes a device as the arguments `A` say, and serves it to one front end after the
/// other, until SIGTERM or SIGINT. When they can connect, there is a line that says so on the standard output.
///
/// What is wrong with the arguments is said in one line, and the exit code is 2 then.
pub fn run<A: Parser, D: VhostUserDevice>(
    make: impl FnOnce(A) -> Result<(Options, D), Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return wrong_arguments(&error.to_string()),
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    let prepared = make(args).and_then(|(options, device)| {
        // In this order: from the moment that there is a file, a signal removes it.
        let signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
        let socket = Socket::bind(&options.socket)
            .map_err(|error| io::Error::other(format!("{}: {error}", options.socket.display())))?;
        Ok((options, device, signals, socket))
    });
    match prepared {
        Ok((options, device, signals, socket)) => {
            // Nobody has to listen.
            let _ = writeln!(io::stdout(), "serving {}", options.socket.display());
            serve(&options, &device, signals, &socket)
        }
        Err(error) => wrong_arguments(&format!("error: {error}")),
    }
}

/// Serves one front end after the other, until there is a signal.
fn serve(options: &Options, device: &impl VhostUserDevice, mut signals: Signals, socket: &Socket) -> ExitCode {
    let signals_end = signals.handle();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            signals.forever().for_each(|signal| if signal == SIGUSR1 { device.report() } else { socket.stop() });
        });
        let result = serve_all(options, device, socket);
        signals_end.close();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_all(options: &Options, device: &impl VhostUserDevice, socket: &Socket) -> io::Result<()> {
    while let Some(connection) = socket.accept()? {
        Session::new(device, options).run(connection);
        socket.hang_up();
        device.report();
    }
    Ok(())
}

/// Says what is wrong, in one line of what clap has to say.
fn wrong_arguments(message: &str) -> ExitCode {
    let lines: Vec<_> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    report(format_args!("{}", lines.join(" ")));
    ExitCode::from(2)
}
