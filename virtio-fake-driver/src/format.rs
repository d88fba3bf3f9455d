//! The differences between drivers of the two formats.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use virtio_mem_traits::{DriverAddr, DriverMem};

use crate::error::DeviceViolation;
use crate::options::DriverOptions;
use crate::placed::Placed;
use crate::pool::AddressPool;
use crate::view::DriverView;

/// A format of virtqueues: [`Split`](crate::Split), [`Packed`](crate::Packed), or [`Any`](crate::Any).
///
/// A test that is generic over the format runs with all three. There are no others.
///
/// ```
/// use virtio_fake_driver::{Any, Driver, Format, Packed, Split};
///
/// /// Returns a line for the log of a test.
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
/// Positions are numbers that never wrap. In a split ring, they count entries of the available ring and elements of the
/// used ring. In a packed ring, they count slots. A `Side` knows the form in which the device sees a position, and the
/// memory at a position. The [`Driver`](crate::Driver) keeps the positions.
pub trait Side<M>: Sized {
    /// Sets up the ring, in areas that it takes out of `pool`.
    ///
    /// # Panics
    ///
    /// If the format does not allow the size, or the pool is too small.
    fn new(view: DriverView<M>, size: u16, pool: &mut AddressPool, options: &DriverOptions) -> Self;

    /// Returns the features of a driver of this format that was made with `features`.
    fn features(features: u64) -> u64;

    /// Returns the queue size.
    fn size(&self) -> u16;

    /// Returns the addresses of the Descriptor Area, the Driver Area and the Device Area.
    fn areas(&self) -> [DriverAddr; 3];

    /// Returns the memory.
    fn view(&self) -> &DriverView<M>;

    /// Returns whether a chain can have direct elements first and the others in an indirect table.
    fn takes_mixed_chains(&self) -> bool;

    /// Returns a position in the form of events and notifications.
    fn to_wire(&self, position: u64) -> u16;

    /// Returns the first position that has the form `wire`.
    fn position(&self, wire: u16) -> u64;

    /// Writes a chain at a position of the available side. The device does not see the chain yet.
    fn write(&mut self, position: u64, placed: Placed) -> InFlight;

    /// Makes all written chains visible to the device. The next chain will be at `position`.
    fn publish(&mut self, position: u64);

    /// Returns the number of positions that a chain takes, on both sides.
    fn advance(&self, chain: &InFlight) -> u64;

    /// Reads the device's report at a position of the used side, which is `available` positions behind the available
    /// side.
    fn used(&self, position: u64, available: u16) -> Result<Option<Used>, DeviceViolation>;

    /// Returns the position up to which the device has used the chains in flight, from a position of the used side on.
    fn used_until(&self, position: u64, in_flight: Vec<&InFlight>) -> u64;

    /// Returns the number of positions that a report with an unknown id takes.
    fn advance_of_unknown(&self) -> u64;

    /// Frees the descriptors or the Buffer ID of the chain.
    fn free(&mut self, chain: &InFlight);

    /// Returns whether the device wants a kick for the positions that became available.
    fn wants_kick(&self, new: Range<u64>) -> bool;

    /// Asks the device not to interrupt. The used side is at `position`.
    fn disable_interrupts(&self, position: u64);

    /// Asks the device to interrupt when it uses `position`, or for every buffer if a position cannot be named.
    fn enable_interrupts(&self, position: u64);
}

/// A chain in the ring.
#[derive(Debug)]
pub struct InFlight {
    /// The number by which the device knows the chain.
    pub(crate) id: u16,
    /// The descriptors of the ring that it occupies.
    pub(crate) descriptors: Vec<u16>,
    pub(crate) placed: Placed,
}

/// A device's report of a used buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(crate) id: u32,
    pub(crate) len: u32,
    /// The largest number of buffers that this report can cover, its own included.
    pub(crate) at_most: usize,
}
