//! What a pair of queues is connected to.

use core::fmt;
use std::os::fd::BorrowedFd;

/// The far side of a network device: where packets of the driver go, and where those for it come from.
///
/// A packet is a frame behind the room for a [`NetHeader`](super::NetHeader), so that both are copied at once. What is in
/// the header is no business of a port's.
pub trait Port {
    /// Returns where the next packet of the driver's is to be put, of [`MAX_PACKET`](super::MAX_PACKET) bytes, or `None` if
    /// there is no room for it now.
    fn room(&mut self) -> Option<&mut [u8]>;

    /// Takes the packet of `len` bytes that was put there.
    ///
    /// # Errors
    ///
    /// If it is malformed, or there is nobody to pass it on to. It is gone in either case.
    fn transmit(&mut self, len: usize) -> Result<(), Lost>;

    /// Returns the next packet for the driver, if there is one. It is the next one until it is [done](Self::done).
    fn packet(&mut self) -> Option<&mut [u8]>;

    /// Is done with that packet: it was received, or had to be given up.
    fn done(&mut self);

    /// Returns what can be read when there is a packet where there was none, unless it comes from the driver itself.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A packet that came no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packet is lost")
    }
}

impl core::error::Error for Lost {}
