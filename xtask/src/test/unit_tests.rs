//! Crates whose manifests say that they have no unit tests, so that cargo compiles no program for these.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask_support::cargo::metadata;

use super::house_rules::source_files;

/// Returns a sentence for each file with tests that would never run.
pub(super) fn check_tree() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let untested = targets.filter(|target| !target.test && (target.is_lib() || target.is_bin()));
    let mut violations = Vec::new();
    for root in untested.map(|target| target.src_path.as_std_path()) {
        for file in files(root)? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            if has_tests(&text) {
                violations.push(format!(
                    "{}: its tests do not run, because its manifest says `test = false`",
                    file.display()
                ));
            }
        }
    }
    Ok(violations)
}

/// Returns the files of the crate with this root. A file in the folder `bin` is a crate of its own.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.parent().context("a file is in a folder")?;
    if folder.ends_with("bin") {
        return Ok(vec![root.to_owned()]);
    }
    let mut files = source_files(folder)?;
    files.retain(|file| !file.starts_with(folder.join("bin")));
    Ok(files)
}

fn has_tests(source: &str) -> bool {
    source.lines().map(str::trim).any(|line| line == "#[cfg(test)]" || line == "#[test]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_in_a_source_are_found() {
        assert!(has_tests("fn f() {}\n\n#[cfg(test)]\nmod tests {}\n"));
        assert!(has_tests("    #[test]\n    fn f() {}"));
        assert!(!has_tests("/// A `#[test]` calls it.\nfn f() {}"));
    }
}
