//! The files that people write.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use xtask_support::cargo::workspace_root;

/// Returns the names of all files that git knows or would, and that fit one of `patterns`.
pub(crate) fn names(patterns: &[&str]) -> Result<Vec<String>> {
    let root = workspace_root();
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).args(patterns).current_dir(root);
    let files = git.output().context("git")?;
    ensure!(files.status.success(), "git ls-files: {}", String::from_utf8_lossy(&files.stderr));
    let names = String::from_utf8(files.stdout)?;
    // A file that git knows can have been removed.
    Ok(names.lines().filter(|name| root.join(name).exists()).map(str::to_owned).collect())
}

/// Returns these files with their texts.
pub(crate) fn sources(patterns: &[&str]) -> Result<Vec<(String, String)>> {
    let read = |name: String| {
        let text = fs::read_to_string(workspace_root().join(&name)).with_context(|| name.clone())?;
        Ok((name, text))
    };
    names(patterns)?.into_iter().map(read).collect()
}
