//! One line of the table.

use std::path::Path;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::back_end::BackEnd;
use crate::disk::Disk;
use crate::matrix::Row;

/// The size of the disk in bytes.
pub(super) const DISK_SIZE: usize = 16 << 20;
pub(super) const QUEUE_SIZE: u16 = 256;
/// A request is a header, a payload and a status: the driver has no indirect descriptors.
pub(super) const FULL: usize = QUEUE_SIZE as usize / 3;
/// How many bytes each case moves, about, before and after the driver connects again.
const BYTES: usize = 24 << 20;

/// What the driver negotiates, and what it does then.
pub(super) struct Case {
    pub(super) features: u64,
    pub(super) depth: usize,
    pub(super) request_len: usize,
}

impl Case {
    pub(super) fn row(&self) -> Row {
        let about = format!("depth {}, up to {} B", self.depth, self.request_len);
        Row { driver: "virtio-driver", device: "vhost-user-blk", features: self.features, about }
    }

    /// Returns how many requests are made with each connection.
    fn requests(&self) -> usize {
        (BYTES / self.request_len).clamp(4 * self.depth, 4000)
    }

    /// Uses the disk, connects again in the middle, and reads all of it at the end. Returns the number of random
    /// requests.
    pub(super) fn run(&self, program: &Path) -> Result<u64> {
        let image = tempfile::NamedTempFile::new()?;
        image.as_file().set_len(DISK_SIZE as u64)?;
        let path = image.path().to_string_lossy().into_owned();
        let size = QUEUE_SIZE.to_string();
        let mut back_end = BackEnd::start(program, &["--blk-file", &path, "--queue-size", &size])?;
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
        Ok(2 * self.requests() as u64)
    }
}
