//! Chains that are used later, in another order.

use anyhow::{Result, bail};
use virtio_queue_core::{FromConfig, Queue, Token};

use super::parts::{Signals, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::Table;
use crate::support::ring::{Ring, completion_order};

/// A device that keeps the chains of a burst as tokens, and then completes them all.
pub(super) struct Tokens<R: FromConfig> {
    queue: Queue<R, Signals>,
    signals: Signals,
    chains: usize,
    order: Vec<usize>,
    /// What is in flight, as its user data in an I/O queue would be, with the length to be reported.
    in_flight: Vec<(u64, u32)>,
}

impl<R: FromConfig<Mem = Table>> Tokens<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        let order = completion_order(ring.shape, ring.shape.burst.into());
        Self { queue, signals, chains: ring.chains.len(), in_flight: Vec::with_capacity(order.len()), order }
    }

    #[inline]
    fn burst(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        self.in_flight.clear();
        let mut burst = self.queue.burst();
        for _ in 0..self.order.len() {
            let Some(chain) = burst.next_chain()? else { bail!(MISSING) };
            let (added, written) = walk(chain.walk(), chain.mem())?;
            sum = sum.wrapping_add(added);
            self.in_flight.push((chain.into_token().into_u64(), written));
        }
        for index in &self.order {
            let (token, written) = self.in_flight[*index];
            burst.complete(Token::from_u64(token), written)?;
        }
        burst.finish()?;
        Ok(sum)
    }
}

impl<R: FromConfig<Mem = Table>> Device for Tokens<R> {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        for _ in 0..self.chains / self.order.len() {
            sum = sum.wrapping_add(self.burst()?);
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
