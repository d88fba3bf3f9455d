//! What may not be in a source file, or has to be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::lexer::{Token, tokens};

/// The one layer that has unsafe code, in its tests as well.
const WITH_UNSAFE: &str = "virtio-mem-traits";

/// The folder of the adapters. They have unsafe code where the interface of another crate demands it, with a proof each
/// time.
const ADAPTERS: &str = "adapters/";

/// What lands nowhere, and why.
const BANNED: &[(&str, &str)] = &[
    ("todo!", "finish it first"),
    ("unimplemented!", "finish it first"),
    ("dbg!", "nothing is left behind on the terminal"),
    ("#[ignore", "a test runs or goes"),
    ("should_panic", "check the error, not the panic"),
];

/// Checks all source files below `root`, and returns a sentence for every violation. `libraries` are the folders of the
/// crates that people build devices on.
pub(super) fn check_tree(root: &Path, libraries: &[String]) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for path in source_files(root)? {
        let source = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        violations.extend(check_file(&name, libraries, &source));
    }
    Ok(violations)
}

/// Checks the file `name`, which belongs to one of `libraries` if it is in its folder: a source file or a test.
fn check_file(name: &str, libraries: &[String], source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut violations = Vec::new();
    for (pattern, reason) in BANNED {
        let lines = lines_with(&tokens, pattern);
        violations.extend(lines.iter().map(|line| format!("{name}:{line}: `{pattern}`: {reason}")));
    }
    let Some(library) = libraries.iter().find(|library| name.starts_with(&format!("{library}/"))) else {
        return violations;
    };
    if library.starts_with(ADAPTERS) {
        let unproved = lines_with(&tokens, "unsafe").into_iter().filter(|line| !has_proof(source, *line));
        violations.extend(unproved.map(|line| format!("{name}:{line}: `unsafe` without `// SAFETY:` above it")));
        return violations;
    }

    let mut required = vec!["#![no_std]"];
    if library != WITH_UNSAFE {
        required.push("#![forbid(unsafe_code)]");
        let lines = lines_with(&tokens, "unsafe");
        violations.extend(lines.iter().map(|line| format!("{name}:{line}: `unsafe` belongs in {WITH_UNSAFE} alone")));
    }
    if name == format!("{library}/src/lib.rs") {
        required.retain(|attribute| lines_with(&tokens, attribute).is_empty());
        violations.extend(required.iter().map(|attribute| format!("{name}: `{attribute}` is missing")));
    }
    violations
}

/// Returns whether the comment above a line, which is counted from 1, has a proof for unsafe code or demands one.
fn has_proof(source: &str, line: usize) -> bool {
    let above: Vec<_> = source.lines().take(line - 1).map(str::trim_start).collect();
    let comment = above.iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    comment.into_iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

/// Returns the lines in which `pattern` begins.
fn lines_with(found: &[Token<'_>], pattern: &str) -> Vec<usize> {
    let pattern: Vec<_> = tokens(pattern).iter().map(|token| token.text).collect();
    let same = |window: &[Token<'_>]| window.iter().map(|token| token.text).eq(pattern.iter().copied());
    found.windows(pattern.len()).filter(|window| same(window)).flat_map(<[_]>::first).map(|token| token.line).collect()
}

/// Returns the Rust files below `root`, without what cargo and git keep there.
pub(super) fn source_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "virtio-ring/src/lib.rs";
    const HEAD: &str = "#![no_std]\n#![forbid(unsafe_code)]\n";

    #[track_caller]
    fn check(name: &str, source: &str, expected: &[&str]) {
        let libraries = ["virtio-mem-traits", "virtio-ring", "adapters/vm-memory"].map(str::to_owned);
        assert_eq!(check_file(name, &libraries, source), expected, "{source}");
    }

    #[test]
    fn unsafe_in_a_library_is_refused() {
        let source = format!("{HEAD}fn f() {{\n    unsafe {{}}\n}}");
        check(LIB, &source, &["virtio-ring/src/lib.rs:4: `unsafe` belongs in virtio-mem-traits alone"]);
    }

    #[test]
    fn unsafe_in_tests_of_a_library_is_refused() {
        check(
            "virtio-ring/tests/it/main.rs",
            "fn f() { unsafe {} }",
            &["virtio-ring/tests/it/main.rs:1: `unsafe` belongs in virtio-mem-traits alone"],
        );
    }

    #[test]
    fn unsafe_in_comments_and_strings_is_allowed() {
        let source = format!("{HEAD}/// unsafe\nconst S: &str = \"unsafe\"; // unsafe");
        check(LIB, &source, &[]);
    }

    #[test]
    fn unsafe_is_allowed_where_it_belongs() {
        check("virtio-mem-traits/src/lib.rs", "#![no_std] unsafe fn f() {}", &[]);
        check("virtio-mem-traits/tests/it/main.rs", "unsafe fn f() {}", &[]);
        check("xtask/src/main.rs", "unsafe fn f() {}", &[]);
    }

    #[test]
    fn unsafe_in_an_adapter_is_allowed_with_a_proof() {
        let name = "adapters/vm-memory/src/lib.rs";
        check(name, "// SAFETY: (1) it is there.\n#[inline]\nunsafe impl T for M {}", &[]);
        check(name, "/// # Safety\n///\n/// 1. It must be there.\npub unsafe fn f() {}", &[]);
        let sentence = "adapters/vm-memory/src/lib.rs:3: `unsafe` without `// SAFETY:` above it";
        check(name, "// SAFETY: (1) it is there.\n\nunsafe impl T for M {}", &[sentence]);
        check(name, "fn f() {}\n// It is there.\nunsafe impl T for M {}", &[sentence]);
    }

    #[test]
    fn attributes_that_are_missing_are_named() {
        check(
            LIB,
            "// #![no_std]\n#![deny(unsafe_code)]",
            &[
                "virtio-ring/src/lib.rs: `#![no_std]` is missing",
                "virtio-ring/src/lib.rs: `#![forbid(unsafe_code)]` is missing",
            ],
        );
        check("virtio-ring/src/event.rs", "", &[]);
    }

    #[test]
    fn what_is_banned_is_found_in_any_file() {
        let source = "#[test]\n#[ignore = \"slow\"]\n#[should_panic]\nfn f() { dbg!(todo!()) }";
        check(
            "examples/tests/it/main.rs",
            source,
            &[
                "examples/tests/it/main.rs:4: `todo!`: finish it first",
                "examples/tests/it/main.rs:4: `dbg!`: nothing is left behind on the terminal",
                "examples/tests/it/main.rs:2: `#[ignore`: a test runs or goes",
                "examples/tests/it/main.rs:3: `should_panic`: check the error, not the panic",
            ],
        );
    }
}
