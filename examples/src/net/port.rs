//! The connections of a pair of queues.

use std::os::fd::BorrowedFd;

use super::lost::Lost;
use super::offloads::Offloads;

/// The far side of a network device. It takes packets from the driver, and supplies packets for the driver.
///
/// A packet is a frame behind a [`NetHeader`](super::NetHeader), so that both are copied at once. The header is as its
/// receiver gets it, in one buffer. It can leave work to the receiver: checksums, and segmentation.
pub trait Port {
    /// Takes note of what the driver and the device leave to each other: a packet for the driver must leave no more to
    /// it. Packets of the driver leave no more to the port.
    fn accept(&mut self, offloads: Offloads);

    /// Starts the port: from now on, the device serves the queues of the driver. It is called again when the served
    /// queues change.
    fn start(&mut self) {}

    /// Pauses the port: no packets for the driver are taken until it [starts](Self::start) again.
    fn rest(&mut self) {}

    /// Takes note of whether the driver uses the pair of queues. At first, it does. This is called on any thread, and
    /// for any clone.
    ///
    /// By default, nothing happens. A port that shares flows with those of other pairs leaves them to these.
    fn set_used(&self, used: bool) {
        let _ = used;
    }

    /// Returns the number of packets from the driver that fit now, if all have the largest length.
    fn capacity(&self) -> usize;

    /// Returns where the next of them is to be put: room for a header and for the [longest
    /// frame](Offloads::max_sent), or less if there is no room.
    fn room(&mut self) -> &mut [u8];

    /// Takes the packet of `len` bytes from that room, the header of which was [checked](Offloads::check).
    ///
    /// # Errors
    ///
    /// If the packet is malformed, or if it cannot be passed on. The packet is lost in either case.
    fn transmit(&mut self, len: usize) -> Result<(), Lost>;

    /// Returns how many packets there are for the driver, or fewer: not all may have been counted yet, but 0 is none.
    fn packets(&mut self) -> usize;

    /// Returns the first of them, which has no bytes if there is none. It is the first until it is [done](Self::done).
    fn packet(&mut self) -> &mut [u8];

    /// Is done with that packet: it was received, or had to be given up.
    fn done(&mut self);

    /// Returns what can be read when there is a packet where there was none, unless it comes from the driver itself.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
