//! A vhost-user back end as a process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, process};

use anyhow::{Context, Result, ensure};

use crate::cargo::{Cargo, metadata};
use crate::spinner::Spinner;

/// Builds the program of a back end for speed, and returns where it is.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    let spinner = Spinner::new(format!("building {name}"));
    Cargo::new(format!("build --locked --release --package virtio-examples --bin {name}")).run(&spinner)?;
    Ok(metadata()?.target_directory.join("release").join(name).into_std_path_buf())
}

/// A running back end.
pub(super) struct BackEnd {
    child: Child,
    socket: PathBuf,
}

impl BackEnd {
    /// Starts the program, and waits until it serves.
    pub(super) fn start(program: &Path, args: &[&str]) -> Result<Self> {
        let socket = env::temp_dir().join(format!("virtio-xtask-interop-{}.sock", process::id()));
        let mut command = Command::new(program);
        command.arg("--socket").arg(&socket).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let back_end = Self { child, socket };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.starts_with("serving "), "{} does not serve: {line}", program.display());
        Ok(back_end)
    }

    /// Returns where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns whether it has not ended, as it never should.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        // It may have ended by itself, and that was noticed elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}
