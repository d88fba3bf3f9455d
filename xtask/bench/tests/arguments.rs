//! Arguments that make no sense.

use xtask_support::testing::check_refused;

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let table: [(&[&str], &str); 4] = [
        (&["--docs", "a", "--quick"], "cannot be used with"),
        (&["chain-("], "chain-("),
        (&["--save", "../a"], "a report is named with"),
        (&["--quik"], "--quik"),
    ];
    for (args, expected) in table {
        check_refused(env!("CARGO_BIN_EXE_xtask-bench"), args, expected);
    }
}
