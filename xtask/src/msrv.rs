//! `cargo xtask msrv`: the oldest Rust that the crates claim to build with.

use std::process::ExitCode;

use anyhow::Result;
use xtask_support::Spinner;

use crate::oldest_rust::{OldestRust, VERSION, count};

/// Test the layers, and build the adapters, with the oldest Rust that they claim to build with
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints how many tests passed.
pub(crate) fn run() -> Result<ExitCode> {
    let spinner = Spinner::new("msrv".into());
    let rust = OldestRust::prepare(&[], &spinner)?;
    rust.cargo(&rust.check_adapters()).run(&spinner)?;
    let passed = count(&rust.cargo(&rust.test_layers()).run(&spinner)?);
    spinner.finish("");
    println!("Rust {VERSION} compiles the layers and the adapters");
    println!("{passed} passed, 0 failed");
    Ok(ExitCode::SUCCESS)
}
