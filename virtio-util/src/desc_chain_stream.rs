//! Chains as an asynchronous stream.

use core::fmt;
use core::future::poll_fn;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};

use event_listener::EventListener;
use futures_core::{FusedStream, Stream};
use virtio_queue_core::{DriverNotify, FatalError};

#[cfg(feature = "std")]
use crate::lock::DefaultLock;
use crate::lock::Lock;
use crate::owned_chain::OwnedChain;
use crate::shared_queue::{SharedQueue, SharedRing};

/// The chains of a [`SharedQueue`], as a stream. The stream waits while no chain is available, and ends with the
/// [queue](SharedQueue#the-end-of-a-queue).
///
/// Call [`SharedQueue::wake`] each time the driver kicks, from any thread or task. In a VMM, that is in the code that
/// handles the driver's write to the notification register: where the MMIO or PCI write arrives, or where the eventfd
/// of the kick (KVM calls it an ioeventfd) becomes readable. Without this call, the stream sleeps although the driver
/// has made chains available.
///
/// The chains are [owned](OwnedChain). Each chain can move into its own task, and returns when that task ends or is
/// cancelled. When the [budget](SharedQueue#the-budget) is used up, the stream waits until chains have returned.
///
/// The stream has a handle on the queue and borrows nothing, so a task can own it. A queue can have several streams.
/// You can drop a stream at any time: no chain is lost.
///
/// While it waits, the stream asks the driver to notify. A busy task can suppress notifications until it polls the
/// stream again. The stream itself does not suppress them.
///
/// # When not to use it
///
/// If nothing else in the device is asynchronous: threads that wait in [`SharedQueue::wait_chain`] are simpler.
///
/// # Examples
///
/// A device under tokio, whose requests can end in any order:
///
/// ```
/// use std::time::Duration;
/// use virtio_util::{DescChainStream, SharedQueue};
/// # use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let fixture = AnyFixtureOptions::default().build_plain()?;
/// # let (queue, mut driver) = (fixture.queue, fixture.driver);
/// let queue = SharedQueue::new(queue);
/// let mut chains = DescChainStream::new(queue.clone());
/// let device = tokio::spawn(async move {
///     while let Some(chain) = chains.next_chain().await? {
///         tokio::spawn(async move {
///             tokio::time::sleep(Duration::from_millis(1)).await;
///             let _ = chain.return_written(0);
///         });
///     }
///     Ok::<_, virtio_queue_core::FatalError>(())
/// });
///
/// // Elsewhere, when the driver kicks:
/// # driver.add(&DriverChain::new().writable(8))?;
/// queue.wake();
/// # while driver.reap_all()?.is_empty() {
/// #     tokio::task::yield_now().await;
/// # }
///
/// // When the driver resets the queue:
/// queue.reset();
/// queue.drained().await;
/// device.await??;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "std")]
pub struct DescChainStream<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock = DefaultLock> {
    queue: SharedQueue<R, N, L>,
    /// The listener for the next wake-up. `None` after the wake-up, because a listener that is ready cannot be polled
    /// again.
    listener: Option<EventListener>,
    /// Whether a poll has had to wait since the last chain.
    waited: bool,
    ended: bool,
}

/// The chains of a [`SharedQueue`], as a stream. With the feature `std`, the lock has a default, and this page has more
/// text.
#[cfg(not(feature = "std"))]
pub struct DescChainStream<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> {
    queue: SharedQueue<R, N, L>,
    listener: Option<EventListener>,
    waited: bool,
    ended: bool,
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> DescChainStream<R, N, L> {
    /// Returns a stream of the chains in `queue`.
    pub const fn new(queue: SharedQueue<R, N, L>) -> Self {
        Self { queue, listener: None, waited: false, ended: false }
    }

    /// Returns the queue.
    #[must_use]
    pub const fn queue(&self) -> &SharedQueue<R, N, L> {
        &self.queue
    }

    /// Waits for the next chain, and returns it. Returns `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// As for [`SharedQueue::next_chain`].
    pub async fn next_chain(&mut self) -> Result<Option<OwnedChain<R::Mem>>, FatalError> {
        poll_fn(|context| self.poll_chain(context)).await
    }

    /// The order matters, because the task must not sleep while a chain is available: register, then ask for the kick,
    /// then look once more. If the driver makes a chain available before this look, the look finds it. If the driver
    /// does so after the look, it sees the request for a kick (BAR-2) and kicks, and `wake` finds the waker. If the
    /// waker were registered after the look, a kick between the two would be lost (INV-11). The same holds for the
    /// return of a chain that makes room.
    #[inline]
    fn poll_chain(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<OwnedChain<R::Mem>>, FatalError>> {
        let mut found = self.queue.look();
        if found.is_pending() {
            self.waited = true;
            let woken = self.register(context);
            found = self.queue.arm_and_look();
            if found.is_pending() && woken.is_ready() {
                context.waker().wake_by_ref();
            }
        }
        if found.is_ready() && mem::take(&mut self.waited) {
            // This task was woken, or could have been. There can be work for the next task.
            self.listener = None;
            self.queue.wake();
        }
        self.ended |= matches!(found, Poll::Ready(Ok(None) | Err(_)));
        found
    }

    /// Registers the task for the next wake-up. Returns `Ready` if a wake-up came since the last registration and
    /// another one came right after it. Then the task is not registered and must poll again.
    fn register(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The look after this answers the first wake-up.
        if self.listener.is_some() && self.poll_listener(context).is_pending() {
            return Poll::Pending;
        }
        self.listener = Some(self.queue.listen());
        self.poll_listener(context)
    }

    /// Polls the listener, and drops it once it is ready.
    fn poll_listener(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let polled = self.listener.as_mut().map_or(Poll::Ready(()), |listener| Pin::new(listener).poll(context));
        if polled.is_ready() {
            self.listener = None;
        }
        polled
    }
}

/// Yields an error as the last item.
impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> Stream for DescChainStream<R, N, L> {
    type Item = Result<OwnedChain<R::Mem>, FatalError>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chain(context).map(Result::transpose)
    }
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> FusedStream for DescChainStream<R, N, L> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<R: SharedRing, N: DriverNotify + Send + 'static, L: Lock> fmt::Debug for DescChainStream<R, N, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescChainStream")
            .field("queue", &self.queue)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use core::task::Waker;

    use virtio_fake_driver::AnyFixtureOptions;

    use super::*;

    /// INV-11: a wake-up between `listen` and the first poll. No test from outside can time it.
    #[test]
    fn listener_woken_before_its_first_poll_is_not_polled_again() {
        let queue = AnyFixtureOptions::default().build_plain().unwrap().queue;
        let mut stream = DescChainStream::new(SharedQueue::new(queue));
        let mut context = Context::from_waker(Waker::noop());
        stream.listener = Some(stream.queue.listen());
        stream.queue.wake();
        assert!(stream.poll_listener(&mut context).is_ready());
        assert!(stream.poll_chain(&mut context).is_pending());
        assert!(stream.poll_chain(&mut context).is_pending());
    }
}
