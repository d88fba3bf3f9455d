//! The chains of a queue, as a stream.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use futures_core::Stream;
use virtio_util::{DescChainStream, NotifyThread, SharedQueue};

use crate::inflight::AnyRecordedRing;
use crate::worker::KeptChain;

/// A queue whose chains are out while others are fetched. Nobody is held up by the eventfd of its front end.
pub(crate) type Shared = SharedQueue<AnyRecordedRing, NotifyThread>;

/// The chains of a queue, as [`Worker::asynchronous`](crate::Worker::asynchronous) takes them: a stream, which waits
/// when there is none.
///
/// It ends when the front end stops the queue, resets the device or goes, and when the driver has broken the queue: the
/// back end tells whoever has to know. Chains that were taken from it are returned as ever.
#[derive(Debug)]
pub struct Chains {
    stream: DescChainStream<AnyRecordedRing, NotifyThread>,
    index: usize,
    /// Whether there was a chain of late.
    useful: Arc<AtomicBool>,
}

impl Chains {
    pub(crate) fn new(queue: Shared, index: usize, useful: Arc<AtomicBool>) -> Self {
        Self { stream: DescChainStream::new(queue), index, useful }
    }

    /// Waits for the next chain, and returns it, or `None` at the end.
    pub async fn next_chain(&mut self) -> Option<KeptChain> {
        core::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the index of the queue among those that belong together.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }
}

impl Stream for Chains {
    type Item = KeptChain;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<KeptChain>> {
        let next = Pin::new(&mut self.stream).poll_next(context);
        // Relaxed: it is a hint.
        self.useful.fetch_or(next.is_ready(), Ordering::Relaxed);
        // Why a queue broke is reported by the thread that polls this.
        next.map(|chain| chain.and_then(Result::ok))
    }
}
