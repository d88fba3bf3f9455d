//! The virtio entropy device.
//!
//! VIRTIO 1.4 §5.4 "Entropy Device". It has no features and no configuration space. Its bytes come from an [`Entropy`]:
//! the operating system, or a generator with a seed.

mod entropy;
mod error;

use core::fmt;

use virtio_chain::WritableChain;
use virtio_queue_core::Chain;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use error::RngError;

use virtio_vhost_user::Device;

/// The largest number of random bytes for one chain.
pub const MAX_BYTES: usize = 4096;

/// An entropy device.
///
/// It allocates one buffer when it is created, and nothing for a request.
pub struct RngDevice<E> {
    entropy: E,
    buffer: Box<[u8; MAX_BYTES]>,
}

impl<E: Entropy> RngDevice<E> {
    /// Creates a device that sends bytes from `entropy`.
    #[must_use]
    pub fn new(entropy: E) -> Self {
        Self { entropy, buffer: Box::new([0; MAX_BYTES]) }
    }
}

/// VIRTIO 1.4 §5.4.6 "Device Operation".
///
/// A chain gets as many random bytes as it has room for, but at most [`MAX_BYTES`]. The used length is their number. A
/// driver must not send readable bytes. The device skips them.
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

/// Omits the bytes in the buffer, because they are a secret of a driver.
impl<E: fmt::Debug> fmt::Debug for RngDevice<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RngDevice").field("entropy", &self.entropy).finish_non_exhaustive()
    }
}
