//! The drivers: honest and fast. They write each descriptor anew, as real ones do, and look at everything that comes
//! back.

pub(super) mod packed;
pub(super) mod split;

use anyhow::{Result, ensure};

use super::buffer::{Content, LEN};
use crate::support::ring::{Chain, Ring};

/// One side of a queue. Chains have one buffer each, which belongs to their slot, and come back in order.
pub(super) trait DriverSide {
    /// Returns the driver's side of a new ring.
    ///
    /// # Safety
    ///
    /// 1. `ring` outlives what is returned.
    /// 2. Nobody else is its driver.
    unsafe fn new(ring: &Ring) -> Self;

    /// Makes as many chains available, and publishes them together. There must be room for them.
    fn add(&mut self, chains: u16);

    /// Takes back what was used, at most as many chains, and returns how many that are.
    ///
    /// # Errors
    ///
    /// If something else came back than the next chain, with all of it written and the right content.
    fn take(&mut self, limit: u16) -> Result<u16>;
}

/// The buffers of a queue, one for each slot.
struct Buffers {
    buffers: Vec<(u64, *const Content)>,
    /// The number that the device will write into the next one to come back.
    number: u64,
}

impl Buffers {
    fn new(ring: &Ring) -> Self {
        let buffer = |chain: &Chain| {
            let addr = chain.buffers[0].addr;
            (addr.0, ring.memory.range(addr, LEN as usize).as_ptr().as_ptr().cast_const().cast())
        };
        Self { buffers: ring.chains.iter().map(buffer).collect(), number: 0 }
    }

    #[inline]
    fn addr(&self, slot: u16) -> u64 {
        self.buffers[usize::from(slot)].0
    }

    /// Checks what came back as the next chain, which was in `slot`.
    #[inline]
    fn check(&mut self, slot: u16, id: u64, len: u64) -> Result<()> {
        ensure!(
            id == u64::from(slot) && len == u64::from(LEN),
            "chain {id} came back instead of {slot}, with {len} bytes"
        );
        let (_, content) = self.buffers[usize::from(slot)];
        // SAFETY: the buffer is there as long as the ring's memory, is aligned, and is not the device's any more.
        let content = unsafe { content.read() };
        ensure!(content == [self.number; 8], "chain {id} contains {content:?} instead of {}", self.number);
        self.number += 1;
        Ok(())
    }
}
