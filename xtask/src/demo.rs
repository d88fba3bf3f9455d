//! `cargo xtask demo`: the main job with nothing installed.
//!
//! The block device of the examples serves a file on one thread. On another, a driver that this project did not write,
//! the crate `virtio-drivers`, uses it. Between them are a transport, which is all calls and doorbells, and shared
//! memory.

#[cfg(feature = "devices")]
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

/// Serve a file through the layers to a driver that this project did not write
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Serve this file read-only, and compare what the driver reads with it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["requests", "seed"])]
    image: Option<PathBuf>,
    /// How many requests to make to a temporary disk
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// What the requests are derived from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs the demo.
#[cfg(feature = "devices")]
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.image {
        Some(path) => serve::serve_image(path, |file| file),
        None => serve::serve_temporary(args.requests, args.seed, |file| file),
    }
}

/// The arguments make sense, and are for a program that has the devices.
#[cfg(not(feature = "devices"))]
pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    crate::devices::run()
}
