//! The chains of a queue, as a stream.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use futures_core::Stream;
use virtio_util::{DescChainStream, OwnedChain, SharedQueue};

use crate::bell::Bell;
use crate::event::Later;
use crate::inflight::any::AnyRecordedRing;
use crate::memory::GuestMem;

/// A queue whose chains are out while others are fetched. Nobody is held up by the eventfd of its front end.
pub(crate) type Shared = SharedQueue<AnyRecordedRing, Arc<Later>>;

/// A chain that can be kept and sent to other threads: one of a device that answers [later](crate::Worker::deferred).
///
/// `M` is the memory. A device that is written for any `M` is tested with the memory of a test, in which a
/// [`SharedQueue`] makes such chains. `Worker` takes those with the default.
pub type KeptChain<M = GuestMem> = OwnedChain<M>;

/// The chains of a queue, as [`Worker::asynchronous`](crate::Worker::asynchronous) takes them: a stream, which waits
/// when there is none.
///
/// It ends when the front end stops the queue, resets the device or goes, and when the driver has broken the queue: the
/// back end tells whoever has to know. Chains that were taken from it are returned as ever.
#[derive(Debug)]
pub struct Chains {
    stream: DescChainStream<AnyRecordedRing, Arc<Later>>,
    notify: Arc<Later>,
    place: usize,
    /// Whether there was a chain of late.
    useful: Arc<AtomicBool>,
    event: Arc<Event>,
    /// Whether the driver may have been asked for a kick.
    asked: bool,
}

/// What the thread of a queue waits for as well, if there is anything.
#[derive(Debug)]
pub(crate) struct Event {
    named: Mutex<Option<Arc<OwnedFd>>>,
    /// Wakes the thread.
    bell: Arc<Bell>,
}

impl Event {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { named: Mutex::default(), bell }
    }

    /// Returns the file descriptor that was named last.
    pub(crate) fn named(&self) -> Option<Arc<OwnedFd>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names another one, or none. A thread that waits already waits anew, unless it has only less to wait for.
    fn name(&self, event: Option<Arc<OwnedFd>>) {
        let is_some = event.is_some();
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = event;
        if is_some {
            self.bell.ring();
        }
    }
}

impl Chains {
    pub(crate) fn new(
        queue: Shared,
        notify: Arc<Later>,
        place: usize,
        useful: Arc<AtomicBool>,
        event: Arc<Event>,
    ) -> Self {
        Self { stream: DescChainStream::new(queue), notify, place, useful, event, asked: true }
    }

    /// Lets the thread of the queue poll the future also while `event` can be read. `None` ends that.
    ///
    /// Use it if a file descriptor says that the work of the device has ended, such as an io_uring, an eventfd or a
    /// socket. Then the device needs no runtime and no other thread to wait for it. The future returns `Pending`, and
    /// need not keep its waker for that.
    ///
    /// * There is one such file descriptor for each queue: another call replaces it. The call can come from any thread.
    /// * It is forgotten when the queue stops. The next future calls this again.
    /// * The future must read `event` until it would block. While `event` stays readable, the future is polled again
    ///   and again, and keeps a processor busy. So a future that waits for a chain, and does not read meanwhile, first
    ///   calls this with `None`, as below. Otherwise a driver without buffers keeps the processor busy.
    ///
    /// ```
    /// use std::future::{pending, poll_fn};
    /// use std::io::{ErrorKind, Read};
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::Arc;
    /// use std::task::Poll;
    ///
    /// use virtio_chain::WritableChain;
    /// use virtio_vhost_user::Worker;
    ///
    /// # fn worker(socket: UnixStream) -> std::io::Result<Worker> {
    /// socket.set_nonblocking(true)?;
    /// let (socket, event) = (Arc::new(socket.try_clone()?), Arc::new(socket.into()));
    /// let worker = Worker::asynchronous(move |mut chains| {
    ///     let (socket, event) = (Arc::clone(&socket), Arc::clone(&event));
    ///     async move {
    ///         let mut part = [0; 64];
    ///         while chains.available().await {
    ///             chains.wake_on(Some(Arc::clone(&event)));
    ///             let len = poll_fn(|_| match (&*socket).read(&mut part) {
    ///                 Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
    ///                 result => Poll::Ready(result.unwrap_or(0)),
    ///             });
    ///             let len = len.await;
    ///             // What comes from now on can wait until there is a chain for it.
    ///             chains.wake_on(None);
    ///             if len == 0 {
    ///                 break;
    ///             }
    ///             let Some(chain) = chains.next_chain().await else { return };
    ///             let _ = WritableChain::new(chain).write_all(&part[..len]);
    ///         }
    ///         // The socket has ended. A future that ends before the queue does would leave it broken.
    ///         pending().await
    ///     }
    /// });
    /// # Ok(worker)
    /// # }
    /// ```
    pub fn wake_on(&mut self, event: Option<Arc<OwnedFd>>) {
        self.event.name(event);
    }

    /// Waits for the next chain, and returns it, or `None` at the end.
    ///
    /// A call finds a chain that was put back ([`KeptChain::unfetch`]) without a kick. A call that waits already does
    /// not notice it: put chains back in the task that calls this.
    pub async fn next_chain(&mut self) -> Option<KeptChain> {
        core::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the next chain if one is available, and asks the driver for no kick: for a device that polls.
    ///
    /// Nothing wakes the future if this returns `None`, not even the end. A device that has found no chain for a while
    /// waits in [`next_chain`](Self::next_chain). A device that goes on polling calls its waker and returns now and
    /// then: the thread of the queue must also look whether the queue is stopped.
    pub fn try_next(&mut self) -> Option<KeptChain> {
        let queue = self.stream.queue();
        // Why a queue broke is reported by the thread that polls this.
        let chain = queue.next_chain().ok().flatten()?;
        if core::mem::take(&mut self.asked) {
            queue.suppress_notifications();
        }
        // Relaxed: it is a hint.
        self.useful.store(true, Ordering::Relaxed);
        Some(chain)
    }

    /// Publishes the chains together that are returned during `work`, at its end, and notifies the driver once, on this
    /// thread.
    ///
    /// Use it if several requests have ended at the same time, such as those of an io_uring. Without this, each chain
    /// is published by itself, and another thread notifies the driver. The chains that other threads return meanwhile
    /// are published at the end as well: do not wait in `work`.
    ///
    /// ```
    /// use virtio_vhost_user::{Chains, KeptChain};
    ///
    /// fn answer(chains: &Chains, ended: Vec<KeptChain>) {
    ///     chains.publish_together(|| drop(ended));
    /// }
    /// ```
    pub fn publish_together<T>(&self, work: impl FnOnce() -> T) -> T {
        self.notify.after(|| self.stream.queue().publish_together(work))
    }

    /// Waits until a chain is available, and takes none. Returns `true` then, and `false` at the end.
    ///
    /// Use it if the device must prepare something before it takes a chain. The chain stays with the driver meanwhile,
    /// so the queue can stop. After `true`, [`next_chain`](Self::next_chain) returns the chain at once, unless the
    /// queue stops first.
    ///
    /// ```
    /// use virtio_vhost_user::Worker;
    ///
    /// # async fn input() -> Vec<u8> { Vec::new() }
    /// Worker::asynchronous(|mut chains| async move {
    ///     while chains.available().await {
    ///         let bytes = input().await;
    ///         let Some(chain) = chains.next_chain().await else { return };
    ///         # drop(bytes);
    ///         let _ = chain.return_written(0);
    ///     }
    /// });
    /// ```
    pub async fn available(&mut self) -> bool {
        let next = core::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await;
        // Nobody has fetched another one meanwhile: a queue has one stream. If the queue broke, the next chain says so.
        next.map(KeptChain::unfetch).is_some()
    }

    /// Returns the place of the queue among those that belong together: 0 if there is one queue per worker.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }
}

impl Stream for Chains {
    type Item = KeptChain;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<KeptChain>> {
        let next = Pin::new(&mut self.stream).poll_next(context);
        self.asked = true;
        // Relaxed: it is a hint.
        self.useful.fetch_or(next.is_ready(), Ordering::Relaxed);
        // Why a queue broke is reported by the thread that polls this.
        next.map(|chain| chain.and_then(Result::ok))
    }
}
