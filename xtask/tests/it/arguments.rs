//! Arguments that make no sense: one line, exit code 2, and nothing done.

use std::env;
use std::fs::{self, File};
use std::process;

use crate::xtask;

#[track_caller]
fn check_refused(args: &[&str], expected: &str) {
    let output = xtask(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.contains(expected), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[test]
fn arguments_missing_lists_the_verbs() {
    let output = xtask(&[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for verb in ["test", "demo", "bench", "compare"] {
        assert!(stdout.lines().any(|line| line.trim_start().starts_with(verb)), "{stdout}");
    }
}

#[test]
fn arguments_unknown_are_refused() {
    check_refused(&["tset"], "tset");
    check_refused(&["test", "frmat"], "possible values: format");
    check_refused(&["demo", "--sed", "1"], "--sed");
    check_refused(&["bench", "--docs", "a", "--quick"], "cannot be used with");
    check_refused(&["bench", "chain-("], "chain-(");
    check_refused(&["interop", "--save", "a"], "--bench");
    check_refused(&["interop", "--bench", "--docs", "a", "--save", "b"], "cannot be used with");
    check_refused(&["compare", "a"], "<NEW>");
    check_refused(&["compare", "a", "b", "--threshold", "-1"], "-1");
}

#[test]
fn names_of_reports_that_lead_elsewhere_are_refused() {
    check_refused(&["bench", "--save", "../a"], "a report is named with");
    check_refused(&["interop", "--bench", "--save", "../a"], "a report is named with");
    check_refused(&["compare", "a", "b/c"], "a report is named with");
}

#[test]
fn requests_that_are_no_number_of_requests_are_refused() {
    check_refused(&["demo", "--requests", "0"], "--requests");
    check_refused(&["demo", "--requests", "many"], "--requests");
    check_refused(&["demo", "--seed", "-1"], "-1");
}

#[test]
fn image_with_what_is_for_the_temporary_disk_is_refused() {
    check_refused(&["demo", "--image", env!("CARGO_BIN_EXE_xtask"), "--seed", "1"], "cannot be used with");
}

#[test]
fn image_that_is_no_file_is_refused() {
    let directory = env!("CARGO_MANIFEST_DIR");
    check_refused(&["demo", "--image", directory], "neither a file");
    check_refused(&["demo", "--image", &format!("{directory}/missing")], "No such file");
    check_refused(&["demo", "--image", &format!("{directory}/Cargo.toml/below")], "Not a directory");
    check_refused(&["demo", "--image", ""], "a value is required");
    check_refused(&["demo", "--image"], "--image");
}

#[test]
fn image_without_bytes_is_refused() {
    let path = env::temp_dir().join(format!("virtio-xtask-empty-{}", process::id()));
    File::create(&path).expect("there is room for an empty file");
    check_refused(&["demo", "--image", &path.to_string_lossy()], "empty");
    fs::remove_file(&path).expect("it was there");
}
