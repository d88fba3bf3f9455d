//! Back ends that are killed while a guest uses them, and started again.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::rig::{Rig, Root, Servers, moments};
use super::system::System;
use super::worker::{Setup, Worker};
use crate::back_end::BackEnd;
use crate::extent::Extent;
use crate::matrix::Row;

/// How long the work goes on before a kill, at most, and how long nobody serves it then.
const WORK: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(400);

/// QEMU connects again each second.
const RECONNECTING: Setup<'static> = Setup { place: 0, memory: "256", socket: ",reconnect=1", options: &[] };

/// Who is killed under a guest.
#[derive(Clone, Copy)]
enum Victim {
    Disk,
    Net,
}

/// Kills each back end as often as `extent` says, in each format, and returns whether nothing was lost.
pub(crate) fn run(extent: &Extent) -> Result<bool> {
    let (system, servers, mut moments) = (System::prepare()?, Servers::prepare(extent)?, moments(extent));
    let victims: &[_] = if extent.peer { &[Victim::Disk] } else { &[Victim::Disk, Victim::Net] };
    let mut passed = true;
    for (&features, &victim) in
        servers.formats().iter().flat_map(|features| victims.iter().map(move |of| (features, of)))
    {
        let about = format!("{} killed {} times", victim.about(Root::of(&servers, features)), extent.kills);
        let row = Row { driver: "Linux", device: victim.device(&servers), features, about };
        let mut moments = Xoshiro256PlusPlus::from_rng(&mut moments);
        let result = victim.rig(&system, &servers, features);
        passed &= row.report(&result.and_then(|rig| survive(&rig, victim, extent.kills, &mut moments)));
    }
    Ok(passed)
}

/// Returns the number of requests that a guest has made.
fn survive(rig: &Rig<'_>, victim: Victim, kills: u32, moments: &mut Xoshiro256PlusPlus) -> Result<u64> {
    // The disk is there in any case.
    let _disk = if let Victim::Disk = victim { None } else { Some(rig.start_disk(0)?) };
    let mut back_end = victim.start(rig)?;
    let mut worker = Worker::start(rig, &RECONNECTING)?;
    worker.load()?;
    worker.begin()?;
    worker.advance()?;
    for kill in 1..=kills {
        thread::sleep(moments.random_range(Duration::ZERO..WORK));
        ensure!(back_end.is_running()?, "the back end has ended before kill {kill}");
        victim.kill(back_end, moments).with_context(|| format!("kill {kill}"))?;
        thread::sleep(moments.random_range(Duration::ZERO..PAUSE));
        back_end = victim.start(rig)?;
        worker.advance().with_context(|| format!("after kill {kill}"))?;
    }
    worker.finish()
}

impl Victim {
    fn device(self, servers: &Servers) -> &'static str {
        match self {
            Self::Disk => servers.disk(),
            Self::Net => "vhost-user-net",
        }
    }

    /// Returns what is killed of a guest that has its root there.
    const fn about(self, root: Root) -> &'static str {
        match (self, root) {
            (Self::Disk, Root::Disk) => "root disk",
            _ => "back end",
        }
    }

    fn rig<'a>(self, system: &'a System, servers: &'a Servers, features: u64) -> Result<Rig<'a>> {
        match self {
            Self::Disk => Rig::with_disk(system, servers, features, Root::of(servers, features)),
            Self::Net => Rig::with_both(system, servers, features, Root::Memory),
        }
    }

    fn start(self, rig: &Rig<'_>) -> Result<BackEnd> {
        match self {
            Self::Disk => rig.start_disk(0),
            Self::Net => rig.start_recorded_net(),
        }
    }

    /// Kills a disk while it has a request in its hands. The others have one nearly always.
    fn kill(self, back_end: BackEnd, moments: &mut Xoshiro256PlusPlus) -> Result<()> {
        if let Self::Disk = self {
            return back_end.kill_at_work(moments);
        }
        back_end.kill();
        Ok(())
    }
}
