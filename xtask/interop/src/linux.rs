//! A Linux guest under QEMU, against the vhost-user back ends.

mod bench;
mod blk;
mod case;
mod device;
mod flow;
mod guest;
pub(crate) mod hotplug;
mod image;
mod initramfs;
pub(crate) mod migration;
mod monitor;
mod net;
mod network;
pub(crate) mod recovery;
mod rig;
mod rng;
mod system;
mod table;
mod vsock;
mod worker;

use anyhow::{Context, Result};

use super::back_end::build;
use super::matrix::Row;
pub(crate) use bench::bench;
use blk::Disk;
use case::Case;
use device::{GuestDevice, Way};
use net::Interface;
use rng::Entropy;
use system::System;
pub(crate) use table::table_of_flows;
use vsock::Sockets;

/// Boots guests with each device, prints a table, and returns whether all went well.
pub(crate) fn run() -> Result<bool> {
    let system = System::prepare()?;
    let passed = [
        run_device::<Disk>(&system)?,
        run_device::<Interface>(&system)?,
        run_device::<Entropy>(&system)?,
        run_device::<Sockets>(&system)?,
    ];
    Ok(passed.into_iter().all(|passed| passed))
}

fn run_device<D: GuestDevice>(system: &System) -> Result<bool> {
    let program = build(D::PROGRAM)?;
    let cases: Vec<_> = Case::all().into_iter().filter(|case| case.queues <= D::QUEUES).collect();
    let mut passed = true;
    // Both formats in each way: the format is another one in every other case.
    for (case, way) in cases.iter().zip(D::WAYS.iter().flat_map(|way| [way; 2]).cycle()) {
        passed &= row::<D>(case, way, "2 boots").report(&D::run(system, &program, case, way));
    }
    // A back end has as many queues as it was started with.
    let cases: Vec<_> = cases.into_iter().filter(|case| case.queues == D::QUEUES).collect();
    let last = cases.last().context("there are cases with all queues")?;
    for way in D::WAYS_TO_BE_KILLED {
        passed &= row::<D>(last, way, "10 kills").report(&D::run_killed(system, &program, &cases, way));
    }
    Ok(passed)
}

fn row<D: GuestDevice>(case: &Case, way: &Way, about: &str) -> Row {
    let about = format!("queues: {}, {about}{}", case.queues, way.about);
    Row { driver: "Linux", device: D::PROGRAM, features: case.features, about }
}
