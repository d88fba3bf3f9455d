//! The crate `virtio-driver`, which is libblkio's driver, against `vhost-user-blk`.

use std::path::Path;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::back_end::{BackEnd, build};
use super::disk::Disk;

const EVENT_IDX: u64 = 1 << 29;
const RING_PACKED: u64 = 1 << 34;

/// The size of the disk in bytes.
const DISK_SIZE: usize = 16 << 20;
const QUEUE_SIZE: u16 = 256;
/// A request is a header, a payload and a status: the driver has no indirect descriptors.
const FULL: usize = QUEUE_SIZE as usize / 3;
/// How many bytes each case moves, about, before and after the driver connects again.
const BYTES: usize = 24 << 20;

/// What the driver negotiates, and what it does then.
struct Case {
    features: u64,
    depth: usize,
    request_len: usize,
}

/// Runs all combinations and prints them as a table, and returns whether all of them passed.
pub(super) fn run() -> Result<bool> {
    let program = build("vhost-user-blk")?;
    println!("driver         device          format  EVENT_IDX  depth  bytes up to  requests  verdict");
    let mut passed = true;
    for format in [0, RING_PACKED] {
        for events in [0, EVENT_IDX] {
            for depth in [1, 32, FULL] {
                for request_len in [512, 4096, 64 << 10, 1 << 20] {
                    let case = Case { features: format | events, depth, request_len };
                    passed &= case.run_and_report(&program);
                }
            }
        }
    }
    Ok(passed)
}

impl Case {
    fn run_and_report(&self, program: &Path) -> bool {
        let format = if self.features & RING_PACKED == 0 { "split" } else { "packed" };
        let events = if self.features & EVENT_IDX == 0 { "no" } else { "yes" };
        let (requests, verdict) = (self.requests(), self.run(program));
        let passed = verdict.is_ok();
        let verdict = verdict.map_or_else(|error| format!("FAILED: {error:#}"), |()| "ok".into());
        println!(
            "virtio-driver  vhost-user-blk  {format:<6}  {events:<9}  {:>5}  {:>11}  {:>8}  {verdict}",
            self.depth,
            self.request_len,
            2 * requests,
        );
        passed
    }

    /// Returns how many requests are made with each connection.
    fn requests(&self) -> usize {
        (BYTES / self.request_len).clamp(4 * self.depth, 4000)
    }

    /// Uses the disk, connects again in the middle, and reads all of it at the end.
    fn run(&self, program: &Path) -> Result<()> {
        let image = tempfile::NamedTempFile::new()?;
        image.as_file().set_len(DISK_SIZE as u64)?;
        let path = image.path().to_string_lossy().into_owned();
        let size = QUEUE_SIZE.to_string();
        let mut back_end = BackEnd::start(program, &["--image", &path, "--queue-size", &size])?;
        let mut model = vec![0; DISK_SIZE];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.features ^ (self.depth + self.request_len) as u64);
        for _ in 0..2 {
            let mut disk = Disk::connect(back_end.socket(), self.features, QUEUE_SIZE, self.depth, self.request_len)?;
            disk.exercise(&mut model, self.requests(), &mut rng)?;
        }
        let mut disk = Disk::connect(back_end.socket(), self.features, QUEUE_SIZE, 8, 1 << 20)?;
        disk.check_all(&model)?;
        ensure!(back_end.is_running()?, "the back end has ended");
        ensure!(std::fs::read(image.path())? == model, "what is in the file was not written");
        Ok(())
    }
}
