//! Arguments that make no sense: one line, exit code 2, and nothing done.

use xtask_support::testing::{call, check_refused};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

#[test]
fn arguments_missing_lists_the_verbs() {
    let output = call(XTASK, &[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for verb in ["test", "demo", "bench", "compare"] {
        assert!(stdout.lines().any(|line| line.trim_start().starts_with(verb)), "{stdout}");
    }
}

#[test]
fn arguments_unknown_are_refused() {
    check_refused(XTASK, &["tset"], "tset");
    check_refused(XTASK, &["test", "frmat"], "possible values: format");
}
