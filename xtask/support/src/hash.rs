//! What two sides compare instead of all that they have.

use core::fmt;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A SHA-256, in the form that `sha256sum` prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Hashes all that `reader` has.
    ///
    /// # Errors
    ///
    /// If it cannot be read to its end.
    pub fn of(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let len = reader.read(&mut buffer)?;
            if len == 0 {
                return Ok(hasher.into());
            }
            hasher.update(buffer.get(..len).unwrap_or_default());
        }
    }
}

impl From<Sha256> for Hash {
    fn from(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
