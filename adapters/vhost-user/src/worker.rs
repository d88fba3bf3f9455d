//! What serves a queue, in one of three shapes.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use virtio_queue_core::{Burst, BurstChain, FatalError, QueueState};

use crate::chains::{Chains, KeptChain};
use crate::event::Call;
use crate::inflight::any::AnyRecordedRing;
use crate::lanes::{self, AtOnce, Lanes, Saved, ServeRing, Stop};
use crate::serve::{Serve, Turn, WaitsFor};

/// A chain of a device that answers [at once](Worker::at_once): it is borrowed, and returned at the end of a burst.
pub type BorrowedChain<'b> = BurstChain<'b, AnyRecordedRing, Call>;

/// What serves a queue of a device.
///
/// There are three shapes:
///
/// | the device answers | |
/// | --- | --- |
/// | while it is called | [`at_once`](Self::at_once) |
/// | later, in any order, from any thread | [`deferred`](Self::deferred) |
/// | in tasks | [`asynchronous`](Self::asynchronous) |
/// | while it is called, with input from a file descriptor | [`serve`](Self::serve): [`Serve`] with [`wake`](Serve::wake) |
/// | while it is called, but cannot always take a chain | [`serve`](Self::serve): [`Serve`] with [`WaitsFor::Device`] |
/// | when a file descriptor says that its work has ended, such as an io_uring | [`asynchronous`](Self::asynchronous) with [`Chains::wake_on`] |
///
/// A device that keeps chains without work to do begins with [`on_stop`](Self::on_stop).
///
/// A device that answers at once and is faster with several chains at a time, or that has to see two queues, is
/// [`Serve`], and is handed to [`serve`](Self::serve).
pub struct Worker(pub(crate) Shape);

pub(crate) enum Shape {
    AtOnce(Box<dyn AtOnce>),
    Deferred(Deferred),
}

/// A future that serves a queue.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What puts back the chains of the queue at a place.
type PutBack = Box<dyn FnMut(usize) + Send>;

/// What serves a queue whose chains are out while others are fetched.
pub(crate) struct Deferred {
    /// Begins to serve.
    pub(crate) start: Box<dyn FnMut(Chains) -> Serving + Send>,
    /// Puts back what is held without work to do.
    pub(crate) put_back: PutBack,
    /// Whether memory stays with the front end until the chains that were fetched from it have returned.
    pub(crate) keeps_memory: bool,
}

impl Worker {
    /// Answers each chain while it is called.
    ///
    /// `answer` reads and writes the chain, and returns it by [`return_written`] or by dropping it. It is called on the
    /// thread of the queue. Chains that are available at the same time are published together.
    ///
    /// Write the closure into the call: `at_once(|chain| answer(chain))`. A closure that is made before, or the name of
    /// a generic function, is refused as "not general enough".
    ///
    /// [`return_written`]: virtio_queue_core::DescChain::return_written
    ///
    /// ```
    /// use virtio_chain::WritableChain;
    /// use virtio_vhost_user::Worker;
    ///
    /// let seconds = || std::time::UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
    /// Worker::at_once(move |chain| {
    ///     // A malformed chain, or one that is too short, goes back with what was written.
    ///     let _ = WritableChain::new(chain).write_all(&seconds().to_le_bytes());
    /// });
    /// ```
    pub fn at_once(answer: impl FnMut(BorrowedChain<'_>) + Send + 'static) -> Self {
        Self(Shape::AtOnce(Box::new(Each(answer))))
    }

    /// Hands each chain to `take`, which keeps it, and returns.
    ///
    /// The chain is owned: it can be sent to a pool of threads or wait for I/O, and is returned by [`return_written`]
    /// or by dropping it, in any order, by any thread. `take` is called on the thread of the queue.
    ///
    /// If a chain can be out for long, begin with [`on_stop`](Self::on_stop). A queue cannot stop while one of its
    /// chains is out: after ten seconds, the front end loses the device.
    ///
    /// With several queues per worker, `take` gets the chains of all of them, one at a time, and is not told which
    /// queue a chain is from.
    ///
    /// [`return_written`]: virtio_util::OwnedChain::return_written
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use virtio_vhost_user::Worker;
    ///
    /// let (sender, chains) = mpsc::channel();
    /// Worker::deferred(move |chain| drop(sender.send(chain)));
    /// std::thread::spawn(move || {
    ///     for chain in chains {
    ///         // Take as long as it takes.
    ///         let _ = chain.return_written(0);
    ///     }
    /// });
    /// ```
    pub fn deferred(take: impl FnMut(KeptChain) + Send + 'static) -> Self {
        // It is not locked by anybody else at the same time: a queue is served by one future.
        let take = Arc::new(Mutex::new(take));
        Self::asynchronous(move |mut chains| {
            let take = Arc::clone(&take);
            async move {
                while let Some(chain) = chains.next_chain().await {
                    (*take.lock().unwrap_or_else(PoisonError::into_inner))(chain);
                }
            }
        })
    }

    /// Lets the future that `serve` returns take the chains from a stream.
    ///
    /// The future is polled on the thread of the queue, in no runtime. It usually spawns a task for each chain in the
    /// runtime of the device: chains are owned. `serve` is called each time that a queue starts, also after a pause.
    ///
    /// A future that waits only for chains, for channels and locks needs no runtime: those of `tokio::sync` wake
    /// whoever polls them. Timers and I/O of tokio need one.
    ///
    /// * When the queue stops, [`Chains`] ends. A future that waits for something else then is dropped.
    /// * A future that ends before `Chains` does, or panics, leaves the queue broken.
    /// * A device that answers one request after the other can move `Chains` into one task and await that task: the
    ///   whole loop is in the runtime then.
    /// * A device whose input comes from elsewhere waits for the input first, and then for a chain. A future that holds
    ///   a chain while it waits for input keeps the queue from stopping, and the front end loses the device.
    ///
    /// ```
    /// use std::time::Duration;
    /// use virtio_vhost_user::Worker;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// let tasks = runtime.handle().clone();
    /// Worker::asynchronous(move |mut chains| {
    ///     let tasks = tasks.clone();
    ///     async move {
    ///         while let Some(chain) = chains.next_chain().await {
    ///             tasks.spawn(async move {
    ///                 tokio::time::sleep(Duration::from_millis(1)).await;
    ///                 let _ = chain.return_written(0);
    ///             });
    ///         }
    ///     }
    /// });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    ///
    /// The guide `docs/guides/async-disk.md` of the repository has a whole disk, with a bound for the number of tasks.
    pub fn asynchronous<F>(mut serve: impl FnMut(Chains) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let start = Box::new(move |chains| Box::pin(serve(chains)) as Serving);
        Self(Shape::Deferred(Deferred { start, put_back: Box::new(|_| ()), keeps_memory: false }))
    }

    /// Serves queues with a device that is [`Serve`].
    ///
    /// The code that serves is compiled for each format of rings. So this is the fastest shape.
    pub fn serve(device: impl Serve + Send + 'static) -> Self {
        Self(Shape::AtOnce(Box::new(device)))
    }

    /// Begins a worker that is told when the front end waits until no chain is out: [`OnStop`] has the two shapes that
    /// keep chains.
    pub fn on_stop(put_back: impl FnMut(usize) + Send + 'static) -> OnStop {
        OnStop(Box::new(put_back))
    }

    /// Keeps memory from being taken away while a chain is out.
    ///
    /// | when a front end takes memory away, or replaces it | without this | with this |
    /// | --- | --- | --- |
    /// | the front end gets its answer | at once | when no chain of the worker is out |
    /// | a chain that is out | keeps the old memory, and returns as ever | has returned before |
    /// | after the answer, the device writes to the old memory | until the last chain has returned | never |
    /// | a chain that is out for more than ten seconds | does no harm | costs the front end its device |
    ///
    /// The memory stays mapped while a chain is out, in both cases: what the device writes never goes elsewhere. Use
    /// this if the device hands memory to a kernel or to hardware, which write when they want, and can end all its work
    /// soon. Do not use it for chains that wait for input, unless [`on_stop`](Self::on_stop) puts them back: its
    /// function is called here as well.
    ///
    /// A worker that answers at once does not need it: it has no chain while the memory changes. For such a worker,
    /// this function changes nothing.
    ///
    /// ```
    /// use virtio_vhost_user::Worker;
    ///
    /// Worker::deferred(|chain| drop(chain)).keeping_memory();
    /// ```
    #[must_use]
    pub fn keeping_memory(mut self) -> Self {
        if let Shape::Deferred(deferred) = &mut self.0 {
            deferred.keeps_memory = true;
        }
        self
    }

    fn putting_back(mut self, put_back: PutBack) -> Self {
        if let Shape::Deferred(deferred) = &mut self.0 {
            deferred.put_back = put_back;
        }
        self
    }
}

/// A worker that puts chains back when a queue stops: what [`Worker::on_stop`] returns.
///
/// Its function is called when the front end waits until no chain is out: when it stops a queue, starts or ends a log
/// of dirty pages, resets the device, or goes, and when it changes the memory of a worker that [keeps
/// memory](Worker::keeping_memory). The function is handed the place of the queue among those that belong
/// together: 0 if there is one queue per worker.
///
/// A device that keeps chains until something happens elsewhere, such as buffers for input, must put these back, the
/// one that was fetched last first. The driver does not notice it. A front end that waits too long loses the device,
/// and the device still has chains that nobody waits for.
///
/// The function is called again and again until no chain is out, on the thread of the messages. The thread of the queue
/// waits meanwhile, so every chain that was fetched is with the device by then. [`OwnedChain::unfetch`] puts a chain
/// back:
///
/// [`OwnedChain::unfetch`]: virtio_util::OwnedChain::unfetch
///
/// ```
/// use std::sync::{Arc, Mutex, PoisonError};
///
/// use virtio_vhost_user::{KeptChain, Worker};
///
/// // Buffers for input, in the order in which they were fetched. Whoever has input takes the first one.
/// let kept: Arc<Mutex<Vec<KeptChain>>> = Arc::default();
/// let taken = Arc::clone(&kept);
/// let take = move |chain| taken.lock().unwrap_or_else(PoisonError::into_inner).push(chain);
/// let put_back = move |_| {
///     let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
///     // After a reset there is no place to put it back to. Then this drops it.
///     while let Some(chain) = kept.pop() {
///         let _ = chain.unfetch();
///     }
/// };
/// Worker::on_stop(put_back).deferred(take);
/// ```
///
/// If another thread of the device has a chain in its hands that was fetched later, the others cannot be put back
/// before it: `unfetch` would return them with nothing written. [`OwnedChain::try_unfetch`] hands such a chain back,
/// to be kept until the next call.
///
/// [`OwnedChain::try_unfetch`]: virtio_util::OwnedChain::try_unfetch
///
/// A worker of another shape keeps no chain. [`Serve::release`] is for devices that are [`Serve`].
#[must_use = "`deferred` or `asynchronous` makes a worker of it"]
pub struct OnStop(PutBack);

impl OnStop {
    /// Hands each chain to `take`, as [`Worker::deferred`] does.
    pub fn deferred(self, take: impl FnMut(KeptChain) + Send + 'static) -> Worker {
        Worker::deferred(take).putting_back(self.0)
    }

    /// Lets a future take the chains, as [`Worker::asynchronous`] does.
    pub fn asynchronous<F>(self, serve: impl FnMut(Chains) -> F + Send + 'static) -> Worker
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Worker::asynchronous(serve).putting_back(self.0)
    }
}

impl fmt::Debug for OnStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker::on_stop(..)")
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::AtOnce(_) => "Worker::at_once(..)",
            Shape::Deferred(_) => "Worker::asynchronous(..)",
        })
    }
}

impl<S: Serve + Send> AtOnce for S {
    fn needs_any(&self) -> bool {
        false
    }

    fn start(&mut self) {
        Serve::start(self);
    }

    fn rest(&mut self) {
        Serve::rest(self);
    }

    fn run(&mut self, lanes: Lanes, polls: u32, stop: &Stop) -> Saved {
        match lanes {
            Lanes::Split(lanes) => lanes::run(lanes, self, polls, stop),
            Lanes::Packed(lanes) => lanes::run(lanes, self, polls, stop),
            Lanes::Any(lanes) => lanes::run(lanes, self, polls, stop),
        }
    }
}

/// A function that answers each chain.
struct Each<F>(F);

impl<F: FnMut(BorrowedChain<'_>)> ServeRing<AnyRecordedRing> for Each<F> {
    fn turn(
        &mut self,
        _place: usize,
        ring: &AnyRecordedRing,
        state: &mut QueueState<AnyRecordedRing, Call>,
    ) -> Result<Turn, FatalError> {
        let mut burst = Burst::new(ring, state);
        let (mut chains, mut waits_for) = (0, WaitsFor::Turn);
        while chains < lanes::BURST {
            let Some(chain) = burst.next_chain()? else {
                waits_for = WaitsFor::Driver;
                break;
            };
            (self.0)(chain);
            chains += 1;
        }
        burst.finish()?;
        Ok(Turn { chains, waits_for })
    }

    fn give_back(&mut self, _place: usize, _ring: &AnyRecordedRing, _state: &mut QueueState<AnyRecordedRing, Call>) {}

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<F: FnMut(BorrowedChain<'_>) + Send> AtOnce for Each<F> {
    fn needs_any(&self) -> bool {
        true
    }

    fn start(&mut self) {}

    fn rest(&mut self) {}

    fn run(&mut self, lanes: Lanes, polls: u32, stop: &Stop) -> Saved {
        match lanes {
            Lanes::Any(lanes) => lanes::run(lanes, self, polls, stop),
            // Nobody makes these for it.
            Lanes::Split(_) | Lanes::Packed(_) => Saved::new(),
        }
    }
}
