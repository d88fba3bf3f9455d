//! `vhost-user-blk` next to `qemu-storage-daemon`, with the same driver.
//!
//! Each back end has the first processor for itself, and the driver the last. The two take turns, each time as new
//! processes.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::NamedTempFile;

use crate::back_end::BackEnd;
use crate::comparison::{Comparison, ROUNDS};
use crate::disk::Disk;
use crate::disk::load::{Counts, Waiting};
use crate::matrix::EVENT_IDX;
use crate::peer;
use xtask_report::{Case, CaseId, Unit};
use xtask_support::Spinner;

const OURS: &str = "vhost-user-blk";

/// How long requests are counted in each, and how long they are not before that.
const TIME: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(100);

const DISK_LEN: usize = 64 << 20;
const REQUEST_LEN: usize = 4096;
/// Room for 128 requests of three descriptors each.
const QUEUE_SIZE: u16 = 512;

/// The processor of the back ends.
const PROCESSOR: usize = 0;

/// How long a back end is watched that has nothing to do, in each round.
const IDLE: Duration = Duration::from_secs(1);

/// What is behind the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Medium {
    /// Nothing: what is read is not written to the buffers either.
    Null,
    /// A file, all of which is in the page cache.
    File,
}

/// Who serves it.
#[derive(Clone, Copy)]
enum Server {
    /// `vhost-user-blk`, which waits for notifications.
    Kicked,
    /// `vhost-user-blk`, which looks for requests.
    Polling,
    /// `qemu-storage-daemon`. A file is read as its parameter `aio` says.
    Peer(&'static str),
}

/// Everything that is made once.
struct Rig<'a> {
    program: &'a Path,
    file: NamedTempFile,
    content: Vec<u8>,
}

/// Measures both back ends with all media, and what nobody else does.
pub(crate) fn bench(program: &Path) -> Result<Vec<Case>> {
    let rig = Rig::new(program)?;
    let mut cases = Vec::new();
    for (figure, medium, aio) in [
        ("blk-null", Medium::Null, "threads"),
        ("blk-file", Medium::File, "threads"),
        ("blk-file-io-uring", Medium::File, "io_uring"),
    ] {
        for depth in [1, 32, 128] {
            cases.extend(rig.compare(figure, medium, aio, depth)?);
        }
    }
    cases.extend(rig.notifications("kick mode", Server::Kicked)?);
    cases.extend(rig.notifications("poll mode", Server::Polling)?);
    cases.push(rig.time_without_traffic()?);
    Ok(cases)
}

impl<'a> Rig<'a> {
    fn new(program: &'a Path) -> Result<Self> {
        let mut content = vec![0; DISK_LEN];
        Xoshiro256PlusPlus::seed_from_u64(1).fill_bytes(&mut content);
        let file = NamedTempFile::new()?;
        fs::write(&file, &content)?;
        Ok(Self { program, file, content })
    }

    /// Lets both back ends have their turns.
    fn compare(&self, figure: &str, medium: Medium, aio: &'static str, depth: usize) -> Result<[Case; 2]> {
        let comparison = Comparison {
            figure,
            value: &depth.to_string(),
            unit: Unit::RequestsPerSecond,
            ours: OURS,
            peer: "qemu-storage-daemon",
        };
        let measure = |server| Ok(self.measure(server, medium, depth, Waiting::Polls)?.per_second());
        comparison.measure(|| measure(Server::Polling), || measure(Server::Peer(aio)))
    }

    /// Counts notifications where both sides want to be notified.
    fn notifications(&self, mode: &str, server: Server) -> Result<[Case; 2]> {
        let spinner = Spinner::new(format!("notifications, {mode}"));
        let (mut by_driver, mut by_device) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            spinner.show(&format!("round {round} of {ROUNDS}"));
            let counts = self.measure(server, Medium::Null, 128, Waiting::Sleeps)?;
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
        let back_end = self.start(Server::Kicked, Medium::Null)?;
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

    fn measure(&self, server: Server, medium: Medium, depth: usize, waiting: Waiting) -> Result<Counts> {
        let back_end = self.start(server, medium)?;
        back_end.run_on(PROCESSOR)?;
        // The driver is on a thread of its own, which stays where it is put.
        let measured = thread::scope(|scope| scope.spawn(|| self.drive(&back_end, medium, depth, waiting)).join());
        measured.map_err(|_| anyhow!("the driver has panicked"))?
    }

    fn drive(&self, back_end: &BackEnd, medium: Medium, depth: usize, waiting: Waiting) -> Result<Counts> {
        let mut processors = CpuSet::new();
        processors.set(thread::available_parallelism()?.get() - 1);
        sched_setaffinity(None, &processors)?;
        let mut disk = Disk::connect(back_end.socket(), EVENT_IDX, QUEUE_SIZE, depth, REQUEST_LEN)?;
        disk.read_for(WARM_UP, DISK_LEN, waiting)?;
        let counts = disk.read_for(TIME, DISK_LEN, waiting)?;
        if medium == Medium::File {
            disk.check_all(&self.content)?;
        }
        Ok(counts)
    }

    fn start(&self, server: Server, medium: Medium) -> Result<BackEnd> {
        let (size, file) = (DISK_LEN.to_string(), self.file.path().to_string_lossy());
        let medium_args = match medium {
            Medium::Null => ["--null", &size],
            Medium::File => ["--blk-file", &file],
        };
        match server {
            Server::Kicked => BackEnd::start(self.program, &medium_args),
            Server::Polling => BackEnd::start(self.program, &[&medium_args[..], &["--poll"]].concat()),
            Server::Peer(aio) => {
                let disk = match medium {
                    Medium::Null => format!("driver=null-co,node-name=disk,read-zeroes=off,size={size}"),
                    Medium::File => format!("driver=file,node-name=disk,aio={aio},filename={file}"),
                };
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
