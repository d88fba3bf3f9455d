//! Programs that are called for what they do, and print something if they cannot.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Returns where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Returns the packages of those programs that are not there: of each, its name and the package that brings it.
pub fn missing<'p>(programs: &[(&str, &'p str)]) -> Vec<&'p str> {
    let mut missing: Vec<_> = programs.iter().filter(|(name, _)| find(name).is_none()).map(|(_, name)| *name).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Checks that nothing is missing.
///
/// # Errors
///
/// If there is something. The error says how to get it.
pub fn ensure_installed(missing: &[&str]) -> Result<()> {
    ensure!(missing.is_empty(), "not everything is installed: apt-get install {}", missing.join(" "));
    Ok(())
}

/// Runs a program to its end.
///
/// # Errors
///
/// If it cannot be run, or says that it failed, with all that it printed.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let printed = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&printed).trim_end());
    Ok(())
}
