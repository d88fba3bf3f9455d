//! What the tests of the programs have in common.

use std::process::{Command, Output};

/// Calls `program`.
///
/// # Panics
///
/// If it cannot be run.
#[must_use]
pub fn call(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Checks that `program` refuses these arguments: with one line that has `expected` in it, the exit code 2, and nothing
/// done.
///
/// # Panics
///
/// If it does not.
#[track_caller]
pub fn check_refused(program: &str, args: &[&str], expected: &str) {
    let output = call(program, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.contains(expected), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
}
