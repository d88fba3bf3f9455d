//! Arguments that make no sense.

use xtask_support::testing::check_refused;

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let table: [(&[&str], &str); 3] =
        [(&["a"], "<NEW>"), (&["a", "b", "--threshold", "-1"], "-1"), (&["a", "b/c"], "a report is named with")];
    for (args, expected) in table {
        check_refused(env!("CARGO_BIN_EXE_xtask-compare"), args, expected);
    }
}
