//! Drivers that are killed while they have requests under way.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use tempfile::NamedTempFile;

use super::case::{DISK_SIZE, QUEUE_SIZE};
use crate::back_end::BackEnd;
use crate::disk::Disk;
use crate::matrix::{EVENT_IDX, RING_PACKED, Row};
use crate::output::Output;

/// How many drivers are killed.
const KILLS: u64 = 10;
/// How many requests each has made by then, at least, of up to so many bytes, and how many of them at a time.
const REQUESTS: u64 = 1000;
const REQUEST_LEN: usize = 64 << 10;
const DEPTH: usize = 32;

/// What a driver says when it has made so many.
const BUSY: &str = "busy\n";

/// What drivers negotiate that are killed, and how the back end learns of their requests.
pub(super) struct Killed {
    features: u64,
    mode: &'static [&'static str],
}

/// A driver with a process of its own.
struct Driver {
    process: Child,
    output: Output,
}

impl Killed {
    /// Returns all cases.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let formats = [EVENT_IDX, RING_PACKED | EVENT_IDX];
        formats.into_iter().flat_map(|features| [&[][..], &["--poll"]].map(|mode| Self { features, mode }))
    }

    pub(super) fn row(&self) -> Row {
        let about = if self.mode.is_empty() { "driver killed" } else { "driver killed, poll mode" };
        Row { driver: "virtio-driver", device: "vhost-user-blk", features: self.features, about: about.into() }
    }

    /// Kills one driver after the other, and looks each time what another one finds, and what the back end keeps.
    ///
    /// # Errors
    ///
    /// If it keeps anything, does not serve the next one, or has changed what is on the disk.
    pub(super) fn run(&self, program: &Path) -> Result<u64> {
        let (image, content) = (NamedTempFile::new()?, content());
        fs::write(&image, &content)?;
        let path = image.path().to_string_lossy();
        let mut back_end = BackEnd::start(program, &[&["--blk-file", &path], self.mode].concat())?;
        let at_rest = back_end.at_rest()?;
        for kill in 1..=KILLS {
            let mut driver = Driver::start(back_end.socket(), self.features)?;
            driver.output.until(BUSY)?;
            ensure!(back_end.resources()? != at_rest, "the back end needs nothing for a driver");
            drop(driver);
            back_end.comes_to(&at_rest).with_context(|| format!("after kill {kill}"))?;
            let mut disk = Disk::connect(back_end.socket(), self.features, QUEUE_SIZE, DEPTH, REQUEST_LEN)?;
            disk.check_all(&content).with_context(|| format!("after kill {kill}"))?;
        }
        ensure!(back_end.is_running()?, "the back end has ended");
        ensure!(fs::read(&image)? == content, "what is in the file was not written");
        Ok(KILLS * REQUESTS)
    }
}

/// Returns what is on the disk. That is what drivers write there as well: whether a write of one that was killed came
/// to be done, nobody knows.
fn content() -> Vec<u8> {
    let mut content = vec![0; DISK_SIZE];
    Xoshiro256PlusPlus::seed_from_u64(1).fill_bytes(&mut content);
    content
}

/// Is a driver that makes requests until it is killed.
///
/// # Errors
///
/// If a request fails.
pub(crate) fn drive(socket: &Path, features: u64) -> Result<()> {
    let (content, mut rng) = (content(), Xoshiro256PlusPlus::seed_from_u64(2));
    let mut disk = Disk::connect(socket, features, QUEUE_SIZE, DEPTH, REQUEST_LEN)?;
    disk.repeat(&content, REQUESTS, &mut rng)?;
    print!("{BUSY}");
    loop {
        disk.repeat(&content, REQUESTS, &mut rng)?;
    }
}

impl Driver {
    fn start(socket: &Path, features: u64) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("--drive").arg(socket).arg(format!("--features={features}"));
        let mut process = command.stdout(Stdio::piped()).spawn().context("cannot run a driver")?;
        let output = Output::new(process.stdout.take().context("its output is a pipe")?);
        Ok(Self { process, output })
    }
}

/// That kills it.
impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself, with an error that it has printed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
