//! `cargo xtask demo`: the main job with nothing installed.
//!
//! The block device of the examples serves a file on one thread. On another, a driver that this project did not write,
//! the crate `virtio-drivers`, uses it. Between them are a transport, which is all calls and doorbells, and shared
//! memory.

#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "it runs where there is a terminal")]

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Serve a file through the layers to a driver that this project did not write
#[derive(Parser)]
#[command(bin_name = "cargo xtask demo")]
struct Args {
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

fn main() -> ExitCode {
    xtask_support::main(run)
}

fn run(args: &Args) -> Result<ExitCode> {
    match &args.image {
        Some(path) => serve::serve_image(path, |file| file),
        None => serve::serve_temporary(args.requests, args.seed, |file| file),
    }
}
