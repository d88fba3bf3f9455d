//! What the driver does with the disk.

use anyhow::{Result, ensure};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use virtio_drivers::device::blk::SECTOR_SIZE;

use super::bar::Bar;
use super::disk::{Kind, MAX_SECTORS, Request, Workload};
use xtask_support::Hash;

/// Reads and writes at random, and knows what has to be on the disk.
pub(super) struct RandomTraffic<'b> {
    left: u64,
    rng: Xoshiro256PlusPlus,
    /// What is written is cut out of this.
    noise: Vec<u8>,
    /// The contents of the disk.
    model: Vec<u8>,
    bar: &'b Bar,
}

impl<'b> RandomTraffic<'b> {
    /// Makes so many requests to a disk of `sectors` sectors, all zero.
    pub(super) fn new(requests: u64, seed: u64, sectors: usize, bar: &'b Bar) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut noise = vec![0; 4 * MAX_SECTORS * SECTOR_SIZE];
        rng.fill_bytes(&mut noise);
        Self { left: requests, rng, noise, model: vec![0; sectors * SECTOR_SIZE], bar }
    }
}

impl Workload for RandomTraffic<'_> {
    fn next_request(&mut self) -> Option<Request> {
        self.left = self.left.checked_sub(1)?;
        let capacity = self.model.len() / SECTOR_SIZE;
        let sectors = self.rng.random_range(1..=MAX_SECTORS.min(capacity));
        let sector = self.rng.random_range(0..=capacity - sectors);
        let len = sectors * SECTOR_SIZE;
        let (kind, data) = if self.rng.random() {
            (Kind::Read, vec![0; len])
        } else {
            let start = self.rng.random_range(0..=self.noise.len() - len);
            (Kind::Write, self.noise.get(start..start + len)?.to_vec())
        };
        Some(Request { sector, data, kind })
    }

    fn complete(&mut self, request: Request) -> Result<()> {
        let Request { sector, data, kind } = request;
        let (_, rest) = self.model.split_at_mut(sector * SECTOR_SIZE);
        let (model, _) = rest.split_at_mut(data.len());
        match kind {
            Kind::Write => model.copy_from_slice(&data),
            Kind::Read => {
                ensure!(*model == data, "{} bytes read at sector {sector} differ from what was written", data.len())
            }
        }
        self.bar.advance(1);
        Ok(())
    }
}

/// Reads the disk from the beginning on.
pub(super) struct ReadAll<'b> {
    next: usize,
    sectors: usize,
    /// How many bytes are still to be hashed. The last sector may be padded.
    left: u64,
    hasher: Sha256,
    bar: &'b Bar,
}

impl<'b> ReadAll<'b> {
    /// Reads `sectors` sectors, and hashes the first `len` bytes of them.
    pub(super) fn new(sectors: usize, len: u64, bar: &'b Bar) -> Self {
        Self { next: 0, sectors, left: len, hasher: Sha256::new(), bar }
    }

    /// Returns the SHA-256 of what was read.
    pub(super) fn finish(self) -> Hash {
        self.hasher.into()
    }
}

impl Workload for ReadAll<'_> {
    fn next_request(&mut self) -> Option<Request> {
        let sector = self.next;
        let sectors = MAX_SECTORS.min(self.sectors - sector);
        self.next += sectors;
        (sectors > 0).then(|| Request { sector, data: vec![0; sectors * SECTOR_SIZE], kind: Kind::Read })
    }

    fn complete(&mut self, request: Request) -> Result<()> {
        let len = self.left.min(request.data.len() as u64);
        self.hasher.update(request.data.get(..usize::try_from(len)?).unwrap_or_default());
        self.left -= len;
        self.bar.advance(len);
        Ok(())
    }
}
