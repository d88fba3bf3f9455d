//! Sends random bytes to vhost-user front ends.

use std::process::ExitCode;

use clap::Parser;
use virtio_examples::rng::{OsEntropy, RngDevice};
use virtio_vhost_user::{Options, VhostUserDevice, Worker};

/// Sends random bytes to vhost-user front ends, one after the other
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    virtio_vhost_user::run(|Args { options }| Ok((options, Rng)))
}

/// Random bytes from the operating system.
struct Rng;

impl VhostUserDevice for Rng {
    const TYPE: &'static str = "rng";

    fn worker(&self, _queue: usize, _features: u64) -> Worker {
        Worker::serve(RngDevice::new(OsEntropy))
    }
}
