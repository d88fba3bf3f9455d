//! The demo from end to end.

use crate::xtask;

/// Returns what the summary says of `item`.
#[track_caller]
fn value<'o>(stdout: &'o str, item: &str) -> &'o str {
    stdout.lines().find_map(|line| line.strip_prefix(item)).expect("the summary has it").trim()
}

#[test]
fn demo_of_an_image_prints_equal_hashes() {
    let output = xtask(&["demo", "--image", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert_eq!(value(&stdout, "SHA-256 as read"), value(&stdout, "SHA-256 on disk"));
    assert!(value(&stdout, "features").contains("RO"));
}

#[test]
fn demo_of_a_temporary_disk_counts_what_it_did() {
    let output = xtask(&["demo", "--requests", "300", "--seed", "5"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(value(&stdout, "requests").parse::<u64>().is_ok_and(|requests| requests > 300));
    assert_ne!(value(&stdout, "kicks"), "0");
    assert_ne!(value(&stdout, "notifications"), "0");
    assert!(value(&stdout, "features").contains("VERSION_1"));
}
