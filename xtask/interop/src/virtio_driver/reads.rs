//! Reads of a file by `vhost-user-blk`, by `qemu-storage-daemon`, and without virtio at all.
//!
//! Who reads the file has the first processor for itself, and the driver the last. All have a turn in each round. A
//! back end has it as a new process, and the loops without virtio as a new thread.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rustix::fs::{Advice, OFlags, fadvise};
use tempfile::NamedTempFile;

use super::place::{QUEUE_SIZE, REQUEST_LEN, TIME, WARM_UP, driver_processor, on_processor};
use crate::back_end::{BackEnd, PROCESSOR, processor_time};
use crate::bound::{Loop, Reader};
use crate::comparison::ROUNDS;
use crate::disk::Disk;
use crate::disk::load::{Counts, Waiting};
use crate::matrix::EVENT_IDX;
use crate::peer;
use xtask_report::spread::Round;
use xtask_report::{Case, CaseId, Unit};
use xtask_support::Spinner;
use xtask_support::cargo::metadata;

/// How many requests are under way.
const DEPTHS: [usize; 2] = [1, 32];

/// Who reads the file.
#[derive(Clone, Copy)]
enum Server {
    /// `vhost-user-blk` with these arguments.
    Ours(&'static [&'static str]),
    /// `qemu-storage-daemon`, with this value of its parameter `aio`.
    Peer(&'static str),
    /// A loop.
    Nobody(Loop),
}

/// All who have a turn, and what they are called.
const SERVERS: [(&str, Server); 8] = [
    ("vhost-user-blk plain", Server::Ours(&["--io", "plain"])),
    ("vhost-user-blk plain, poll", Server::Ours(&["--io", "plain", "--poll"])),
    ("vhost-user-blk uring", Server::Ours(&["--io", "uring"])),
    ("vhost-user-blk uring, poll", Server::Ours(&["--io", "uring", "--poll"])),
    ("qemu-storage-daemon threads", Server::Peer("threads")),
    ("qemu-storage-daemon io_uring", Server::Peer("io_uring")),
    ("pread", Server::Nobody(Loop::Pread)),
    ("io_uring", Server::Nobody(Loop::Uring)),
];

/// What the better of the loops is called.
const BOUND: &str = "bound";

/// A file, and the way to it.
pub(super) struct Medium<'a> {
    program: &'a Path,
    figure: &'static str,
    /// Whether the file is read past the page cache.
    direct: bool,
    file: NamedTempFile,
    content: Vec<u8>,
}

/// What a turn has shown.
struct Turn {
    per_second: f64,
    latency: Round,
    /// How long whoever read has used a processor for each request, in nanoseconds.
    processor_time: f64,
}

impl<'a> Medium<'a> {
    /// Makes a file all of which is in the page cache.
    pub(super) fn cached(program: &'a Path) -> Result<Self> {
        Self::new(program, "blk-cached", false, 64 << 20)
    }

    /// Makes a file that is read past the page cache, and of which nothing is in there.
    pub(super) fn direct(program: &'a Path) -> Result<Self> {
        Self::new(program, "blk-direct", true, 256 << 20)
    }

    /// Makes a file on the disk of the machine. A directory for what is temporary can be in memory.
    fn new(program: &'a Path, figure: &'static str, direct: bool, len: usize) -> Result<Self> {
        let mut content = vec![0; len];
        Xoshiro256PlusPlus::seed_from_u64(1).fill_bytes(&mut content);
        let file = NamedTempFile::new_in(metadata()?.target_directory)?;
        fs::write(&file, &content)?;
        file.as_file().sync_all()?;
        if direct {
            fadvise(file.as_file(), 0, None, Advice::DontNeed)?;
        }
        Ok(Self { program, figure, direct, file, content })
    }

    /// Lets all read, at each depth.
    pub(super) fn measure(&self) -> Result<Vec<Case>> {
        let depths = DEPTHS.into_iter().map(|depth| self.measure_at(depth));
        Ok(depths.collect::<Result<Vec<_>>>()?.concat())
    }

    fn measure_at(&self, depth: usize) -> Result<Vec<Case>> {
        let spinner = Spinner::new(format!("{} {depth}", self.figure));
        let mut turns = SERVERS.map(|(name, _)| (name, Vec::new()));
        for round in 1..=ROUNDS {
            for ((name, server), (_, turns)) in SERVERS.into_iter().zip(&mut turns) {
                spinner.show(&format!("round {round} of {ROUNDS}, {name}"));
                turns.push(self.turn(server, depth).with_context(|| name)?);
            }
        }
        let mut cases: Vec<_> = turns.iter().flat_map(|(name, turns)| self.cases(name, depth, turns)).collect();
        cases.push(self.bound(depth, &cases)?);
        Ok(cases)
    }

    /// Returns what the turns of one have shown.
    fn cases(&self, name: &str, depth: usize, turns: &[Turn]) -> [Case; 3] {
        let case = |what, unit, rounds| Case { id: self.id(what, name, depth), unit, rounds };
        let exact = |value: fn(&Turn) -> f64| turns.iter().map(|turn| Round::exact(value(turn))).collect();
        [
            case("", Unit::RequestsPerSecond, exact(|turn| turn.per_second)),
            case("-latency", Unit::Nanoseconds, turns.iter().map(|turn| turn.latency).collect()),
            case("-processor-time", Unit::Nanoseconds, exact(|turn| turn.processor_time)),
        ]
    }

    /// Returns the rate of the loop that is faster, in each round.
    fn bound(&self, depth: usize, cases: &[Case]) -> Result<Case> {
        let rates = |name| {
            let id = self.id("", name, depth);
            cases.iter().find(|case| case.id == id).with_context(|| format!("{id} was measured"))
        };
        let rates = rates("pread")?.values().zip(rates("io_uring")?.values()).map(|(one, other)| one.max(other));
        Ok(Case::of_values(self.id("", BOUND, depth), Unit::RequestsPerSecond, rates.collect()))
    }

    fn id(&self, what: &str, name: &str, depth: usize) -> CaseId {
        CaseId::new(&format!("{}{what}", self.figure), name, &depth.to_string())
    }

    /// Lets one read for a while.
    fn turn(&self, server: Server, depth: usize) -> Result<Turn> {
        let (counts, used) = match server {
            Server::Nobody(by) => on_processor(PROCESSOR, || self.read(by, depth))?,
            Server::Ours(args) => self.serve(&self.start_ours(args)?, depth)?,
            Server::Peer(aio) => self.serve(&self.start_peer(aio)?, depth)?,
        };
        Turn::new(counts, used)
    }

    /// Reads without virtio, and returns how long a processor was used as well.
    fn read(&self, by: Loop, depth: usize) -> Result<(Counts, Duration)> {
        let flags = if self.direct { OFlags::DIRECT } else { OFlags::empty() };
        let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(&self.file)?;
        let mut reader = Reader::new(&file, self.content.len(), depth, REQUEST_LEN)?;
        reader.read_for(WARM_UP, by)?;
        let before = processor_time("self")?;
        let counts = reader.read_for(TIME, by)?;
        let used = processor_time("self")?.saturating_sub(before);
        reader.check_last(&self.content)?;
        Ok((counts, used))
    }

    /// Reads through a back end, and returns how long that used a processor.
    fn serve(&self, back_end: &BackEnd, depth: usize) -> Result<(Counts, Duration)> {
        back_end.run_on(PROCESSOR)?;
        on_processor(driver_processor()?, || {
            let mut disk = Disk::connect(back_end.socket(), EVENT_IDX, QUEUE_SIZE, depth, REQUEST_LEN)?;
            disk.read_for(WARM_UP, self.content.len(), Waiting::Polls)?;
            let before = back_end.processor_time()?;
            let counts = disk.read_for(TIME, self.content.len(), Waiting::Polls)?;
            let used = back_end.processor_time()?.saturating_sub(before);
            disk.check_last(&self.content)?;
            Ok((counts, used))
        })
    }

    fn start_ours(&self, args: &[&str]) -> Result<BackEnd> {
        let file = self.file.path().to_string_lossy();
        let direct: &[_] = if self.direct { &["--direct"] } else { &[] };
        BackEnd::start(self.program, &[&["--blk-file", &file], args, direct].concat())
    }

    fn start_peer(&self, aio: &str) -> Result<BackEnd> {
        let (file, direct) = (self.file.path().display(), if self.direct { "on" } else { "off" });
        let disk = format!("driver=file,node-name=disk,aio={aio},cache.direct={direct},filename={file}");
        peer::start(BackEnd::new_socket(), &disk)
    }
}

impl Turn {
    #[expect(clippy::cast_precision_loss, reason = "there are not that many of anything")]
    fn new(counts: Counts, used: Duration) -> Result<Self> {
        let requests = counts.requests as f64;
        let (per_second, processor_time) = (requests / counts.time.as_secs_f64(), used.as_nanos() as f64 / requests);
        let latency = Round::of_latencies(counts.latencies).context("there were requests")?;
        Ok(Self { per_second, latency, processor_time })
    }
}
