//! Which files of a crate import which: no file imports in a circle, and none imports from the root of its crate.
//!
//! A parent does not import a child by declaring it. So a file can hold a part of its parent's methods.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::house_rules::source_files;
use super::lexer::{Token, tokens};

/// The path of a module below the root of its crate. That of the root is empty.
type Module = Vec<String>;

/// Returns a sentence for every violation in the crates below `root`: libraries, programs, tests and benchmarks.
pub(super) fn check_tree(root: &Path) -> Result<Vec<String>> {
    let mut crates: BTreeMap<_, BTreeMap<Module, String>> = BTreeMap::new();
    let files = source_files(root)?;
    let folders: BTreeSet<_> = files.iter().filter(|path| is_root(path)).filter_map(|path| path.parent()).collect();
    for path in &files {
        let Some(folder) = path.ancestors().find(|folder| folders.contains(folder)) else { continue };
        let source = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        crates.entry(folder).or_default().insert(module_of(path.strip_prefix(folder)?), source);
    }
    let mut violations = Vec::new();
    for (folder, sources) in crates {
        let name = folder.strip_prefix(root)?.display();
        violations.extend(check_crate(&sources).into_iter().map(|violation| format!("{name}: {violation}")));
    }
    Ok(violations)
}

/// Returns whether a file is the root of a crate. Benchmarks share their folder, and the modules in it.
fn is_root(path: &Path) -> bool {
    path.ends_with("lib.rs") || path.ends_with("main.rs") || path.parent().is_some_and(|path| path.ends_with("benches"))
}

/// Checks the sources of one crate, or of those that share a folder.
fn check_crate(sources: &BTreeMap<Module, String>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut imports: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, source) in sources.iter().filter(|(module, _)| !module.is_empty()) {
        for path in paths(module, &tokens(source), sources) {
            let target = (0..=path.len()).rev().find_map(|len| sources.get_key_value(path.get(..len)?));
            match target {
                // A module that is written in the root itself is a module like any other.
                Some((root, _)) if root.is_empty() && !is_below_module(&path) => violations.push(format!(
                    "`{}` imports `crate::{}` from the root: name the module that defines it",
                    module.join("::"),
                    path.join("::")
                )),
                Some((target, _)) if target != module && !target.is_empty() => {
                    _ = imports.entry(module).or_default().insert(target)
                }
                _ => {}
            }
        }
    }
    let circle = |module: &&Module| reaches(&imports, module, module);
    let circular: Vec<_> = imports.keys().copied().filter(circle).map(|module| module.join("::")).collect();
    if !circular.is_empty() {
        violations.push(format!("these files import in a circle: {}", circular.join(", ")));
    }
    violations
}

/// Returns whether a path from the root on begins with a module. By convention, no other thing with parts is in lower
/// case.
fn is_below_module(path: &Module) -> bool {
    path.len() > 1 && path.first().is_some_and(|first| first.starts_with(char::is_lowercase))
}

/// Returns whether a path of imports leads from `from` to `to`.
fn reaches(imports: &BTreeMap<&Module, BTreeSet<&Module>>, from: &Module, to: &Module) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for target in imports.get(module).into_iter().flatten().copied() {
            if target == to {
                return true;
            }
            if seen.insert(target) {
                next.push(target);
            }
        }
    }
    false
}

fn module_of(path: &Path) -> Module {
    let mut module: Module = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    module
}

/// Returns the paths into the own crate that the file of `module` names, from the root on, except in its tests.
fn paths(module: &Module, tokens: &[Token<'_>], sources: &BTreeMap<Module, String>) -> Vec<Module> {
    let texts: Vec<_> = tokens.iter().map(|token| token.text).collect();
    // Tests, and modules in the file, come last.
    let tests = texts.windows(7).position(|window| window == ["#", "[", "cfg", "(", "test", ")", "]"]);
    let inner = texts.windows(3).position(|window| matches!(window, ["mod", _, "{"]));
    let end = tests.into_iter().chain(inner).min().unwrap_or(texts.len());
    let texts = texts.get(..end).unwrap_or_default();
    let mut found = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let rest = texts.get(index..).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| texts.get(before)).copied();
        match *text {
            "crate" | "super" | "self" if before != Some(":") && !is_visibility(texts.get(..index)) => {
                for path in tree(rest).1 {
                    found.extend(absolute(module, &path));
                }
            }
            "use" => {
                let child = rest.get(1).map(|name| [module.as_slice(), &[(*name).to_owned()]].concat());
                if child.is_some_and(|child| sources.contains_key(&child)) {
                    let below = tree(rest.get(1..).unwrap_or_default()).1;
                    found.extend(below.into_iter().map(|path| [module.as_slice(), &path].concat()));
                }
            }
            _ => {}
        }
    }
    found
}

/// Returns whether what follows on `before` says who can see an item: `pub(super)`, `pub(in super::super)`.
fn is_visibility(before: Option<&[&str]>) -> bool {
    matches!(before, Some([.., "pub", "("] | [.., "pub", "(", "in"]))
}

/// Returns how many tokens the path at the start of `texts` has, and the paths that it stands for. A list in braces
/// stands for many.
fn tree(texts: &[&str]) -> (usize, Vec<Module>) {
    let Some(name) = texts.first() else { return (0, Vec::new()) };
    if *name == "{" {
        let (mut len, mut paths) = (1, Vec::new());
        while texts.get(len).is_some_and(|text| *text != "}") {
            let (read, below) = tree(texts.get(len..).unwrap_or_default());
            paths.extend(below);
            len += read;
            // What is left of an item is `as` with a name, and a comma.
            while texts.get(len).is_some_and(|text| !["}", ","].contains(text)) {
                len += 1;
            }
            len += usize::from(texts.get(len) == Some(&","));
        }
        return (len + 1, paths);
    }
    let own = vec![(*name).to_owned()];
    if texts.get(1..3) != Some(&[":", ":"]) {
        return (1, vec![own]);
    }
    let (read, below) = tree(texts.get(3..).unwrap_or_default());
    (3 + read, below.into_iter().map(|path| [own.as_slice(), &path].concat()).collect())
}

/// Returns a path that starts with `crate`, `super` or `self` as one from the root on, unless it names nothing below.
fn absolute(module: &Module, path: &Module) -> Option<Module> {
    let mut base = if path.first()? == "crate" { Module::new() } else { module.clone() };
    let mut rest = path.as_slice();
    while let [first, below @ ..] = rest {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => _ = base.pop()?,
            _ => break,
        }
        rest = below;
    }
    (!rest.is_empty()).then(|| [base.as_slice(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sources: &[(&str, &str)], expected: &[&str]) {
        let named = |(name, source): &(&str, &str)| (module_of(Path::new(name)), (*source).to_owned());
        assert_eq!(check_crate(&sources.iter().map(named).collect()), expected);
    }

    #[test]
    fn circles_are_found() {
        check(
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::b::{self as other, B, d::{D}};"),
                ("b.rs", "fn f() -> crate::c::C {}"),
                ("c.rs", "mod d; use super::a::A;"),
                ("c/d.rs", "use super::C;"),
            ],
            &["these files import in a circle: a, b, c"],
        );
    }

    #[test]
    fn parents_and_children_import_one_way() {
        let parent = ("lib.rs", "mod a;");
        check(&[parent, ("a.rs", "mod b; struct A;"), ("a/b.rs", "use super::A;")], &[]);
        check(&[parent, ("a.rs", "mod b; use b::B;"), ("a/b.rs", "struct B;")], &[]);
        let circle = "these files import in a circle: a, a::b";
        check(&[parent, ("a.rs", "mod b; use b::B; struct A;"), ("a/b.rs", "use super::A;")], &[circle]);
        check(&[parent, ("a.rs", "mod b; use self::b::B; struct A;"), ("a/b.rs", "use super::A;")], &[circle]);
    }

    #[test]
    fn imports_from_the_root_are_found() {
        let root = ("lib.rs", "mod a; mod b; pub use b::B;");
        let violation = "`a` imports `crate::B` from the root: name the module that defines it";
        check(&[root, ("a.rs", "use crate::B;"), ("b.rs", "struct B;")], &[violation]);
        check(&[root, ("a.rs", "use super::{B};"), ("b.rs", "struct B;")], &[violation]);
        check(&[("lib.rs", "mod a; mod here {}"), ("a.rs", "use crate::here::B;")], &[]);
        check(&[root, ("a.rs", "use crate::b::B;"), ("b.rs", "pub(crate) struct B; impl B { fn f(self) {} }")], &[]);
    }

    #[test]
    fn visibility_imports_nothing() {
        let (root, child) = (("lib.rs", "mod a;"), ("a.rs", "mod b; use b::B;"));
        check(&[root, child, ("a/b.rs", "pub(in crate::a) struct B; pub(super) struct C; pub(crate) struct D;")], &[]);
        let circle = "these files import in a circle: a, a::b";
        check(&[root, child, ("a/b.rs", "fn b() { for _ in crate::a::all() {} }")], &[circle]);
        check(&[root, child, ("a/b.rs", "fn b() { f(super::all()) }")], &[circle]);
    }

    #[test]
    fn tests_and_comments_import_anything() {
        let root = ("lib.rs", "mod a; mod b;");
        check(&[root, ("a.rs", "use crate::b::B; // crate::B"), ("b.rs", "#[cfg(test)] use crate::a::A;")], &[]);
    }
}
