//! The files that people write.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use xtask_support::cargo::workspace_root;

/// Returns the names and texts of all files that git knows or would, and whose names fit one of `patterns`.
pub(crate) fn sources(patterns: &[&str]) -> Result<Vec<(String, String)>> {
    let root = workspace_root();
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).args(patterns).current_dir(root);
    let files = git.output().context("git")?;
    ensure!(files.status.success(), "git ls-files: {}", String::from_utf8_lossy(&files.stderr));
    // A file that git knows may have been removed.
    let read = |name: &str| Some((name.to_owned(), fs::read_to_string(root.join(name)).ok()?));
    Ok(String::from_utf8(files.stdout)?.lines().filter_map(read).collect())
}
