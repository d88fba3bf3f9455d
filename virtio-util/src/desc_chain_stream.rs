//! Chains as an asynchronous stream.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use futures_core::Stream;
use lock_api::RawMutex;
use virtio_queue_core::{Armed, DriverNotify, FatalError, KeepsDescriptors, Ring};

use crate::{SharedChain, SharedQueue};

/// The chains of a [`SharedQueue`], as a stream: it waits when there is none, and ends when the queue is broken.
///
/// Whoever learns that the driver has kicked, a thread or another task, calls [`AtomicWaker::wake`]. The stream leaves
/// the queue to others at all times: chains and tokens are returned wherever that suits. After a
/// [`ReturnError::Broken`](virtio_queue_core::ReturnError::Broken) elsewhere, wake the stream as well, and it will end.
///
/// While it waits, the driver is asked to notify. A task that is busy may suppress notifications until it polls the
/// stream again; nobody else may.
///
/// # When not to use it
///
/// For one queue in more than one task: the waker has room for one. There, let one task fetch and spread the chains.
/// And where nothing else is asynchronous, a loop around [`SharedQueue::next_chain`] or a plain queue is less
/// machinery.
///
/// # Examples
///
/// ```
/// use futures::{FutureExt, StreamExt};
/// # use virtio_mem_traits::{DriverAddr, HeapMem};
/// # use virtio_queue_core::{QueueConfig, QueueLimits, SplitQueue};
/// # use virtio_ring::RingFeatures;
/// # use virtio_util::{NotificationCounter, SharedQueue};
/// use virtio_util::{DescChainStream, atomic_waker::AtomicWaker};
///
/// # let mem = HeapMem::new(DriverAddr(0x10_0000), 0x1_0000)?;
/// # let config = QueueConfig {
/// #     size: 256,
/// #     descriptor_area: DriverAddr(0x10_0000),
/// #     driver_area: DriverAddr(0x10_1000),
/// #     device_area: DriverAddr(0x10_2000),
/// #     features: RingFeatures::from_negotiated(1 << 32)?,
/// #     limits: QueueLimits::default(),
/// # };
/// # let queue = SplitQueue::new(&config, &mem, NotificationCounter::new())?;
/// # let queue = SharedQueue::<parking_lot::RawMutex, _, _>::new(queue);
/// let kicked = AtomicWaker::new();
/// let device = async {
///     let mut chains = DescChainStream::new(&queue, &kicked);
///     while let Some(chain) = chains.next().await {
///         let _ = chain?.return_written(0);
///     }
///     Ok::<_, virtio_queue_core::FatalError>(())
/// };
///
/// // Elsewhere, when the driver kicks:
/// kicked.wake();
/// # // There is no driver.
/// # assert!(device.now_or_never().is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct DescChainStream<'q, L, R: Ring, N> {
    queue: &'q SharedQueue<L, R, N>,
    kicked: &'q AtomicWaker,
}

impl<'q, L, R: Ring, N> DescChainStream<'q, L, R, N> {
    /// Returns the stream of the chains in `queue`, which `kicked` wakes.
    pub const fn new(queue: &'q SharedQueue<L, R, N>, kicked: &'q AtomicWaker) -> Self {
        Self { queue, kicked }
    }
}

/// An error is the last item.
impl<'q, L: RawMutex, R: KeepsDescriptors, N: DriverNotify> Stream for DescChainStream<'q, L, R, N> {
    type Item = Result<SharedChain<'q, L, R, N>, FatalError>;

    /// A chain that becomes available after the first look must not be slept through, so the order matters: register,
    /// then ask for the kick, then look once more. If the driver makes the chain available before that look, the look
    /// finds it. If after, the driver sees that it was asked (BAR-2) and kicks, and `wake` finds the waker. Registered
    /// only after the look, the waker would miss a kick between the two.
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chain) = self.queue.next_chain()? {
            return Poll::Ready(Some(Ok(chain)));
        }
        self.kicked.register(context.waker());
        if self.queue.enable_notifications()? == Armed::MoreAvailable {
            // Somebody else may have been faster; then this look has asked for the kick again.
            if let Some(chain) = self.queue.next_chain()? {
                return Poll::Ready(Some(Ok(chain)));
            }
        }
        if self.queue.is_broken() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<L, R: Ring, N> fmt::Debug for DescChainStream<'_, L, R, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescChainStream").field("kicked", &self.kicked).finish_non_exhaustive()
    }
}
