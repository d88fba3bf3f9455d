//! The programs that measure. They are built first, all of them, and then run without cargo.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use cargo_metadata::Message;

use super::measurement::step;
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, program, workspace_root};

const BUILD: &str = "bench --no-run --locked --package xtask-bench";

/// Where they are.
pub(crate) struct Programs {
    /// Cases on one core, with criterion.
    pub(crate) virtqueue: Program,
    /// Driver and device on a core each.
    pub(crate) two_cores: Program,
    /// What is run by callgrind, built as cargo does it and with fat LTO.
    pub(crate) instructions: Program,
    pub(crate) instructions_lto: Program,
}

/// One of them.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    quick: bool,
}

impl Programs {
    /// Builds them, for the few cases of a quick look or for all of them.
    pub(crate) fn build(quick: bool) -> Result<Self> {
        step("build", |spinner| {
            let [virtqueue, two_cores, instructions] =
                build(["virtqueue", "two_cores", "instructions"], "bench", quick, spinner)?;
            let [instructions_lto] = build(["instructions"], "bench-lto", quick, spinner)?;
            Ok(Self { virtqueue, two_cores, instructions, instructions_lto })
        })
    }
}

/// Builds `benches` with a profile.
fn build<const N: usize>(benches: [&str; N], profile: &str, quick: bool, spinner: &Spinner) -> Result<[Program; N]> {
    let line = format!("{BUILD} --profile {profile} {}", benches.map(|bench| format!("--bench {bench}")).join(" "));
    Cargo::new(&line).run(spinner)?;
    let mut paths = executables(&line)?;
    let mut programs = Vec::new();
    for bench in benches {
        let path = paths.remove(bench).ok_or_else(|| anyhow!("cargo built no program for the bench {bench}"))?;
        programs.push(Program { path, quick });
    }
    programs.try_into().map_err(|_| anyhow!("there is one program for each bench"))
}

impl Program {
    /// A call of it, as cargo would call it.
    pub(crate) fn call(&self) -> Command {
        let mut command = self.command(&self.path);
        command.arg("--bench");
        command
    }

    /// A call of a program that calls it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(workspace_root());
        if self.quick {
            command.env("XTASK_BENCH_QUICK", "1");
        }
        command
    }
}

/// Asks what the last build has left where; nothing is built again.
fn executables(line: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = Command::new(program());
    command.current_dir(workspace_root()).args(line.split_whitespace()).arg("--message-format=json");
    let output = command.output()?;
    ensure!(output.status.success(), "`cargo {line}`: {}", String::from_utf8_lossy(&output.stderr));
    let mut paths = BTreeMap::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(path) = artifact.executable
        {
            paths.insert(artifact.target.name, path.into());
        }
    }
    Ok(paths)
}

/// Runs `command`, showing what it says on the way, and returns what it prints.
///
/// # Errors
///
/// If it cannot be run or fails. In that case all that it said is on the terminal.
pub(crate) fn run(mut command: Command, spinner: &Spinner) -> Result<String> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both are pipes");
    };
    let mut printed = String::new();
    let said = thread::scope(|scope| {
        let said = scope.spawn(|| show_lines(stderr, spinner));
        stdout.read_to_string(&mut printed)?;
        said.join().map_err(|_| anyhow!("{name} said what cannot be shown"))
    })?;
    if !child.wait()?.success() {
        spinner.print(&format!("{printed}{said}"));
        bail!("{name} failed");
    }
    Ok(printed)
}

/// Shows each line, and returns all of them.
fn show_lines(from: impl Read, spinner: &Spinner) -> String {
    let mut lines = String::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        spinner.show(&line);
        lines += &line;
        lines.push('\n');
    }
    lines
}
