//! The virtio network device.
//!
//! VIRTIO 1.4 §5.1 "Network Device". A [`NetDevice`] is one pair of queues, which it connects to a [`Port`]: one that
//! takes everything, one that has packets of its own, one that gives everything back, or the network of the host. A
//! [`ControlQueue`] is the control queue of all pairs.
//!
//! The device copies each packet once, header and frame together, between driver memory and its own buffer. It inspects
//! only its own copy, because the driver can change its memory at any time.
//!
//! # Offloads
//!
//! A driver can leave checksums and the segmentation of TCP to the device, and the device can leave them to the driver:
//! the header of a packet says so. [`Offloads`] has the rules. A packet is up to 64 KiB long then. The device does none
//! of this work. The port passes it on:
//!
//! | port | a packet that leaves work to the device |
//! | --- | --- |
//! | [`Tap`] | The kernel of the host does the work, or its network interface, or nobody if the packet stays on the host. |
//! | [`Loopback`] | The driver gets its own work back if it accepted to do it. Otherwise, the port writes the checksum. A packet for segmentation is lost. |
//! | [`Sink`] | The packet is taken as it is. |
//! | [`Source`] | There is no such packet. |
//!
//! # Who serves the control queue
//!
//! Most front ends of vhost-user do not hand over the control queue. QEMU answers it itself. It offers CTRL_VQ to the
//! driver whatever the back end offers, and does not tell the back end that the driver accepted it. It enables and
//! disables the rings of pairs. It offers MQ and GUEST_ANNOUNCE only if the back end does. DPDK's driver virtio-user
//! answers the queue itself as well. It tells the back end that CTRL_RX was accepted, but not that CTRL_VQ was. So
//! CTRL_VQ decides.
//!
//! Others, such as crosvm, hand all queues over, and the back end is told of CTRL_VQ. The control queue comes after the
//! pairs. A [`ControlQueue`] knows these commands:
//!
//! | commands | the device |
//! | --- | --- |
//! | CTRL_MQ, pairs | The driver uses the first pairs. The TAP queue of each other pair takes no frames, so that its flows go to the pairs in use. |
//! | CTRL_RX, CTRL_MAC, table of addresses | Frames that the driver does not want are dropped before they take a buffer. |
//! | CTRL_MAC, address | The address in the configuration space and of the filter. |
//! | CTRL_ANNOUNCE | Nothing more: who asks for announcements answers the queue. |
//!
//! A front end that accepts CTRL_VQ in the name of the driver and keeps the queue is served as well: until the control
//! queue starts, all frames are received, by all pairs that run.
//!
//! # Which pair a packet is for
//!
//! A [`Tap`] has a queue for each pair. The kernel of the host remembers on which of them the driver sent the last
//! packet of a flow, and puts packets of that flow into the same queue: VIRTIO 1.4 §5.1.6.5.6 "Automatic receive
//! steering in multiqueue mode". Other ports are each for one pair.
//!
//! # After a migration
//!
//! A switch must learn where the guest is now. With GUEST_ANNOUNCE, QEMU asks the guest to send packets, and the back
//! end only offers the feature. For a driver without that feature, QEMU asks the back end (`SEND_RARP`), which sends an
//! [`announcement`] to the port of the first pair.

mod announcement;
mod any_port;
mod batch;
mod command;
mod control;
mod counters;
mod filter;
mod frame;
mod loopback;
mod lost;
mod merged_buffers;
mod offloads;
mod port;
mod receive;
mod sink;
mod source;
mod tap;
mod transmit;
#[expect(unsafe_code, reason = "a TAP device is set up by ioctls")]
mod tun;
mod wire;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use virtio_queue_core::{DriverNotify, FatalError, QueueState, Ring};

pub use announcement::announcement;
pub use any_port::AnyPort;
pub use command::{Command, ControlError};
pub use control::{ControlQueue, Settings};
pub use counters::{Count, Counter, Counters};
pub use filter::{AddressTable, Filter, MacAddress};
pub use loopback::Loopback;
pub use lost::Lost;
pub use offloads::{HeaderError, Offloads};
pub use port::Port;
pub use sink::Sink;
pub use source::Source;
pub use tap::Tap;
pub use tun::TapQueues;
pub use wire::{Ack, ControlHeader, NetConfig, NetHeader, announce, class, feature, gso, header_flag, mac, mq, rx};
pub use wire::{HEADER_LEN, MAX_FRAME, MAX_GSO_FRAME, MAX_PACKET, MIN_FRAME};

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
    offloads: Offloads,
    /// Says which frames the driver wants, if it can say that.
    filtered: Option<Arc<Settings>>,
    merged: MergedBuffers,
    counters: Arc<Counters>,
}

impl<P: Port> NetDevice<P> {
    /// Creates a device for a driver that accepted `features`. The `settings` are those of the control queue.
    #[must_use]
    pub fn new(mut port: P, features: u64, settings: Arc<Settings>, counters: Arc<Counters>) -> Self {
        let (offloads, merged) = (Offloads::new(features), MergedBuffers::new(features));
        let can_filter = feature::CTRL_VQ | feature::CTRL_RX;
        let filtered = Some(settings).filter(|_| features & can_filter == can_filter);
        port.accept(offloads);
        Self { port, offloads, filtered, merged, counters }
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
        place: usize,
        ring: &R,
        state: &mut QueueState<R, N>,
        budget: usize,
    ) -> Result<Turn, FatalError> {
        let mem = ring.mem();
        let (mut batch, mut count) = (Batch::new(), Count::default());
        let (turn, counter) = match place {
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

    fn release<R: Ring, N: DriverNotify>(&mut self, place: usize, ring: &R, state: &mut QueueState<R, N>) {
        if place == RECEIVE {
            self.merged.put_back(ring, state);
        }
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.port.wake()
    }
}
