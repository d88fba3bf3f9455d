//! The virtio entropy device.
//!
//! VIRTIO 1.4 §5.4 "Entropy Device". It has no features and no configuration space. What it hands out comes from an
//! [`Entropy`]: the operating system's, or a generator with a seed.

mod entropy;
mod error;

use core::fmt;

use virtio_chain::WritableChain;
use virtio_queue_core::Chain;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use error::RngError;

use crate::Device;

/// The most bytes that one chain gets, however large it is.
pub const MAX_BYTES: usize = 4096;

/// An entropy device.
///
/// It allocates one buffer when it is made, and nothing for a request.
pub struct RngDevice<E> {
    entropy: E,
    buffer: Box<[u8; MAX_BYTES]>,
}

impl<E: Entropy> RngDevice<E> {
    /// Makes a device that hands out `entropy`.
    #[must_use]
    pub fn new(entropy: E) -> Self {
        Self { entropy, buffer: Box::new([0; MAX_BYTES]) }
    }
}

/// VIRTIO 1.4 §5.4.6 "Device Operation".
///
/// A chain gets as many random bytes as it has room for, but no more than [`MAX_BYTES`]; the used length says how many.
/// Readable bytes, which a driver must not send, are passed over.
impl<E: Entropy> Device for RngDevice<E> {
    type Error = RngError;

    fn process(&mut self, chain: impl Chain) -> Result<u64, RngError> {
        let mut chain = WritableChain::new(chain);
        let room = usize::try_from(chain.remaining()?.bytes).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(RngError::NoRoom);
        }
        let (bytes, _) = self.buffer.split_at_mut(room.min(MAX_BYTES));
        self.entropy.fill(bytes)?;
        chain.write_all(bytes)?;
        chain.return_prefix().map_err(RngError::Return)?;
        Ok(bytes.len() as u64)
    }
}

/// Without the bytes in the buffer, which are a driver's secret.
impl<E: fmt::Debug> fmt::Debug for RngDevice<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RngDevice").field("entropy", &self.entropy).finish_non_exhaustive()
    }
}
