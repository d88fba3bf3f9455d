//! The queue for events.

use virtio_queue_core::{DriverNotify, FatalError, QueueState, Ring};
use virtio_vhost_user::{Serve, Turn, WaitsFor};

/// The event queue. Its only event says that the guest was moved to another host, and QEMU sends that itself. So no
/// buffer is ever taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventQueue;

impl Serve for EventQueue {
    fn serve_queue<R: Ring, N: DriverNotify>(
        &mut self,
        _place: usize,
        _ring: &R,
        _state: &mut QueueState<R, N>,
        _budget: usize,
    ) -> Result<Turn, FatalError> {
        Ok(Turn { chains: 0, waits_for: WaitsFor::Device })
    }
}
