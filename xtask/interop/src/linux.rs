//! A Linux guest under QEMU, against the vhost-user back ends.

mod blk;
mod case;
mod device;
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
mod vsock;
mod worker;

use anyhow::{Context, Result};

use super::back_end::build;
use super::matrix::Row;
use blk::Disk;
use case::Case;
use device::GuestDevice;
use net::Interface;
use rng::Entropy;
use system::System;
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
    for case in &cases {
        passed &= row::<D>(case, "2 boots").report(&D::run(system, &program, case));
    }
    // A back end has as many queues as it was started with.
    let cases: Vec<_> = cases.into_iter().filter(|case| case.queues == D::QUEUES).collect();
    let last = cases.last().context("there are cases with all queues")?;
    passed &= row::<D>(last, "after 10 kills").report(&D::run_killed(system, &program, &cases));
    Ok(passed)
}

fn row<D: GuestDevice>(case: &Case, about: &str) -> Row {
    let about = format!("queues: {}, {about}", case.queues);
    Row { driver: "Linux", device: D::PROGRAM, features: case.features, about }
}
