//! The virtio network device.
//!
//! VIRTIO 1.4 §5.1 "Network Device". A [`NetDevice`] is one pair of queues, which it connects to a [`Port`]: one that
//! takes everything, one that has packets of its own, one that gives everything back, or the network of the host. There
//! is no control queue; front ends of vhost-user answer that themselves.
//!
//! The device copies each packet once, header and frame together, between driver memory and its own buffer. It inspects
//! only its own copy, because the driver can change its memory at any time.

mod any_port;
mod batch;
mod counters;
mod frame;
mod loopback;
mod merged_buffers;
mod port;
mod receive;
mod sink;
mod source;
#[expect(unsafe_code, reason = "a TAP device is attached by an ioctl")]
mod tap;
mod transmit;
mod wire;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use virtio_queue_core::{DriverNotify, FatalError, QueueState, Ring};

pub use any_port::AnyPort;
pub use counters::{Count, Counter, Counters};
pub use loopback::Loopback;
pub use port::{Lost, Port};
pub use sink::Sink;
pub use source::Source;
pub use tap::{Tap, TapQueues};
pub use wire::{HEADER_LEN, MAX_FRAME, MAX_PACKET, MIN_FRAME, NetConfig, NetHeader, feature};

use batch::{Batch, in_batches};
use merged_buffers::MergedBuffers;
use virtio_vhost_user::{Serve, Turn, WaitsFor};

/// The place of the queue with buffers for the driver, in a pair.
pub const RECEIVE: usize = 0;

/// The place of the queue with packets of the driver, in a pair.
pub const TRANSMIT: usize = 1;

/// One pair of queues of a network device, with its port.
///
/// It allocates when it is created, and nothing for a packet.
#[derive(Debug)]
pub struct NetDevice<P> {
    port: P,
    merged: MergedBuffers,
    counters: Arc<Counters>,
}

impl<P: Port> NetDevice<P> {
    /// Creates a device for a driver that accepted `features`.
    #[must_use]
    pub fn new(port: P, features: u64, counters: Arc<Counters>) -> Self {
        Self { port, merged: MergedBuffers::new(features), counters }
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> &P {
        &self.port
    }
}

/// Implements VIRTIO 1.4 §5.1.6 "Device Operation".
impl<P: Port> Serve for NetDevice<P> {
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        index: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let mem = ring.mem();
        let (mut batch, mut count) = (Batch::new(), Count::default());
        let (turn, counter) = match index {
            RECEIVE => {
                let turn = in_batches(budget, |limit| self.receive(limit, ring, state, mem, &mut batch, &mut count))?;
                (turn, &self.counters.received)
            }
            TRANSMIT => {
                let turn = in_batches(budget, |limit| self.transmit(limit, ring, state, mem, &mut batch, &mut count))?;
                (turn, &self.counters.transmitted)
            }
            _ => return Ok(Turn { chains: 0, waits_for: WaitsFor::Device }),
        };
        // This happens before the driver can know.
        counter.add(count);
        state.publish(ring)?;
        Ok(turn)
    }

    fn start(&mut self) {
        self.port.start();
    }

    fn rest(&mut self) {
        self.port.rest();
    }

    fn release<R: Ring, N: DriverNotify>(&mut self, index: usize, ring: &R, state: &mut QueueState<R, N>) {
        if index == RECEIVE {
            self.merged.put_back(ring, state);
        }
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.port.wake()
    }
}
