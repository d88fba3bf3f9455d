//! A Linux guest under QEMU, against the vhost-user back ends.

mod blk;
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
mod worker;

use anyhow::{Context, Result};

use super::back_end::build;
use super::matrix::{EVENT_IDX, INDIRECT_DESC, RING_PACKED, Row};
use blk::Disk;
use device::{GuestDevice, Way};
use net::Interface;
use rng::Entropy;
use system::System;

/// What a guest negotiates.
struct Case {
    /// Those of the rings that may be accepted or not.
    features: u64,
    queues: u16,
}

/// Boots guests with each device, prints a table, and returns whether all went well.
pub(crate) fn run() -> Result<bool> {
    let system = System::prepare()?;
    let passed = [run_device::<Disk>(&system)?, run_device::<Interface>(&system)?, run_device::<Entropy>(&system)?];
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
    for way in D::WAYS {
        passed &= row::<D>(last, way, "10 kills").report(&D::run_killed(system, &program, &cases, way));
    }
    Ok(passed)
}

fn row<D: GuestDevice>(case: &Case, way: &Way, about: &str) -> Row {
    let about = format!("queues: {}, {about}{}", case.queues, way.about);
    Row { driver: "Linux", device: D::PROGRAM, features: case.features, about }
}

impl Case {
    /// Returns half of all cases: each combination of any three of the four choices is in one of them.
    fn all() -> Vec<Self> {
        let choices = [RING_PACKED, EVENT_IDX, INDIRECT_DESC];
        let cases = (0_u16..8).map(|pattern| {
            let chosen = (0..).zip(choices).filter(|(index, _)| pattern & 1 << index != 0);
            let features = chosen.fold(0, |features, (_, feature)| features | feature);
            Self { features, queues: if pattern.count_ones() % 2 == 0 { 1 } else { 2 } }
        });
        cases.collect()
    }
}
