//! Random chains.

use alloc::vec::Vec;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::chain::DriverChain;

/// An endless supply of random chains. The same seed gives the same chains on every host.
///
/// The limits set the largest numbers of elements and bytes of a chain. A chain can have no readable elements, no
/// writable elements, or only empty ones. If indirect tables are allowed, some chains are indirect as a whole or in
/// part, with tables at any address. [`Driver::traffic`](crate::Driver::traffic) makes traffic for a driver.
///
/// ```
/// use virtio_fake_driver::{Traffic, TrafficLimits};
///
/// let limits = TrafficLimits { elements: 4, bytes: 100, indirect: true };
/// for chain in Traffic::new(7, limits).take(1000) {
///     assert!((1..=4).contains(&chain.elements()));
///     assert!(chain.readable_bytes().len() as u64 + chain.writable_len() <= 100);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Traffic {
    rng: Xoshiro256PlusPlus,
    limits: TrafficLimits,
    /// Whether a chain can have direct elements and an indirect table.
    mixed: bool,
}

/// The limits of random chains.
///
/// ```
/// use virtio_fake_driver::{Traffic, TrafficLimits};
///
/// let limits = TrafficLimits { elements: 1, bytes: 0, indirect: false };
/// let chain = Traffic::new(1, limits).next_chain();
/// assert_eq!((chain.elements(), chain.descriptors()), (1, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrafficLimits {
    /// The largest number of elements in a chain, at least 1. An honest driver takes at most as many as the queue size.
    pub elements: u16,
    /// The largest number of bytes in a chain, readable and writable bytes together.
    pub bytes: u32,
    /// Whether chains can have indirect tables.
    pub indirect: bool,
}

impl Traffic {
    /// Returns the traffic of `seed`.
    ///
    /// # Panics
    ///
    /// If the limits allow no elements.
    #[must_use]
    pub fn new(seed: u64, limits: TrafficLimits) -> Self {
        assert!(limits.elements != 0, "a chain has at least one element");
        Self { rng: SeedableRng::seed_from_u64(seed), limits, mixed: true }
    }

    /// Returns the same traffic, without chains that have both direct elements and an indirect table.
    ///
    /// A packed ring does not allow such chains (PACK-SG-5).
    #[must_use]
    pub fn without_mixed_chains(self) -> Self {
        Self { mixed: false, ..self }
    }

    /// Returns the next chain.
    pub fn next_chain(&mut self) -> DriverChain {
        let TrafficLimits { elements, bytes, indirect } = self.limits;
        // About half of the chains are short. With long chains only, the queue would always be full.
        let longest = if self.rng.random() { elements } else { elements.min(3) };
        let elements = self.rng.random_range(1..=longest);
        let readable = self.rng.random_range(0..=elements);
        let total = self.rng.random_range(0..=bytes);
        let readable_total = match readable {
            0 => 0,
            all if all == elements => total,
            _ => self.rng.random_range(0..=total),
        };
        let mut chain = DriverChain::new();
        for len in self.cut(readable_total, readable) {
            let content: Vec<u8> = (0..len).map(|_| self.rng.random()).collect();
            chain = chain.readable(content);
        }
        for len in self.cut(total - readable_total, elements - readable) {
            chain = chain.writable(len);
        }
        if indirect { self.with_table(chain, elements) } else { chain }
    }

    /// Cuts `total` bytes into `count` lengths. Lengths can be 0.
    fn cut(&mut self, total: u32, count: u16) -> Vec<u32> {
        let Some(inner) = count.checked_sub(1) else { return Vec::new() };
        let mut ends: Vec<u32> = (0..inner).map(|_| self.rng.random_range(0..=total)).collect();
        ends.push(total);
        ends.sort_unstable();
        let mut start = 0;
        ends.into_iter().map(|end| end - core::mem::replace(&mut start, end)).collect()
    }

    /// Leaves the chain direct, or makes it indirect from a random element on.
    fn with_table(&mut self, chain: DriverChain, elements: u16) -> DriverChain {
        let chain = match self.rng.random_range(0..3) {
            0 => chain,
            1 => chain.indirect(),
            _ if !self.mixed => chain.indirect(),
            // If all elements are direct, there is no table.
            _ => chain.indirect_after(self.rng.random_range(0..=elements).into()),
        };
        chain.table_misaligned_by(self.rng.random_range(0..16))
    }
}

impl Iterator for Traffic {
    type Item = DriverChain;

    fn next(&mut self) -> Option<DriverChain> {
        Some(self.next_chain())
    }
}
