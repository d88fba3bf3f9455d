//! What all devices here have in common.

use core::error::Error;
use std::os::fd::BorrowedFd;

use virtio_queue_core::{Burst, Chain, DriverNotify, FatalError, Queue, QueueState, Ring};

/// A device that answers each chain by itself, while it is called.
pub trait Device {
    /// What can be wrong with a chain, or on the device's side.
    type Error: Error;

    /// Answers one chain and returns it to the driver, and returns how many bytes of payload were moved.
    ///
    /// # Errors
    ///
    /// If the request failed. The driver has been told so as far as the request has room for that; its chain has been
    /// returned in any case, unless its queue is broken.
    fn process(&mut self, chain: impl Chain) -> Result<u64, Self::Error>;

    /// Answers what is available in `queue`, but no more than `budget` chains, and returns how that went.
    ///
    /// # Errors
    ///
    /// If the queue is broken, whether it broke now or earlier.
    fn serve<R: Ring, N: DriverNotify>(&mut self, queue: &mut Queue<R, N>, budget: u32) -> Result<Served, FatalError> {
        let (ring, state) = queue.parts_mut();
        self.serve_parts(ring, state, budget)
    }

    /// Does so with a queue in its two parts: one by one, unless a device is faster with several chains at a time.
    ///
    /// They are published at the end, or by then. A large budget is good for throughput, a small one for the latency of
    /// the first and for those that wait for their turn in other queues. Notifications by the driver stay as they are.
    ///
    /// A failed request is counted and stops nothing. Call [`process`](Self::process) to learn why it failed.
    ///
    /// # Errors
    ///
    /// If the queue is broken, whether it broke now or earlier.
    fn serve_parts<R: Ring, N: DriverNotify>(
        &mut self,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: u32,
    ) -> Result<Served, FatalError> {
        let mut burst = Burst::new(ring, state);
        let mut served = Served { pending: true, ..Served::default() };
        while served.requests < budget {
            let Some(chain) = burst.next_chain()? else {
                served.pending = false;
                break;
            };
            served.requests += 1;
            served.count(&self.process(chain));
        }
        // That publishes, which may be what breaks the queue.
        burst.finish()?;
        Ok(served)
    }
}

/// How it went with the chains of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// How many chains were taken from the queue.
    pub requests: u32,
    /// How many of them failed.
    pub errors: u32,
    /// How many bytes of payload the others moved.
    pub bytes: u64,
    /// Whether it was ended by the budget, or by the size of the requests: there may be more, of which the driver need
    /// not notify.
    pub pending: bool,
}

impl Served {
    /// Takes note of how it went with one of them.
    pub fn count<E>(&mut self, result: &Result<u64, E>) {
        match result {
            Ok(bytes) => self.bytes += bytes,
            Err(_) => self.errors += 1,
        }
    }
}

/// A device, or a part of one, as a thread runs it: with one queue or several, which have their turn one after the
/// other.
///
/// Every [`Device`] is one, with a single queue. One that has to see several queues at a time, or that answers the
/// driver when something happens elsewhere, implements this trait instead.
///
/// # Who does what
///
/// | | |
/// | --- | --- |
/// | which thread | [`serve_queue`](Self::serve_queue), [`release`](Self::release) and [`wake`](Self::wake) are called on the thread of the worker, [`start`](Self::start) and [`rest`](Self::rest) on the thread of the messages while the other one does not run |
/// | who publishes what was used | `serve_queue`, before it returns: [`Burst::finish`] does it |
/// | who asks the driver for notifications | the caller, if the queue [waits for the driver](WaitsFor::Driver); `serve_queue` leaves them as they are |
/// | who drains the file descriptor of `wake` | `serve_queue`; a descriptor that stays readable wakes the thread again at once |
///
/// # Examples
///
/// A receive queue that is fed from a file descriptor. It takes a chain only when there is input for it:
///
/// ```
/// use std::io::{ErrorKind, Read, Write};
/// use std::os::fd::{AsFd, BorrowedFd};
/// use std::os::unix::net::UnixStream;
///
/// use virtio_chain::WritableChain;
/// use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
/// use virtio_queue_core::{Burst, DriverNotify, FatalError, QueueState, Ring};
/// use virtio_vhost_user::{Serve, Turn, WaitsFor, Worker};
///
/// /// Hands what comes from a socket to the driver.
/// struct Receive {
///     /// Does not block.
///     socket: UnixStream,
///     ended: bool,
///     /// What was read, and not handed to the driver yet.
///     input: Vec<u8>,
/// }
///
/// impl Receive {
///     /// Returns whether there is input.
///     fn has_input(&mut self) -> bool {
///         let mut part = [0; 512];
///         while self.input.is_empty() && !self.ended {
///             match self.socket.read(&mut part) {
///                 Ok(len) => {
///                     self.input.extend(part.iter().take(len));
///                     self.ended = len == 0;
///                 }
///                 Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
///                 Err(error) => self.ended = error.kind() != ErrorKind::Interrupted,
///             }
///         }
///         !self.input.is_empty()
///     }
/// }
///
/// impl Serve for Receive {
///     fn serve_queue<R: Ring, N: DriverNotify>(
///         &mut self,
///         _place: usize,
///         ring: &R,
///         state: &mut QueueState<R, N>,
///         budget: usize,
///     ) -> Result<Turn, FatalError> {
///         let mut burst = Burst::new(ring, state);
///         let (mut chains, mut waits_for) = (0, WaitsFor::Turn);
///         while chains < budget {
///             if !self.has_input() {
///                 waits_for = WaitsFor::Device;
///                 break;
///             }
///             let Some(chain) = burst.next_chain()? else {
///                 waits_for = WaitsFor::Driver;
///                 break;
///             };
///             chains += 1;
///             // A malformed chain goes back with nothing written.
///             let written = WritableChain::new(chain).write(&self.input).unwrap_or(0);
///             self.input.drain(..written);
///         }
///         burst.finish()?;
///         Ok(Turn { chains, waits_for })
///     }
///
///     fn wake(&self) -> Option<BorrowedFd<'_>> {
///         // At its end, a socket can be read for ever.
///         (!self.ended).then(|| self.socket.as_fd())
///     }
/// }
///
/// let (mut sender, socket) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let mut receive = Receive { socket, ended: false, input: Vec::new() };
///
/// let mut fixture = AnyFixtureOptions::default().build()?;
/// (0..2).try_for_each(|_| fixture.driver.add(&DriverChain::new().writable(8)).map(drop))?;
/// let (ring, state) = fixture.queue.parts_mut();
/// let turn = receive.serve_queue(0, ring, state, 64)?;
/// assert_eq!((turn.chains, turn.waits_for), (0, WaitsFor::Device));
/// sender.write_all(b"hello")?;
/// let turn = receive.serve_queue(0, ring, state, 64)?;
/// assert_eq!((turn.chains, turn.waits_for), (1, WaitsFor::Device));
/// assert_eq!(fixture.driver.reap()?.ok_or("nothing was used")?.written(), b"hello");
///
/// // This is what `VhostUserDevice::worker` returns.
/// Worker::serve(receive);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Serve {
    /// Serves the queue at `place` of those that belong together, in its two parts, as far as there is something to do,
    /// but with no more than `budget` chains. Notifications by the driver stay as they are.
    ///
    /// `budget` is at least 1. A queue that takes more keeps the other queues of the worker waiting, and the front end
    /// that wants to stop it. After a turn in which it took a chain, the queue has another one at once. After a turn
    /// without a chain, it has one when [what it waits for](Turn::waits_for) has happened.
    ///
    /// Chains are returned in the order in which they were fetched: the driver may have been promised that.
    ///
    /// # Errors
    ///
    /// If the queue is broken, whether it broke now or earlier.
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        place: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError>;

    /// Begins: from now on at least one of the queues is served, until they [rest](Self::rest).
    ///
    /// It is called again when what is served changes.
    fn start(&mut self) {}

    /// Rests: none of the queues is served, until they [start](Self::start) again.
    ///
    /// A pause in which the front end changes something of a queue that goes on is no rest.
    fn rest(&mut self) {}

    /// Gives chains of the queue at `place` back that are still held, before the queue pauses. A queue that is broken
    /// takes none.
    fn release<R: Ring, N: DriverNotify>(&mut self, _place: usize, _ring: &R, _state: &mut QueueState<R, N>) {}

    /// Returns what can be read when there is something to do for a queue that [waits for the
    /// device](WaitsFor::Device), or for [either](WaitsFor::Either).
    ///
    /// [`serve_queue`](Self::serve_queue) reads it until it would block. One that stays readable, as a pipe does at its
    /// end, keeps the thread busy: return `None` then. It is asked for before each wait.
    ///
    /// Return `None` if one queue of the worker waits for the other: after a turn of one, the other has a turn as well.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// How a queue's turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How many chains were taken from the queue.
    pub chains: usize,
    /// What the queue waits for now.
    pub waits_for: WaitsFor,
}

/// What has to happen before there is something to do for a queue.
///
/// | | the driver is asked to notify | the thread waits for [`wake`](Serve::wake) | such as |
/// | --- | --- | --- | --- |
/// | [`Turn`](Self::Turn) | no | no: another turn comes at once | there were more chains than the budget |
/// | [`Driver`](Self::Driver) | yes | no | all chains are answered |
/// | [`Device`](Self::Device) | no | yes | a chain is there, but a socket has no input for it |
/// | [`Either`](Self::Either) | yes | yes | all chains are answered, and a full socket still has to take their bytes |
///
/// A worker with two queues waits for all that its queues wait for. When any of it happens, both have a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Nothing: the turn ended because of the budget.
    Turn,
    /// The driver has to make something available.
    Driver,
    /// The device has nothing for the driver, or no room for what the driver has. The driver need not notify.
    Device,
    /// The driver has to make something available, or [`wake`](Serve::wake) has to become readable, whichever comes
    /// first: the device takes all chains, and also has something to do that needs no chain. What is readable must be
    /// read without a chain as well. Otherwise the thread is busy until the driver makes one available.
    Either,
}

impl<D: Device> Serve for D {
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        _place: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let budget = u32::try_from(budget).unwrap_or(u32::MAX);
        let served = self.serve_parts(ring, state, budget)?;
        let waits_for = if served.pending { WaitsFor::Turn } else { WaitsFor::Driver };
        Ok(Turn { chains: served.requests as usize, waits_for })
    }
}
