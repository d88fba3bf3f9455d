//! Where random bytes come from.

use std::io;

use rand::rngs::{SmallRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// A source of random bytes.
pub trait Entropy {
    /// Fills `buf`, all of it.
    ///
    /// # Errors
    ///
    /// If there is no randomness to be had.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()>;
}

/// The operating system's source, good for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()> {
        Ok(SysRng.try_fill_bytes(buf)?)
    }
}

/// The same bytes each time for the same seed, good for tests and nothing else.
#[derive(Clone, Debug)]
pub struct SeededEntropy(SmallRng);

impl SeededEntropy {
    /// Begins the sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.0.fill_bytes(buf);
        Ok(())
    }
}
