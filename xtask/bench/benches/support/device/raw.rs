//! The limit: loops over raw pointers, as a good engineer would write them who trusts the driver with everything.
//!
//! There are no checks and no translation but one addition; what changes is in registers; the memory order is what the
//! specification demands and no more, with the full fence before the driver's wish is read.

pub(crate) mod packed;
pub(crate) mod split;

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::{Device, MISSING};
use crate::support::memory::Memory;
use crate::support::ring::{Ring, counted};

/// The pointers to a ring, for a loop to keep in registers. They do not keep its memory.
pub(crate) trait RawRing: Copy {
    /// Where the device is in the ring.
    type Position: Copy;

    /// Returns where a ring begins.
    fn start() -> Self::Position;

    /// Serves at most `limit` chains, and publishes them together. `each` is told the address on this side and the
    /// length of each buffer.
    fn burst(&self, position: Self::Position, limit: u16, each: impl FnMut(u64, u32)) -> Served<Self::Position>;
}

/// What has come of a burst.
#[derive(Clone, Copy)]
pub(crate) struct Served<P> {
    pub(crate) position: P,
    pub(crate) chains: u16,
    /// Whether the driver wants to be notified.
    pub(crate) signal: bool,
}

/// A device that serves in bursts.
struct Raw<R: RawRing> {
    ring: R,
    _memory: Arc<Memory>,
    position: R::Position,
    signals: u64,
    chains: u16,
    burst: u16,
}

impl<R: RawRing> Raw<R> {
    fn new(raw: R, ring: &Ring) -> Self {
        let memory = Arc::clone(&ring.memory);
        Self {
            ring: raw,
            _memory: memory,
            position: R::start(),
            signals: 0,
            chains: ring.shape.chains(),
            burst: ring.shape.burst,
        }
    }
}

impl<R: RawRing> Device for Raw<R> {
    fn serve(&mut self) -> Result<u64> {
        // A copy that nobody else can see, so that what it holds need not be read again.
        let ring = self.ring;
        let (mut position, mut left, mut sum, mut signals) = (self.position, self.chains, 0_u64, 0);
        while left > 0 {
            let served = ring.burst(position, self.burst.min(left), |host, len| sum = counted(sum, host, len));
            ensure!(served.chains > 0, MISSING);
            position = served.position;
            left -= served.chains;
            signals += u64::from(served.signal);
        }
        self.position = position;
        self.signals += signals;
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals
    }
}
