//! Cargo, as a tool.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::spinner::Spinner;

/// Returns the directory of the workspace.
pub fn workspace_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Reads what cargo knows about the workspace's own packages.
///
/// # Errors
///
/// If the lock file is not up to date, or a manifest makes no sense.
pub fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .cargo_path(program())
        .current_dir(workspace_root())
        .no_deps()
        .other_options(["--locked".into()])
        .exec()
        .context("`cargo metadata --locked` failed")
}

/// The cargo that runs this program, which need not be the one in the path.
pub fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the target that the compiler builds for by itself.
///
/// # Errors
///
/// If the compiler cannot be asked.
pub fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot run rustc")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let host = printed.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    Ok(host.to_owned())
}

/// A call of cargo in the workspace's directory.
pub struct Cargo {
    command: Command,
    line: String,
}

impl Cargo {
    /// A call with arguments that have no spaces in them.
    pub fn new(line: impl Into<String>) -> Self {
        let line = line.into();
        let mut command = Command::new(program());
        command.current_dir(workspace_root()).args(line.split_whitespace());
        if io::stderr().is_terminal() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        Self { command, line }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Adds an argument that can have spaces in it.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.command.arg(argument.into());
        self
    }

    /// Runs it, showing the latest line of what it prints, and returns all of that.
    ///
    /// # Errors
    ///
    /// If it cannot be run or fails. In that case all that it printed is on the terminal.
    pub fn run(mut self, spinner: &Spinner) -> Result<String> {
        let (reader, writer) = io::pipe()?;
        self.command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = self.command.spawn().with_context(|| format!("cannot run `cargo {}`", self.line))?;
        // It holds our ends of the pipe, which then has no end.
        drop(self.command);

        let mut printed = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            spinner.show(&line);
            printed += &line;
            printed.push('\n');
        }
        if !child.wait()?.success() {
            spinner.print(&printed);
            bail!("`cargo {}` failed", self.line);
        }
        Ok(printed)
    }
}
