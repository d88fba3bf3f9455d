//! Programs that are called for what they do, and print something if they cannot.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a program to its end.
///
/// # Errors
///
/// If it cannot be run, or says that it failed, with all that it printed.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let printed = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&printed).trim_end());
    Ok(())
}
