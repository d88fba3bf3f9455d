//! Back ends that are killed while a guest uses them, and started again.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::rig::{Rig, Servers, moments};
use super::system::System;
use super::worker::{Setup, Worker};
use crate::extent::Extent;
use crate::matrix::Row;

/// How long the work goes on before a kill, at most, and how long nobody serves it then.
const WORK: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(400);

/// QEMU connects again each second.
const RECONNECTING: Setup<'static> = Setup { place: 0, memory: "256", socket: ",reconnect=1", options: &[] };

/// Kills the back end of a disk as often as `extent` says, in each format, and returns whether nothing was lost.
pub(crate) fn run(extent: &Extent) -> Result<bool> {
    let (system, servers, mut moments) = (System::prepare()?, Servers::prepare(extent)?, moments(extent));
    let mut passed = true;
    for &features in servers.formats() {
        let about = format!("back end killed {} times", extent.kills);
        let row = Row { driver: "Linux", device: servers.disk(), features, about };
        let mut moments = Xoshiro256PlusPlus::from_rng(&mut moments);
        let result = Rig::with_disk(&system, &servers, features);
        passed &= row.report(&result.and_then(|rig| survive(&rig, extent.kills, &mut moments)));
    }
    Ok(passed)
}

/// Returns the number of requests that a guest has made.
fn survive(rig: &Rig<'_>, kills: u32, moments: &mut Xoshiro256PlusPlus) -> Result<u64> {
    let mut back_end = rig.start_disk(0)?;
    let mut worker = Worker::start(rig, &RECONNECTING)?;
    worker.load()?;
    worker.begin()?;
    worker.advance()?;
    for kill in 1..=kills {
        thread::sleep(moments.random_range(Duration::ZERO..WORK));
        ensure!(back_end.is_running()?, "the back end has ended before kill {kill}");
        back_end.kill_at_work(moments).with_context(|| format!("kill {kill}"))?;
        thread::sleep(moments.random_range(Duration::ZERO..PAUSE));
        back_end = rig.start_disk(0)?;
        worker.advance().with_context(|| format!("after kill {kill}"))?;
    }
    worker.finish()
}
