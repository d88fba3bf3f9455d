//! A block device whose file is read and written by io_uring.
//!
//! ```text
//! the driver's chain                    taken apart, and checked        (request)
//!     -> pieces of driver memory        lent to the kernel, no copy     (ring)
//!     -> the kernel reads or writes     any number at a time, in any order
//!     -> how many bytes were moved      settled: lend the rest, or answer
//! ```
//!
//! Most small reads and writes have one layout. They take a shorter way (usual), until one does not end as it should.
//!
//! A chain is owned while the kernel works for it, so its memory stays there even if the front end removes the memory.
//! The thread of the queue waits for kicks and for the kernel at the same time. It never waits for the medium.
//!
//! Only requests that are in order go to the kernel: reads, writes and flushes, and what discards or writes zeroes.
//! [`BlockDevice`] answers all others at once: what is malformed or out of range, what is not all inside the file, and
//! the name of the device.
//!
//! A flush need not wait for requests that are in flight. It promises that the writes and the zeroes are stable that
//! were answered before the driver sent it (VIRTIO 1.4 §5.2.6.2 "Device Requirements: Device Operation"). The kernel
//! had ended those. What else is in flight can become stable or not. Requests in flight for the same sectors are done
//! in any order: a driver that wants one before the other waits for its answer.
//!
//! Answers go out as the kernel ends its operations. With [`in_order`](UringDisk::in_order), those that are early wait.
//! The kernel still works for all of them at the same time.
//!
//! The memory is not registered (`IORING_REGISTER_BUFFERS`). That would pin the memory of a guest, which comes and
//! goes, and an operation on a registered buffer has room for a single piece. The file is registered.

mod clearing;
mod order;
mod request;
#[expect(unsafe_code, reason = "the kernel is handed pointers, and uses them later")]
mod ring;
mod serving;
mod usual;

use core::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use virtio_mem_traits::StableMem;
use virtio_vhost_user::{Device, GuestMem, KeptChain};

use super::BlockDevice;
use super::storage::Storage;
use super::wire::Status;
use order::{End, Order};
use request::{Next, Request};
use ring::{Ended, Flight, Ring};
use usual::Usual;

/// A block device on a file, with many requests in flight.
///
/// It is served as a [`Worker`](virtio_vhost_user::Worker). It can also be driven by hand, with chains in any memory
/// `M`: [`take`](Self::take) begins with a chain, and [`turn`](Self::turn) answers what has ended.
pub struct UringDisk<S, M: StableMem = GuestMem> {
    device: BlockDevice<S>,
    ring: Ring<M>,
    /// What has to be answered first, if that matters.
    order: Option<Order<M>>,
}

impl<S: Storage, M: StableMem> UringDisk<S, M> {
    /// Creates a device that answers as `device` does, with at most `depth` requests in flight.
    ///
    /// # Errors
    ///
    /// If the storage is not a file, or if the system has no io_uring for this process: an old kernel, a sandbox, or no
    /// resources.
    pub fn new(device: BlockDevice<S>, depth: usize) -> io::Result<Self> {
        let file = device.storage().file().ok_or_else(|| io::Error::other("the storage is not a file"))?;
        let ring = Ring::new(file, device.storage().direct(), depth)?;
        Ok(Self { device, ring, order: None })
    }

    /// Answers requests in the order in which they are taken: for a driver that accepted IN_ORDER.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.order = Some(Order::new(self.ring.depth()));
        self
    }

    /// Returns whether one more chain can be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ring.has_room() && self.in_flight() < self.ring.depth()
    }

    /// Returns how many requests are in flight: taken, and not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.order.as_ref().map_or(self.ring.in_flight(), Order::len)
    }

    /// Returns a file descriptor that can be read while there is something for [`turn`](Self::turn) to do.
    #[must_use]
    pub const fn event(&self) -> &Arc<OwnedFd> {
        self.ring.event()
    }

    /// Begins with a chain, or answers it at once. [`turn`](Self::turn) hands it to the kernel. Without
    /// [room](Self::has_room), the chain is returned with nothing written.
    pub fn take(&mut self, chain: KeptChain<M>) {
        if !self.has_room() {
            return;
        }
        let number = self.order.as_mut().map_or(0, Order::begin);
        match Usual::new(&self.device, chain, number) {
            Ok(usual) => self.ring.start(Flight::Usual(usual)),
            Err(chain) => self.take_other(chain, number),
        }
    }

    /// Begins with a chain that is no read or write with the usual layout, or answers it at once.
    fn take_other(&mut self, chain: KeptChain<M>, number: u64) {
        match Request::new(&self.device, chain, number) {
            Ok(request) => self.next(request.begin()),
            Err(chain) => self.by_itself(number, chain),
        }
    }

    /// Hands to the kernel what was taken, and answers what has ended. Waits for nothing. Returns how many operations
    /// have ended, and whether the kernel has to be asked again because it has no resources.
    ///
    /// # Errors
    ///
    /// If the kernel does not take operations any more. The requests in flight are not answered.
    pub fn turn(&mut self) -> io::Result<Progress> {
        let submitted = self.ring.submit()?;
        let mut progress = Progress { ended: 0, again: !submitted };
        // Those that go on are handed to the kernel in the next turn.
        while let Some(ended) = self.ring.next_ended() {
            progress.ended += 1;
            if let Some(next) = self.ended(ended) {
                self.next(next);
            }
        }
        Ok(progress)
    }

    /// Answers a usual request of which all was done. Otherwise, returns how it goes on.
    fn ended(&mut self, Ended { flight, result }: Ended<M>) -> Option<Next<M>> {
        match flight {
            Flight::Usual(usual) if usual.is_done(&result) => {
                self.usual_done(usual);
                None
            }
            Flight::Usual(usual) => {
                let number = usual.number;
                Request::go_on_with(usual, result).map_err(|chain| self.by_itself(number, chain)).ok()
            }
            Flight::Other(request, operation) => Some(request.go_on(operation, result)),
        }
    }

    fn next(&mut self, next: Next<M>) {
        match next {
            Next::Operation(request, operation) => self.ring.start(Flight::Other(request, operation)),
            Next::Answer(request, status) => self.done(request, status),
        }
    }

    /// Answers a usual request of which all was done, when its turn has come.
    fn usual_done(&mut self, usual: Usual<M>) {
        match &mut self.order {
            None => usual.answer(),
            Some(order) => {
                order.end(usual.number, End::Usual(usual));
                self.answer_in_turn();
            }
        }
    }

    /// Answers a request for which the kernel has worked, when its turn has come.
    fn done(&mut self, request: Box<Request<M>>, status: Status) {
        match &mut self.order {
            None => request.answer(status),
            Some(order) => {
                order.end(request.number, End::Done(request, status));
                self.answer_in_turn();
            }
        }
    }

    /// Lets the block device answer a request, when its turn has come.
    fn by_itself(&mut self, number: u64, chain: Option<KeptChain<M>>) {
        match &mut self.order {
            None => self.process(chain),
            Some(order) => {
                order.end(number, End::ByItself(chain));
                self.answer_in_turn();
            }
        }
    }

    fn answer_in_turn(&mut self) {
        while let Some(end) = self.order.as_mut().and_then(Order::next) {
            match end {
                End::Usual(usual) => usual.answer(),
                End::Done(request, status) => request.answer(status),
                End::ByItself(chain) => self.process(chain),
            }
        }
    }

    /// Lets the block device answer a request, unless its chain is gone. The driver is told what is wrong.
    fn process(&mut self, chain: Option<KeptChain<M>>) {
        chain.into_iter().for_each(|chain| drop(self.device.process(chain)));
    }

    /// Waits until the kernel has no operation any more. Requests that are not done by then are answered with an error.
    ///
    /// If the kernel cannot be asked, their chains and the memory are never given back: the kernel can still use them.
    pub fn finish(&mut self) {
        while self.ring.in_flight() > 0 && self.ring.wait() {
            while let Some(ended) = self.ring.next_ended() {
                match self.ended(ended) {
                    Some(Next::Operation(request, _)) => self.done(request, Status::IoErr),
                    Some(Next::Answer(request, status)) => self.done(request, status),
                    None => {}
                }
            }
        }
    }
}

/// What happened in a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many operations have ended.
    pub ended: usize,
    /// Whether the kernel has refused to take operations for now. Nothing wakes the caller when it would take them.
    pub again: bool,
}

impl<S: fmt::Debug, M: StableMem> fmt::Debug for UringDisk<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringDisk").field("device", &self.device).finish_non_exhaustive()
    }
}
