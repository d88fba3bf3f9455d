//! The demo from end to end.

use std::env;
use std::fs::{self, File};
use std::process;

use xtask_support::testing::{call, check_refused};

const DEMO: &str = env!("CARGO_BIN_EXE_xtask-demo");

/// Returns what the summary says of `item`.
#[track_caller]
fn value<'o>(stdout: &'o str, item: &str) -> &'o str {
    stdout.lines().find_map(|line| line.strip_prefix(item)).expect("the summary has it").trim()
}

#[test]
fn demo_of_an_image_prints_equal_hashes() {
    let output = call(DEMO, &["--image", concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert_eq!(value(&stdout, "SHA-256 as read"), value(&stdout, "SHA-256 on disk"));
    assert!(value(&stdout, "features").contains("RO"));
}

#[test]
fn demo_of_a_temporary_disk_counts_what_it_did() {
    let output = call(DEMO, &["--requests", "300", "--seed", "5"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(value(&stdout, "requests").parse::<u64>().is_ok_and(|requests| requests > 300));
    assert_ne!(value(&stdout, "kicks"), "0");
    assert_ne!(value(&stdout, "notifications"), "0");
    assert!(value(&stdout, "features").contains("VERSION_1"));
}

#[test]
fn requests_that_are_no_number_of_requests_are_refused() {
    check_refused(DEMO, &["--requests", "0"], "--requests");
    check_refused(DEMO, &["--requests", "many"], "--requests");
    check_refused(DEMO, &["--seed", "-1"], "-1");
    check_refused(DEMO, &["--sed", "1"], "--sed");
}

#[test]
fn image_with_what_is_for_the_temporary_disk_is_refused() {
    check_refused(DEMO, &["--image", DEMO, "--seed", "1"], "cannot be used with");
}

#[test]
fn image_that_is_no_file_is_refused() {
    let directory = env!("CARGO_MANIFEST_DIR");
    check_refused(DEMO, &["--image", directory], "neither a file");
    check_refused(DEMO, &["--image", &format!("{directory}/missing")], "No such file");
    check_refused(DEMO, &["--image", &format!("{directory}/Cargo.toml/below")], "Not a directory");
    check_refused(DEMO, &["--image", ""], "a value is required");
    check_refused(DEMO, &["--image"], "--image");
}

#[test]
fn image_without_bytes_is_refused() {
    let path = env::temp_dir().join(format!("virtio-xtask-empty-{}", process::id()));
    File::create(&path).expect("there is room for an empty file");
    check_refused(DEMO, &["--image", &path.to_string_lossy()], "empty");
    fs::remove_file(&path).expect("it was there");
}
