//! `vhost-user-blk` next to `qemu-storage-daemon`, with the same driver.
//!
//! Each back end has the first processor for itself, and the driver the last. The two take turns, each time as new
//! processes.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::place::{QUEUE_SIZE, REQUEST_LEN, TIME, WARM_UP, driver_processor, on_processor};
use super::reads::Medium;
use crate::back_end::{BackEnd, PROCESSOR};
use crate::comparison::{Comparison, ROUNDS};
use crate::disk::Disk;
use crate::disk::load::{Counts, Waiting};
use crate::matrix::EVENT_IDX;
use crate::peer;
use xtask_report::{Case, CaseId, Unit};
use xtask_support::Spinner;

const OURS: &str = "vhost-user-blk";

const DISK_LEN: usize = 64 << 20;

/// How long a back end is watched that has nothing to do, in each round.
const IDLE: Duration = Duration::from_secs(1);

/// Who serves a disk without a medium: what is read is not written to the buffers either.
#[derive(Clone, Copy)]
enum Server {
    /// `vhost-user-blk`, which waits for notifications.
    Kicked,
    /// `vhost-user-blk`, which looks for requests.
    Polling,
    /// `qemu-storage-daemon`.
    Peer,
}

/// The program that is measured.
struct Rig<'a> {
    program: &'a Path,
}

/// Measures both back ends with all media, and what nobody else does.
pub(crate) fn bench(program: &Path) -> Result<Vec<Case>> {
    let rig = Rig { program };
    let mut cases = Vec::new();
    for depth in [1, 32, 128] {
        cases.extend(rig.compare(depth)?);
    }
    for medium in [Medium::cached(program)?, Medium::direct(program)?] {
        cases.extend(medium.measure()?);
    }
    cases.extend(rig.notifications("kick mode", Server::Kicked)?);
    cases.extend(rig.notifications("poll mode", Server::Polling)?);
    cases.push(rig.time_without_traffic()?);
    Ok(cases)
}

impl Rig<'_> {
    /// Lets both back ends have their turns.
    fn compare(&self, depth: usize) -> Result<[Case; 2]> {
        let comparison = Comparison {
            figure: "blk-null",
            value: &depth.to_string(),
            unit: Unit::RequestsPerSecond,
            ours: OURS,
            peer: "qemu-storage-daemon",
        };
        let measure = |server| Ok(self.measure(server, depth, Waiting::Polls)?.per_second());
        comparison.measure(|| measure(Server::Polling), || measure(Server::Peer))
    }

    /// Counts notifications where both sides want to be notified.
    fn notifications(&self, mode: &str, server: Server) -> Result<[Case; 2]> {
        let spinner = Spinner::new(format!("notifications, {mode}"));
        let (mut by_driver, mut by_device) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            spinner.show(&format!("round {round} of {ROUNDS}"));
            let counts = self.measure(server, 128, Waiting::Sleeps)?;
            by_driver.push(ratio(counts.kicks, counts.requests));
            by_device.push(ratio(counts.calls, counts.requests));
        }
        let case = |by, values| {
            let id = CaseId::new("blk-notifications", OURS, &format!("{mode}, by the {by}"));
            Case::of_values(id, Unit::Notifications, values)
        };
        Ok([case("driver", by_driver), case("device", by_device)])
    }

    /// Finds out how much `vhost-user-blk` uses a processor while a driver is connected that has made requests before.
    fn time_without_traffic(&self) -> Result<Case> {
        let back_end = self.start(Server::Kicked)?;
        let mut disk = Disk::connect(back_end.socket(), EVENT_IDX, QUEUE_SIZE, 1, REQUEST_LEN)?;
        disk.read_for(WARM_UP, DISK_LEN, Waiting::Sleeps)?;
        let rounds = (0..=ROUNDS).map(|_| {
            let before = back_end.processor_time()?;
            thread::sleep(IDLE);
            // A thread that has ended meanwhile takes its time with it.
            let used = back_end.processor_time()?.saturating_sub(before);
            Ok(1000.0 * used.as_secs_f64() / IDLE.as_secs_f64())
        });
        // What was begun before has come to its end after the first.
        let per_second = rounds.skip(1).collect::<Result<_>>()?;
        Ok(Case::of_values(CaseId::new("blk-idle", OURS, "kick mode"), Unit::ProcessorTime, per_second))
    }

    fn measure(&self, server: Server, depth: usize, waiting: Waiting) -> Result<Counts> {
        let back_end = self.start(server)?;
        back_end.run_on(PROCESSOR)?;
        on_processor(driver_processor()?, || {
            let mut disk = Disk::connect(back_end.socket(), EVENT_IDX, QUEUE_SIZE, depth, REQUEST_LEN)?;
            disk.read_for(WARM_UP, DISK_LEN, waiting)?;
            disk.read_for(TIME, DISK_LEN, waiting)
        })
    }

    fn start(&self, server: Server) -> Result<BackEnd> {
        let size = DISK_LEN.to_string();
        match server {
            Server::Kicked => BackEnd::start(self.program, &["--null", &size]),
            Server::Polling => BackEnd::start(self.program, &["--null", &size, "--poll"]),
            Server::Peer => {
                let disk = format!("driver=null-co,node-name=disk,read-zeroes=off,size={size}");
                peer::start(BackEnd::new_socket(), &disk)
            }
        }
    }
}

impl Counts {
    fn per_second(&self) -> f64 {
        ratio(self.requests, 1) / self.time.as_secs_f64()
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many of anything")]
fn ratio(some: u64, all: u64) -> f64 {
    some as f64 / all as f64
}
