//! The public API of a crate, against the list of it in docs/api. A change shows in that list, where it can be judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::Package;

use xtask_support::Spinner;
use xtask_support::cargo::{Cargo, workspace_root};

/// How many changes are named. The rest can be seen with git, once they are accepted.
const NAMED: usize = 20;

/// Returns a line for each item that was added or is gone, or none where the list is written anew.
pub(crate) fn compare(package: &Package, json: &Path, accept: bool, spinner: &Spinner) -> Result<Vec<String>> {
    let listed = workspace_root().join("docs/api").join(format!("{}.txt", package.name));
    let now = json.with_extension("txt");
    let list = Cargo::new("run --quiet --locked -p xtask-public-api --");
    list.arg(json).arg(&now).run(spinner)?;
    if accept {
        fs::copy(&now, &listed).with_context(|| format!("cannot write {}", listed.display()))?;
    }
    let listed = fs::read_to_string(&listed).unwrap_or_default();
    Ok(changes(&listed, &fs::read_to_string(&now)?))
}

fn changes(listed: &str, now: &str) -> Vec<String> {
    let [listed, now] = [listed, now].map(|list| list.lines().collect::<BTreeSet<_>>());
    let gone = listed.difference(&now).map(|item| format!("- {item}"));
    gone.chain(now.difference(&listed).map(|item| format!("+ {item}"))).collect()
}

/// Returns what to do about changes: one sentence, if there are any.
pub(crate) fn explain(changes: &[String]) -> Vec<String> {
    if changes.is_empty() {
        return Vec::new();
    }
    let mut named: Vec<_> = changes.iter().take(NAMED).cloned().collect();
    if changes.len() > NAMED {
        named.push(format!("and {} more", changes.len() - NAMED));
    }
    vec![format!(
        "its public API differs from docs/api, lines: {}. If that is meant, run `cargo xtask package --accept`, and \
         commit the list with a line in CHANGELOG.md.\n{}",
        changes.len(),
        named.join("\n")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_same_list_none() {
        assert_eq!(changes("pub fn a()\npub fn b()\n", "pub fn a()\npub fn b()\n"), Vec::<String>::new());
        assert_eq!(explain(&[]), Vec::<String>::new());
    }

    #[test]
    fn changes_both_sides_named() {
        let found = changes("pub fn a()\npub fn b()\n", "pub fn a()\npub fn c()\n");
        assert_eq!(found, ["- pub fn b()", "+ pub fn c()"]);
        let sentence = explain(&found).concat();
        assert!(sentence.starts_with("its public API differs from docs/api, lines: 2."), "{sentence}");
        assert!(sentence.ends_with("- pub fn b()\n+ pub fn c()"), "{sentence}");
    }
}
