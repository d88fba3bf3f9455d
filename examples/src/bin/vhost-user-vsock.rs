//! Serves a socket device to vhost-user front ends.

#![expect(clippy::std_instead_of_alloc, reason = "a program has the standard library")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, value_parser};
use virtio_examples::vsock::{Counters, EventQueue, Listener, TRANSMIT, VsockConfig, VsockDevice, feature};
use virtio_vhost_user::{Options, VhostUserDevice, Worker};
use zerocopy::IntoBytes;

/// Connects programs of guests to programs of the host, for vhost-user front ends, one after the other
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// The context id of the guest: from 3 to 4294967294
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(3..0xffff_ffff))]
    guest_cid: u32,
    /// The socket at which programs of the host connect to the guest: they write `CONNECT`, a port and the end of the
    /// line, and read `OK`. A program that waits for the guest at port 1234 listens at this path with `_1234` after it
    #[arg(long, value_name = "PATH")]
    uds_path: PathBuf,
}

fn main() -> ExitCode {
    virtio_vhost_user::run(|Args { options, guest_cid, uds_path }: Args| {
        let listener =
            Listener::bind(&uds_path).map_err(|error| format!("--uds-path {}: {error}", uds_path.display()))?;
        let (listener, counters) = (Arc::new(listener), Arc::default());
        Ok((options, Vsock { guest_cid: guest_cid.into(), listener, counters }))
    })
}

/// A socket device without connections.
struct Vsock {
    guest_cid: u64,
    listener: Arc<Listener>,
    counters: Arc<Counters>,
}

impl VhostUserDevice for Vsock {
    const TYPE: &'static str = "vsock";
    const QUEUES_PER_WORKER: usize = 2;

    fn worker(&self, queue: usize, _features: u64) -> Worker {
        if queue > TRANSMIT {
            return Worker::serve(EventQueue);
        }
        match VsockDevice::new(self.guest_cid, Arc::clone(&self.listener), Arc::clone(&self.counters)) {
            Ok(device) => Worker::serve(device),
            Err(error) => {
                // `eprintln` panics if standard error is closed.
                let _ = writeln!(io::stderr(), "there are no connections: {error}");
                Worker::serve(EventQueue)
            }
        }
    }

    fn features(&self) -> u64 {
        feature::STREAM
    }

    fn config(&self) -> Vec<u8> {
        VsockConfig { guest_cid: self.guest_cid.into() }.as_bytes().to_vec()
    }

    /// Returns the number of queues: to receive, to transmit, and for events.
    fn num_queues(&self) -> usize {
        3
    }

    /// Returns what guests and the host have done.
    fn report(&self) -> String {
        self.counters.to_string()
    }
}
