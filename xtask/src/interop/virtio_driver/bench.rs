//! `vhost-user-blk` next to `qemu-storage-daemon`, with the same driver.
//!
//! Each back end has the first processor for itself, and the driver the last. The two take turns, each time as new processes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::NamedTempFile;

use crate::interop::back_end::{BackEnd, build};
use crate::interop::disk::{Counts, Disk, Waiting};
use crate::interop::matrix::EVENT_IDX;
use crate::report::format::{number, rate};
use crate::report::spread::Spread;
use crate::report::table::markdown;
use crate::spinner::Spinner;

/// How often each back end has its turn.
const ROUNDS: usize = 7;
/// How long requests are counted in each, and how long they are not before that.
const TIME: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(100);

const DISK_LEN: usize = 64 << 20;
const REQUEST_LEN: usize = 4096;
/// Room for 128 requests of three descriptors each.
const QUEUE_SIZE: u16 = 512;

/// The processor of the back ends.
const PROCESSOR: usize = 0;

/// How many notifications per request there may be, in each direction.
const NOTIFICATIONS: f64 = 0.1;

/// How long a back end is watched that has nothing to do.
const IDLE: Duration = Duration::from_secs(2);

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
struct Rig {
    program: PathBuf,
    file: NamedTempFile,
    content: Vec<u8>,
}

/// What was measured of both back ends with one medium and one depth: requests per second, in each round.
struct Compared {
    name: String,
    depth: usize,
    ours: Vec<f64>,
    peer: Vec<f64>,
    /// How many times as fast as the other this one is to be, if anything was promised.
    target: Option<f64>,
}

/// How often one side notified the other, in each round, for each request.
struct Notified {
    name: &'static str,
    by_driver: Vec<f64>,
    by_device: Vec<f64>,
}

/// Measures both back ends with all media, and prints tables.
pub(in crate::interop) fn bench() -> Result<()> {
    let rig = Rig::new()?;
    let mut compared = Vec::new();
    for (medium, aio, target) in
        [(Medium::Null, "threads", 1.5), (Medium::File, "threads", 3.0), (Medium::File, "io_uring", 3.0)]
    {
        for depth in [1, 32, 128] {
            // Nothing was promised of the file at another depth, or of a single request at a time.
            let target = (depth == 32 || depth == 128 && medium == Medium::Null).then_some(target);
            compared.push(rig.compare(medium, depth, aio, target)?);
        }
    }
    let notified = [rig.notifications("kick mode", Server::Kicked)?, rig.notifications("poll mode", Server::Polling)?];
    print(&compared, &notified, rig.time_without_traffic()?).context("there was no round")
}

fn print(compared: &[Compared], notified: &[Notified], idle: Duration) -> Option<()> {
    let head =
        ["4 KiB reads", "depth", "vhost-user-blk", "between", "qemu-storage-daemon", "between", "ratio", "target"];
    let rows: Option<Vec<_>> = compared.iter().map(Compared::row).collect();
    println!("{}", markdown(&head, 1, rows?));
    let head = ["notifications per request, depth 128", "by the driver", "by the device", "target"];
    let rows: Option<Vec<_>> = notified.iter().map(Notified::row).collect();
    println!("{}", markdown(&head, 1, rows?));
    let verdict = if idle.is_zero() { "met" } else { "missed" };
    println!("processor time without traffic, in kick mode: {idle:?} in {IDLE:?}, target: none {verdict}");
    Some(())
}

impl Compared {
    /// Returns a row of the table. The ratio is taken in each round.
    fn row(&self) -> Option<Vec<String>> {
        let ratios: Vec<_> = self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer).collect();
        let spread = |values: &[f64]| Spread::of_values(values.iter().copied());
        let between = |spread: &Spread| format!("{} to {}", rate(spread.low), rate(spread.high));
        let (ours, peer, ratio) = (spread(&self.ours)?, spread(&self.peer)?, spread(&ratios)?);
        let verdict = self.target.map_or_else(String::new, |target| {
            format!("at least {} {}", number(target), if ratio.median >= target { "met" } else { "missed" })
        });
        Some(vec![
            self.name.clone(),
            self.depth.to_string(),
            rate(ours.median),
            between(&ours),
            rate(peer.median),
            between(&peer),
            format!("{} ({} to {})", number(ratio.median), number(ratio.low), number(ratio.high)),
            verdict,
        ])
    }
}

impl Notified {
    fn row(&self) -> Option<Vec<String>> {
        let spread = |values: &[f64]| Spread::of_values(values.iter().copied());
        let (by_driver, by_device) = (spread(&self.by_driver)?, spread(&self.by_device)?);
        let met = by_driver.median < NOTIFICATIONS && by_device.median < NOTIFICATIONS;
        let text = |spread: &Spread| format!("{:.4} ({:.4} to {:.4})", spread.median, spread.low, spread.high);
        let verdict = format!("under {NOTIFICATIONS} {}", if met { "met" } else { "missed" });
        Some(vec![self.name.into(), text(&by_driver), text(&by_device), verdict])
    }
}

impl Rig {
    fn new() -> Result<Self> {
        let mut content = vec![0; DISK_LEN];
        Xoshiro256PlusPlus::seed_from_u64(1).fill_bytes(&mut content);
        let file = NamedTempFile::new()?;
        fs::write(&file, &content)?;
        Ok(Self { program: build("vhost-user-blk")?, file, content })
    }

    /// Lets both back ends have their turns.
    fn compare(&self, medium: Medium, depth: usize, aio: &'static str, target: Option<f64>) -> Result<Compared> {
        let name = match medium {
            Medium::Null => "null".into(),
            Medium::File => format!("cached file, peer with {aio}"),
        };
        let spinner = Spinner::new(format!("{name}, depth {depth}"));
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            spinner.show(&format!("round {round} of {ROUNDS}"));
            ours.push(self.measure(Server::Polling, medium, depth, Waiting::Polls)?.per_second());
            peer.push(self.measure(Server::Peer(aio), medium, depth, Waiting::Polls)?.per_second());
        }
        Ok(Compared { name, depth, ours, peer, target })
    }

    /// Counts notifications where both sides want to be notified.
    fn notifications(&self, name: &'static str, server: Server) -> Result<Notified> {
        let spinner = Spinner::new(format!("notifications, {name}"));
        let mut notified = Notified { name, by_driver: Vec::new(), by_device: Vec::new() };
        for round in 1..=ROUNDS {
            spinner.show(&format!("round {round} of {ROUNDS}"));
            let counts = self.measure(server, Medium::Null, 128, Waiting::Sleeps)?;
            notified.by_driver.push(ratio(counts.kicks, counts.requests));
            notified.by_device.push(ratio(counts.calls, counts.requests));
        }
        Ok(notified)
    }

    /// Returns how long `vhost-user-blk` uses a processor while a driver is connected, and has made requests before.
    fn time_without_traffic(&self) -> Result<Duration> {
        let back_end = self.start(Server::Kicked, Medium::Null)?;
        let mut disk = Disk::connect(back_end.socket(), EVENT_IDX, QUEUE_SIZE, 1, REQUEST_LEN)?;
        disk.read_for(WARM_UP, DISK_LEN, Waiting::Sleeps)?;
        let before = back_end.processor_time()?;
        thread::sleep(IDLE);
        Ok(back_end.processor_time()? - before)
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
            Medium::File => ["--image", &file],
        };
        match server {
            Server::Kicked => BackEnd::start(&self.program, &medium_args),
            Server::Polling => BackEnd::start(&self.program, &[&medium_args[..], &["--poll"]].concat()),
            Server::Peer(aio) => {
                let disk = match medium {
                    Medium::Null => format!("driver=null-co,node-name=disk,read-zeroes=off,size={size}"),
                    Medium::File => format!("driver=file,node-name=disk,aio={aio},filename={file}"),
                };
                start_peer(&disk)
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

/// Starts `qemu-storage-daemon`, which serves `disk` on a thread that polls for a while before it waits.
fn start_peer(disk: &str) -> Result<BackEnd> {
    let socket = BackEnd::new_socket();
    let mut command = Command::new("qemu-storage-daemon");
    command.args(["--object", "iothread,id=thread", "--blockdev", disk, "--export"]);
    command.arg(format!(
        "type=vhost-user-blk,id=export,node-name=disk,writable=on,iothread=thread,addr.type=unix,addr.path={}",
        socket.display()
    ));
    // It greets as soon as it has done all that comes before.
    command.args(["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]);
    BackEnd::spawn(command, socket, "{\"QMP\"")
        .context("qemu-storage-daemon is in the packages qemu-utils or qemu-system-common")
}
