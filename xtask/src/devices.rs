//! The verbs that run devices: another build of this program has them, with the feature `devices` and made for speed.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{Cargo, program, workspace_root};
use crate::spinner::Spinner;

const BUILD: &str = "--locked --release --package xtask --features devices";

/// Calls that build with the same arguments, and returns its exit code.
pub(crate) fn run() -> Result<ExitCode> {
    let spinner = Spinner::new("building the devices".into());
    Cargo::new(format!("build {BUILD}")).run(&spinner)?;
    drop(spinner);
    // Not in the directory of the workspace, because of paths in the arguments.
    let mut command = Command::new(program());
    command.args(["run", "--quiet", "--manifest-path"]).arg(workspace_root().join("Cargo.toml"));
    command.args(BUILD.split_whitespace()).arg("--").args(env::args_os().skip(1));
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
