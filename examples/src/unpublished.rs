//! Returns chains that are published later.

use virtio_queue_core::{DriverNotify, QueueState, Refused, ReturnError, ReturnTo, Ring, Token};

/// A queue as the place where chains return to, to be published later.
pub(crate) struct Unpublished<'q, R: Ring, N>(pub(crate) &'q mut QueueState<R, N>);

impl<R: Ring, N: DriverNotify> ReturnTo<R> for Unpublished<'_, R, N> {
    #[inline]
    fn complete(&mut self, ring: &R, token: Token, written: u32) -> Result<(), ReturnError> {
        self.0.complete(ring, token, written)
    }

    fn unfetch(&mut self, ring: &R, token: Token) -> Result<(), Refused<Token, ReturnError>> {
        self.0.unfetch(ring, token)
    }
}
