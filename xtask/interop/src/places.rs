//! Where a disk is read in a measurement.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Random places, which are the same for all who read a disk of that size.
pub(crate) struct Places {
    rng: Xoshiro256PlusPlus,
    blocks: usize,
    block_len: usize,
}

impl Places {
    /// Begins with a disk of `disk_len` bytes, in blocks of `block_len`.
    pub(crate) fn new(disk_len: usize, block_len: usize) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(disk_len as u64);
        Self { rng, blocks: disk_len / block_len, block_len }
    }

    /// Returns the place of a block, in bytes.
    pub(crate) fn random(&mut self) -> usize {
        self.rng.random_range(0..self.blocks) * self.block_len
    }
}

/// What a buffer was last read into for, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) place: usize,
    pub(crate) began: Duration,
}
