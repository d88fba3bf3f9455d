//! What all devices here have in common.

use core::error::Error;

use virtio_queue_core::{Chain, DriverNotify, FatalError, Queue, Ring};

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
    fn process<'m>(&mut self, chain: impl Chain<'m>) -> Result<u64, Self::Error>;

    /// Answers what is available in `queue`, but no more than `budget` chains, and returns how that went.
    ///
    /// They are published together at the end. A large budget is good for throughput, a small one for the latency of the
    /// first and for those that wait for their turn in other queues. Notifications by the driver stay as they are.
    ///
    /// A failed request is counted and stops nothing. Call [`process`](Self::process) to learn why it failed.
    ///
    /// # Errors
    ///
    /// If the queue is broken, whether it broke now or earlier.
    fn serve<R: Ring, N: DriverNotify>(&mut self, queue: &mut Queue<R, N>, budget: u32) -> Result<Served, FatalError> {
        let mut served = Served { pending: true, ..Served::default() };
        let mut burst = queue.burst();
        while served.requests < budget {
            let Some(chain) = burst.next_chain()? else {
                served.pending = false;
                break;
            };
            served.requests += 1;
            match self.process(chain) {
                Ok(bytes) => served.bytes += bytes,
                Err(_) => served.errors += 1,
            }
        }
        // That publishes, which may be what breaks the queue.
        drop(burst);
        queue.fault().map_or(Ok(served), Err)
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
    /// Whether the budget is what ended it: there may be more, of which the driver need not notify.
    pub pending: bool,
}
