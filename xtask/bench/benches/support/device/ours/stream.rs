//! Chains as a stream, for an executor that does nothing but poll.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Result, bail};
use futures_core::Stream;
use virtio_queue_core::{Chain, FromConfig, Queue};
use virtio_util::{DescChainStream, SharedQueue, SharedRing};

use super::parts::{Signals, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::Table;
use crate::support::ring::Ring;

/// A device that takes its chains from a stream, and returns each when it has looked at it.
pub(super) struct Streamed<R: FromConfig + SharedRing> {
    chains: DescChainStream<R, Signals>,
    signals: Signals,
    count: usize,
}

impl<R: FromConfig<Mem = Table> + SharedRing> Streamed<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        let chains = DescChainStream::new(SharedQueue::new(queue));
        Self { chains, signals, count: ring.chains.len() }
    }
}

impl<R: FromConfig + SharedRing> Device for Streamed<R> {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.count {
            let Poll::Ready(Some(chain)) = Pin::new(&mut self.chains).poll_next(&mut context) else { bail!(MISSING) };
            let chain = chain?;
            let (added, written) = walk(chain.walk(), chain.mem())?;
            sum = sum.wrapping_add(added);
            chain.return_unchecked(written).map_err(|refused| refused.error)?;
        }
        Ok(sum)
    }

    fn signals(&self) -> u64 {
        self.signals.count()
    }
}
