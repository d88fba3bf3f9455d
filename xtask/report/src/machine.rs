//! What a report has to say of where it came from.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::about::{Commit, Machine};
use xtask_support::cargo::{program, workspace_root};

/// Returns what was typed.
pub(crate) fn command() -> String {
    let mut args = env::args();
    let program = args.next().unwrap_or_default();
    let verb = Path::new(&program).file_stem().and_then(OsStr::to_str).unwrap_or_default().trim_start_matches("xtask-");
    let args = args.map(|arg| if arg.contains([' ', '|', '*', '(']) { format!("'{arg}'") } else { arg });
    ["cargo", "xtask", verb].map(str::to_owned).into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

/// Returns the commit that is checked out, if this is a git repository.
pub(crate) fn commit() -> Option<Commit> {
    let git = |args: &[&str]| printed("git".into(), args).ok();
    let id = git(&["rev-parse", "--short=12", "HEAD"])?;
    Some(Commit { id, dirty: !git(&["status", "--porcelain"])?.is_empty() })
}

/// Returns what Linux says of the machine.
pub(crate) fn machine() -> Result<Machine> {
    let read = |path| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let processor = read("/proc/cpuinfo")?;
    let memory = read("/proc/meminfo")?;
    let kibibytes = field(&memory, "MemTotal").and_then(|total| total.trim_end_matches(" kB").parse::<u64>().ok());
    Ok(Machine {
        processor: field(&processor, "model name").unwrap_or("unknown processor").to_owned(),
        cores: thread::available_parallelism()?.get(),
        memory: kibibytes.map_or("unknown memory".to_owned(), |total| format!("{} GiB", total.div_ceil(1 << 20))),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease")?.trim()),
        virtualised: field(&processor, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
    })
}

/// Returns how many threads ran on average in the last minute, and says so if the machine is too busy to measure
/// anything.
pub(crate) fn load() -> Result<f64> {
    let averages = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    let load = averages.split(' ').next().unwrap_or_default().parse()?;
    if load > 1.0 {
        eprintln!("warning: the machine is busy with something else (load {load}), which will show in the figures");
    }
    Ok(load)
}

/// Returns the value of the first line in a file of names and values.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value)
}

pub(crate) fn rustc() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    printed(rustc, &["-V"])
}

/// Returns the version of a crate that is locked, if it is one of those in use.
pub fn locked_version(name: &str) -> Option<String> {
    let id = printed(program(), &["pkgid", "--locked", name]).ok()?;
    Some(id.rsplit_once('@')?.1.to_owned())
}

/// Returns what a program prints in the directory of the workspace.
pub fn printed(program: OsString, args: &[&str]) -> Result<String> {
    let output = Command::new(&program).args(args).current_dir(workspace_root()).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{} {}: {}", program.display(), args.join(" "), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_found_by_its_whole_name() {
        let text = "model\t\t: 106\nmodel name\t: Xeon: a processor\nflags : fpu vme\n";
        assert_eq!(field(text, "model name"), Some("Xeon: a processor"));
        assert_eq!(field(text, "name"), None);
    }
}
