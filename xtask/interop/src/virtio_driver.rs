//! The crate `virtio-driver`, which is libblkio's driver, against `vhost-user-blk`.

mod bench;
mod case;
mod killed;
mod place;
mod reads;
mod table;

use anyhow::Result;

use super::back_end::build;
use super::matrix::{EVENT_IDX, RING_PACKED};
pub(crate) use bench::bench;
use case::{Case, FULL};
use killed::Killed;
pub(crate) use killed::drive;
pub(crate) use table::table_of_reads;

/// Runs all combinations and prints them as a table, and returns whether all of them passed.
pub(crate) fn run() -> Result<bool> {
    let program = build("vhost-user-blk")?;
    let mut passed = true;
    for format in [0, RING_PACKED] {
        for events in [0, EVENT_IDX] {
            for depth in [1, 32, FULL] {
                for request_len in [512, 4096, 64 << 10, 1 << 20] {
                    let case = Case { features: format | events, depth, request_len };
                    passed &= case.row().report(&case.run(&program));
                }
            }
        }
    }
    for case in Killed::all() {
        passed &= case.row().report(&case.run(&program));
    }
    Ok(passed)
}
