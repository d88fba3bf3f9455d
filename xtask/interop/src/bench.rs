//! `cargo xtask interop --bench`: how fast whole devices are, next to other back ends with the same drivers.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};

use super::back_end::build;
use super::comparison::ROUNDS;
use super::{dpdk, linux, virtio_driver};
use xtask_report::about::Extent;
use xtask_report::machine::{locked_version, printed};
use xtask_report::{Beginning, Case, Report};

/// What can be measured with a driver.
struct Bench {
    driver: &'static str,
    /// The program that is measured.
    program: &'static str,
    measure: fn(&Path) -> Result<Vec<Case>>,
}

const BENCHES: [Bench; 3] = [
    Bench { driver: "linux", program: "vhost-user-net", measure: linux::bench },
    Bench { driver: "virtio-driver", program: "vhost-user-blk", measure: virtio_driver::bench },
    Bench { driver: "dpdk", program: "vhost-user-net", measure: dpdk::bench },
];

/// The packages that are measured, and measured with.
const PACKAGES: [&str; 4] = ["dpdk-dev", "linux-image-cloud-amd64", "qemu-system-common", "qemu-system-x86"];
const CRATES: [&str; 1] = ["virtio-driver"];

/// Measures with these drivers, or with all.
pub(crate) fn measure(drivers: &[String]) -> Result<Report> {
    let beginning = Beginning::now()?;
    let wanted = |bench: &&Bench| drivers.is_empty() || drivers.iter().any(|driver| driver == bench.driver);
    let benches: Vec<_> = BENCHES.iter().filter(wanted).collect();
    ensure!(!benches.is_empty(), "no other back end is measured with these drivers");
    let programs = benches.iter().map(|bench| build(bench.program)).collect::<Result<Vec<_>>>()?;
    let built = beginning.elapsed();
    let mut cases = Vec::new();
    for (bench, program) in benches.iter().zip(&programs) {
        cases.extend((bench.measure)(program)?);
    }
    let filter = (!drivers.is_empty()).then(|| drivers.join(" "));
    let extent = Extent { quick: false, filter, rounds: ROUNDS };
    Ok(Report { about: beginning.about(built, extent, "release", peers())?, cases })
}

/// Returns the versions of what is installed, and of what is locked.
fn peers() -> BTreeMap<String, String> {
    let installed = PACKAGES.iter().filter_map(|package| {
        let version = printed("dpkg-query".into(), &["--show", "--showformat=${Version}", package]).ok()?;
        (!version.is_empty()).then(|| ((*package).to_owned(), version))
    });
    let locked = CRATES.iter().filter_map(|name| Some(((*name).to_owned(), locked_version(name)?)));
    installed.chain(locked).collect()
}
