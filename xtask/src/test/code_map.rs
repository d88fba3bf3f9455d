//! Whether the code map of ARCHITECTURE.md is that of the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sources::names;

/// The file with the map, below the root.
const FILE: &str = "ARCHITECTURE.md";

/// Checks the map, and returns a sentence for everything that it names and that is not there, and the other way round.
pub(super) fn check_tree(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    Ok(check(&text, |path| root.join(path).exists(), &names(&["*/src/*.rs"])?))
}

fn check(text: &str, exists: impl Fn(&str) -> bool, files: &[String]) -> Vec<String> {
    let map = entries(text);
    let gone = map.iter().filter(|path| !exists(path));
    let gone = gone.map(|path| format!("{FILE}: the code map names `{path}`, which does not exist"));
    let modules: BTreeSet<_> = files.iter().filter_map(|file| module(file)).collect();
    let missing = modules.iter().filter(|module| !map.iter().any(|path| covers(path, module)));
    let missing = missing.map(|module| format!("{FILE}: the code map does not name `{module}`, or what it is in"));
    gone.chain(missing).collect()
}

/// Returns the paths in the first column of the map. The first one of a row has its whole path, or `…/` for the folder
/// of the row before; the others are in the same folder.
fn entries(text: &str) -> Vec<String> {
    let section = text.split("\n## ").find(|section| section.starts_with("Code map\n")).unwrap_or_default();
    let (mut folder, mut paths) = (String::new(), Vec::new());
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let first = row.split(" | ").next().unwrap_or_default();
        for (index, name) in first.split('`').step_by(2).filter(|name| !name.is_empty()).enumerate() {
            let name = match name.strip_prefix("…/") {
                Some(name) => name,
                None if index > 0 => name,
                None => {
                    let end = name.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
                    folder = name[..end].to_owned();
                    &name[end..]
                }
            };
            paths.push(format!("{folder}{name}"));
        }
    }
    paths
}

/// Returns the module at the root of a crate that `file` belongs to, as a path without an ending, or the folder of the
/// crate if it is the root.
fn module(file: &str) -> Option<&str> {
    let (package, rest) = file.split_once("/src/")?;
    let name = rest.split('/').next()?.trim_end_matches(".rs");
    let len = if matches!(name, "lib" | "main") { package.len() } else { package.len() + "/src/".len() + name.len() };
    file.get(..len)
}

/// Returns whether a path of the map is a module or a folder that it is in. A crate is named by anything in it.
fn covers(path: &str, module: &str) -> bool {
    let path = path.trim_end_matches('/').trim_end_matches(".rs");
    let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    path == module || below(module, path) || (!module.contains("/src/") && below(path, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# A\n\n## Code map\n\n| where | what |\n| --- | --- |\n| `a/src/one.rs`, `two/` | `not.rs` |\n\
                       | `…/three.rs` | |\n| `tools/b/`, `c/` | |\n\n## More\n\n| `x.rs` | |\n";

    #[track_caller]
    fn check_map(tree: &[&str], expected: &[&str]) {
        let files: Vec<_> = tree.iter().map(|file| (*file).to_owned()).collect();
        let exists = |path: &str| tree.iter().any(|file| *file == path || file.starts_with(path));
        assert_eq!(check(MAP, exists, &files), expected);
    }

    const TREE: [&str; 7] = [
        "a/src/lib.rs",
        "a/src/one.rs",
        "a/src/two.rs",
        "a/src/two/deep.rs",
        "a/src/three.rs",
        "tools/b/src/main.rs",
        "tools/c/src/any.rs",
    ];

    #[test]
    fn map_of_the_tree_is_right() {
        assert_eq!(entries(MAP), ["a/src/one.rs", "a/src/two/", "a/src/three.rs", "tools/b/", "tools/c/"]);
        check_map(&TREE, &[]);
    }

    #[test]
    fn path_that_is_gone_is_named() {
        let sentence = "ARCHITECTURE.md: the code map names `a/src/three.rs`, which does not exist";
        check_map(&[&TREE[..4], &TREE[5..]].concat(), &[sentence]);
    }

    #[test]
    fn module_that_is_new_is_named() {
        for (new, module) in [
            ("a/src/ones.rs", "a/src/ones"),
            ("a/src/four/deep.rs", "a/src/four"),
            ("d/src/lib.rs", "d"),
            ("tools/bc/src/main.rs", "tools/bc"),
        ] {
            let sentence = format!("ARCHITECTURE.md: the code map does not name `{module}`, or what it is in");
            check_map(&[&TREE[..], &[new]].concat(), &[&sentence]);
        }
    }
}
