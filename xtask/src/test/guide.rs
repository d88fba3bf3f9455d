//! The guide *Your first device*, followed as far as it goes without a guest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::apart::apart;
use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, metadata, workspace_root};

const GUIDE: &str = "docs/guides/first-device.md";

/// The files that the guide has a reader write, and that are made here.
const FILES: [&str; 3] = ["src/lib.rs", "src/main.rs", "tests/greets.rs"];

/// A file for the guest, which is not made here.
const FOR_GUEST: &str = "guest/init";

/// A reader of the guide sees no warning.
const MANIFEST: &str = "[package]
name = \"greeter\"
edition = \"2024\"

[workspace]

[lints.rust]
warnings = \"deny\"
";

/// Makes the package in the guide, and tests it.
pub(super) fn follow(spinner: &Spinner) -> Result<()> {
    let guide = fs::read_to_string(workspace_root().join(GUIDE)).context(GUIDE)?;
    let package = metadata()?.target_directory.join("first-device/greeter");
    for file in FILES.into_iter().chain([FOR_GUEST]) {
        ensure!(has_folder(&guide, file), "{GUIDE} must have a `mkdir` for the folder of `{file}` before that file");
    }
    for file in FILES {
        let path = package.join(file);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, code(&guide, file).with_context(|| format!("{GUIDE} must have the code of `{file}`"))?)?;
    }
    // A workspace of its own, with the versions of this one as long as they serve.
    fs::write(package.join("Cargo.toml"), MANIFEST)?;
    fs::copy(workspace_root().join("Cargo.lock"), package.join("Cargo.lock"))?;
    let workspace = workspace_root().canonicalize()?;
    for line in guide.lines().filter(|line| line.starts_with("cargo add ")) {
        add(line, &workspace, package.as_std_path(), spinner)?;
    }
    apart("test")?.arg("--manifest-path").arg(package.join("Cargo.toml")).run(spinner)?;
    Ok(())
}

/// Adds a dependency, as a line of the guide says.
fn add(line: &str, workspace: &Path, package: &Path, spinner: &Spinner) -> Result<()> {
    let mut cargo = Cargo::new("add").arg("--manifest-path").arg(package.join("Cargo.toml"));
    for word in line.split_whitespace().skip(2) {
        cargo = cargo.arg(word.replace("$VIRTIO", &workspace.to_string_lossy()));
    }
    cargo.run(spinner)?;
    Ok(())
}

/// Returns whether the folder of `file` is there when the guide comes to that file: `cargo new` makes `src`, and the
/// guide makes others.
fn has_folder(guide: &str, file: &str) -> bool {
    let Some((folder, _)) = file.rsplit_once('/') else { return true };
    let before = guide.split(&format!("`{file}`:")).next().unwrap_or_default();
    let made = before.lines().filter_map(|line| line.strip_prefix("mkdir ")).flat_map(str::split_whitespace);
    folder == "src" || made.map(Path::new).any(|made| made.starts_with(folder))
}

/// Returns the block of code that follows the name of `file` and a colon.
fn code<'g>(guide: &'g str, file: &str) -> Option<&'g str> {
    let (_, after) = guide.split_once(&format!("`{file}`:\n\n```rust\n"))?;
    after.split_once("\n```\n").map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_file_is_made_before_the_file() {
        let guide = "`src/a.rs`:\n\n`b/early`:\n\nmkdir -p b/deep\n\n`b/late`:";
        assert!(has_folder(guide, "src/a.rs"));
        assert!(!has_folder(guide, "b/early"));
        assert!(has_folder(guide, "b/late"));
        assert!(!has_folder(guide, "deep/late"));
    }

    #[test]
    fn code_of_a_file_is_the_block_behind_its_name() {
        let block = |name| format!("`src/{name}.rs`:\n\n```rust\nfn {name}() {{}}\n```\n");
        let guide = &format!("`src/a.rs` is first.\n\n{}\n{}", block("a"), block("b"));
        assert_eq!(code(guide, "src/a.rs"), Some("fn a() {}"));
        assert_eq!(code(guide, "src/b.rs"), Some("fn b() {}"));
        assert_eq!(code(guide, "src/c.rs"), None);
    }
}
