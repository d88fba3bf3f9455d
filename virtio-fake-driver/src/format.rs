//! What a driver of one format has that one of the other has not.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use virtio_mem_traits::{DriverAddr, DriverMem};

use crate::placed::Placed;
use crate::{AddressPool, DeviceViolation, DriverOptions, DriverView};

/// A format of virtqueues: [`Split`](crate::Split), [`Packed`](crate::Packed), or [`Any`](crate::Any) of the two.
///
/// A test that is generic over it runs with all of them. There are no others.
///
/// ```
/// use virtio_fake_driver::{Any, Driver, Format, Packed, Split};
///
/// /// What is said in the log of a test.
/// fn describe<F: Format>(driver: &Driver<F>) -> String {
///     format!("{:?} queue of {}", F::default(), driver.size())
/// }
///
/// assert_eq!(describe(&virtio_fake_driver::PackedFixture::new(3).driver), "Packed queue of 3");
/// ```
pub trait Format: Copy + Default + fmt::Debug {
    #[doc(hidden)]
    type Side<M: DriverMem + Clone>: Side<M>;
}

/// The driver's side of a ring in one format.
///
/// Positions count without end, in what the format counts: entries of the available ring or used elements if it is
/// split, slots if it is packed. How a position looks to the device, and what is in memory there, is known here; what
/// the positions are is known to the [`Driver`](crate::Driver).
pub trait Side<M>: Sized {
    /// Sets up the ring, at a place that it takes out of `pool`.
    ///
    /// # Panics
    ///
    /// If the format has no such size, or the pool is too small.
    fn new(view: DriverView<M>, size: u16, pool: &mut AddressPool, options: &DriverOptions) -> Self;

    /// Returns which of `features` a driver of this format ends up with.
    fn features(features: u64) -> u64;

    /// Returns the queue size.
    fn size(&self) -> u16;

    /// Returns where the Descriptor Area, the Driver Area and the Device Area are.
    fn areas(&self) -> [DriverAddr; 3];

    /// Returns the memory.
    fn view(&self) -> &DriverView<M>;

    /// Returns whether the first elements of a chain may be direct and the rest in an indirect table.
    fn takes_mixed_chains(&self) -> bool;

    /// Returns a position as the device is told of it, in events and in notifications.
    fn to_wire(&self, position: u64) -> u16;

    /// Returns the first position that looks like that.
    fn position(&self, wire: u16) -> u64;

    /// Writes a chain so that the device does not see it yet, at a position of the available side.
    fn write(&mut self, position: u64, placed: Placed) -> InFlight;

    /// Lets the device see all that was written. The next chain will be at `position`.
    fn publish(&mut self, position: u64);

    /// Returns how far the positions of either side move with a chain.
    fn advance(&self, chain: &InFlight) -> u64;

    /// Reads what the device has reported at a position of the used side, which is `available` positions behind the
    /// available side.
    fn used(&self, position: u64, available: u16) -> Result<Option<Used>, DeviceViolation>;

    /// Returns the position up to which the device has used the chains in flight, from a position of the used side on.
    fn used_until(&self, position: u64, in_flight: Vec<&InFlight>) -> u64;

    /// Returns how far the used side moves with a report that nobody understands.
    fn advance_of_unknown(&self) -> u64;

    /// Takes back what the chain occupied in the ring.
    fn free(&mut self, chain: &InFlight);

    /// Returns whether the device is to be kicked for the positions that have become available.
    fn wants_kick(&self, new: Range<u64>) -> bool;

    /// Asks the device not to interrupt. The used side is at `position`.
    fn disable_interrupts(&self, position: u64);

    /// Asks the device to interrupt when it uses `position`, or whenever it uses anything if it cannot be told.
    fn enable_interrupts(&self, position: u64);
}

/// A chain in the ring.
#[derive(Debug)]
pub struct InFlight {
    /// What the device knows it by.
    pub(crate) id: u16,
    /// The descriptors of the ring that it occupies.
    pub(crate) descriptors: Vec<u16>,
    pub(crate) placed: Placed,
}

/// What a device reports of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(crate) id: u32,
    pub(crate) len: u32,
    /// How many buffers are used at most, this one and those that it stands for included.
    pub(crate) at_most: usize,
}
