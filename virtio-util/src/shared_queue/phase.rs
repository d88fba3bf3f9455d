//! The phases in the life of a shared queue.

use virtio_queue_core::{DriverNotify, Queue, Resetting, ReturnError, Token};

use super::ring::SharedRing;

/// The phase in the life of the queue.
pub(super) enum Phase<R: SharedRing, N> {
    /// The queue runs, or is broken.
    Running(Queue<R, N>),
    /// The queue is being reset.
    Resetting(Resetting<R, N>),
    /// The queue was taken out.
    TakenOut,
}

impl<R: SharedRing, N: DriverNotify> Phase<R, N> {
    /// Takes back a chain that the driver will never see returned.
    #[cold]
    pub(super) fn discard(&mut self, token: Token) -> Result<(), ReturnError> {
        let id = token.id();
        if let Self::Resetting(resetting) = self {
            resetting.discard(token)?;
        }
        Err(ReturnError::Stale { id })
    }
}
