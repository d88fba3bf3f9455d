//! Chains as a stream, for an executor that does nothing but poll.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Result, bail};
use futures_core::Stream;
use parking_lot::RawMutex;
use virtio_queue_core::{Chain, FromConfig, KeepsDescriptors, Queue};
use virtio_util::atomic_waker::AtomicWaker;
use virtio_util::{DescChainStream, SharedQueue};

use super::{Signals, config, walk};
use crate::support::device::{Device, MISSING};
use crate::support::memory::Table;
use crate::support::ring::Ring;

/// A device that takes its chains from a stream, and returns each when it has looked at it.
pub(super) struct Streamed<R: FromConfig> {
    queue: SharedQueue<RawMutex, R, Signals>,
    kicked: AtomicWaker,
    signals: Signals,
    chains: usize,
}

impl<R: FromConfig<Mem = Table>> Streamed<R> {
    pub(super) fn new(ring: &Ring) -> Self {
        let signals = Signals::default();
        let queue = Queue::new(&config(ring), ring.memory.table(), signals.clone()).expect("the ring is valid");
        Self { queue: SharedQueue::new(queue), kicked: AtomicWaker::new(), signals, chains: ring.chains.len() }
    }
}

impl<R: FromConfig + KeepsDescriptors> Device for Streamed<R> {
    fn serve(&mut self) -> Result<u64> {
        let mut sum = 0_u64;
        let mut chains = DescChainStream::new(&self.queue, &self.kicked);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.chains {
            let Poll::Ready(Some(chain)) = Pin::new(&mut chains).poll_next(&mut context) else { bail!(MISSING) };
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
