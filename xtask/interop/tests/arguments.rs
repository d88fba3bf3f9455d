//! Arguments that make no sense.

use xtask_support::testing::check_refused;

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let table: [(&[&str], &str); 6] = [
        (&["--save", "a"], "--bench"),
        (&["--bench", "--docs", "a", "--save", "b"], "cannot be used with"),
        (&["--bench", "--save", "../a"], "a report is named with"),
        (&["recovery", "--kills", "0"], "0 is not in 1.."),
        (&["migration", "--migrations", "0"], "0 is not in 1.."),
        (&["macos"], "possible values: virtio-driver"),
    ];
    for (args, expected) in table {
        check_refused(env!("CARGO_BIN_EXE_xtask-interop"), args, expected);
    }
}
