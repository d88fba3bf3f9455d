//! The sources of random bytes.

use std::io;

use rand::rngs::{SmallRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// A source of random bytes.
pub trait Entropy {
    /// Fills all of `buf`.
    ///
    /// # Errors
    ///
    /// If the source has no random bytes.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()>;
}

/// The source of the operating system. Its bytes are good enough for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()> {
        Ok(SysRng.try_fill_bytes(buf)?)
    }
}

/// A generator that returns the same bytes for the same seed. It is only for tests.
#[derive(Clone, Debug)]
pub struct SeededEntropy(SmallRng);

impl SeededEntropy {
    /// Creates a generator that starts the sequence of `seed`.
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
