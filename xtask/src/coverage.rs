//! `cargo xtask coverage`: whether a test runs each `unsafe` block of virtio-mem-traits.
//!
//! A copy of the crate has a counter in each block. That needs no tool beside Rust. A block that is compiled only for a
//! model checker is left out: `cargo xtask loom` runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata, workspace_root};

use crate::sources::{names, sources};

const PACKAGE: &str = "virtio-mem-traits";

/// The file that is compiled only for a model checker.
const MODEL: &str = "src/model.rs";

/// The builds that together compile all blocks: with copies in assembly, and with those in Rust, as under Miri. So what
/// is written for Miri compiles and passes.
const BUILDS: [&str; 2] = ["", "--cfg miri"];

/// What each block calls first. Several test threads call it at the same time.
const COUNTER: &str = r#"
#[allow(missing_docs, clippy::all)]
mod coverage {
    extern crate std;
    use std::io::Write;
    use std::sync::Mutex;

    static SEEN: Mutex<std::vec::Vec<&str>> = Mutex::new(std::vec::Vec::new());

    pub(crate) fn seen(block: &'static str) {
        let mut all = SEEN.lock().unwrap();
        if !all.contains(&block) {
            all.push(block);
            let file = std::fs::OpenOptions::new().append(true).create(true).open(std::env!("VIRTIO_COVERAGE"));
            std::writeln!(file.unwrap(), "{block}").unwrap();
        }
    }
}
"#;

/// List the unsafe blocks of virtio-mem-traits that no test runs
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints how many blocks there are, and those that no test runs.
pub(crate) fn run() -> Result<ExitCode> {
    let folder = metadata()?.target_directory.join("coverage");
    let blocks = copy(folder.as_std_path())?;
    let seen = folder.join("seen");
    let spinner = Spinner::new("coverage".into());
    for flags in BUILDS {
        let line = format!("test --offline --manifest-path {folder}/Cargo.toml --all-features --lib --tests");
        let cargo = Cargo::new(line).env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", folder.join("target"));
        cargo.env("VIRTIO_COVERAGE", &seen).run(&spinner)?;
    }
    spinner.finish("");
    let seen = fs::read_to_string(&seen).context("no test has run a block")?;
    let seen: BTreeSet<&str> = seen.lines().collect();
    let missed: Vec<_> = blocks.iter().filter(|block| !seen.contains(block.as_str())).collect();
    println!("{} unsafe blocks, {} without a test", blocks.len(), missed.len());
    missed.iter().for_each(|block| println!("{PACKAGE}/{block}"));
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a workspace of the crate alone, with counters in its blocks, and returns the blocks.
fn copy(folder: &Path) -> Result<Vec<String>> {
    for old in ["seen", PACKAGE] {
        let old = folder.join(old);
        let removed = if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
        removed.or_else(|error| if old.exists() { Err(error) } else { Ok(()) })?;
    }
    for name in names(&[PACKAGE])? {
        let to = folder.join(&name);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(workspace_root().join(&name), to)?;
    }
    fs::copy(workspace_root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let manifest = fs::read_to_string(workspace_root().join("Cargo.toml"))?;
    fs::write(folder.join("Cargo.toml"), alone(&manifest).context("the workspace has no members")?)?;
    let mut blocks = Vec::new();
    for (name, source) in sources(&[&format!("{PACKAGE}/src/*.rs")])? {
        let place = name.trim_start_matches(PACKAGE).trim_start_matches('/');
        let (mut counted, found) = count(place, &source);
        if place == "src/lib.rs" {
            counted += COUNTER;
        }
        if place != MODEL && (!found.is_empty() || place == "src/lib.rs") {
            fs::write(folder.join(&name), counted)?;
            blocks.extend(found);
        }
    }
    Ok(blocks)
}

/// Returns the manifest of a workspace with this package alone.
fn alone(manifest: &str) -> Option<String> {
    let (before, members) = manifest.split_once("members = [")?;
    let (_, after) = members.split_once(']')?;
    Some(format!("{before}members = [\"{PACKAGE}\"]{after}"))
}

/// Returns a source with a counter in each block, and the places of the blocks. A counter is no constant, so functions
/// are not constant either.
fn count(place: &str, source: &str) -> (String, Vec<String>) {
    let (mut counted, mut blocks) = (String::new(), Vec::new());
    for (line, number) in source.lines().zip(1..) {
        let (code, comment) = line.find("//").map_or((line, ""), |at| line.split_at(at));
        if code.contains("unsafe {") {
            let block = format!("{place}:{number}");
            counted += &code.replace("unsafe {", &format!("unsafe {{ crate::coverage::seen(\"{block}\"); "));
            blocks.push(block);
        } else {
            counted += &code.replace("const unsafe fn", "unsafe fn").replace("const fn", "fn");
        }
        counted += comment;
        counted.push('\n');
    }
    (counted, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_is_in_each_block_and_in_no_comment() {
        let source = "const fn one() {\n    unsafe { two() } // as in unsafe { two() }\n}\n/// unsafe { three() }\n";
        let (counted, blocks) = count("src/one.rs", source);
        let block = "    unsafe { crate::coverage::seen(\"src/one.rs:2\");  two() } // as in unsafe { two() }";
        assert_eq!(counted, format!("fn one() {{\n{block}\n}}\n/// unsafe {{ three() }}\n"));
        assert_eq!(blocks, ["src/one.rs:2"]);
    }

    #[test]
    fn workspace_has_one_member() {
        let manifest = "[workspace]\nmembers = [\n    \"one\",\n]\nresolver = \"3\"\n";
        let expected = "[workspace]\nmembers = [\"virtio-mem-traits\"]\nresolver = \"3\"\n";
        assert_eq!(alone(manifest).as_deref(), Some(expected));
        assert_eq!(alone("[package]"), None);
    }
}
