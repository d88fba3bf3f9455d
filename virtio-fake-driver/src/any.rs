//! A driver of one of the two formats, which is chosen when the driver is made.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use virtio_mem_traits::{DriverAddr, DriverMem, HeapMem};

use crate::driver::Driver;
use crate::error::DeviceViolation;
use crate::features::RING_PACKED;
use crate::format::{Format, InFlight, Side, Used};
use crate::options::DriverOptions;
use crate::packed::{PackedSide, RawPacked};
use crate::placed::Placed;
use crate::pool::AddressPool;
use crate::split::{RawSplit, SplitSide};
use crate::view::DriverView;

/// The format that the features select: packed with RING_PACKED, split without it.
///
/// ```
/// use virtio_fake_driver::{Any, FixtureOptions, features};
///
/// let options = FixtureOptions { format: Any, features: features::RING_PACKED, size: 3, ..Default::default() };
/// assert_eq!(options.build()?.queue.size(), 3);
/// # Ok::<_, virtio_queue_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Any;

/// A driver of a virtqueue, in the format that the features select.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{AnyDriver, DriverOptions, features};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let options = DriverOptions { features: features::RING_PACKED, ..Default::default() };
/// let driver = AnyDriver::new(mem, 3, options); // The size of a split ring must be a power of two.
/// assert_eq!(driver.size(), 3);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
pub type AnyDriver<M = Arc<HeapMem>> = Driver<Any, M>;

impl Format for Any {
    type Side<M: DriverMem + Clone> = AnySide<M>;
}

/// The fields of a virtqueue of one of the two formats.
///
/// There are no other formats, so a test can match both.
///
/// ```
/// use virtio_fake_driver::{AnyFixture, AnyRaw, DriverChain};
///
/// let mut fixture = AnyFixture::new(8);
/// fixture.driver.add(&DriverChain::new().readable(b"1"))?;
/// let AnyRaw::Split(raw) = fixture.driver.raw() else { panic!("RING_PACKED was not negotiated") };
/// assert_eq!(raw.available_index(), 1);
/// # Ok::<_, virtio_fake_driver::AddError>(())
/// ```
#[derive(Debug)]
pub enum AnyRaw<'d, M = Arc<HeapMem>> {
    /// The virtqueue is split: RING_PACKED was not negotiated.
    Split(&'d RawSplit<M>),
    /// The virtqueue is packed: RING_PACKED was negotiated.
    Packed(&'d RawPacked<M>),
}

// A derive would require that the memory is `Copy`.
impl<M> Clone for AnyRaw<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for AnyRaw<'_, M> {}

impl<M: DriverMem + Clone> AnyDriver<M> {
    /// Returns the fields of the queue, to read them or to spoil them.
    #[must_use]
    pub const fn raw(&self) -> AnyRaw<'_, M> {
        match &self.side {
            AnySide::Split(side) => AnyRaw::Split(side.raw()),
            AnySide::Packed(side) => AnyRaw::Packed(side.raw()),
        }
    }
}

#[derive(Debug)]
pub enum AnySide<M> {
    Split(SplitSide<M>),
    Packed(PackedSide<M>),
}

/// Evaluates the same expression for the side of each format.
macro_rules! either {
    ($self:ident, $side:ident => $result:expr) => {
        match $self {
            Self::Split($side) => $result,
            Self::Packed($side) => $result,
        }
    };
}

impl<M: DriverMem> Side<M> for AnySide<M> {
    fn new(view: DriverView<M>, size: u16, pool: &mut AddressPool, options: &DriverOptions) -> Self {
        if options.features & RING_PACKED == 0 {
            Self::Split(SplitSide::new(view, size, pool, options))
        } else {
            Self::Packed(PackedSide::new(view, size, pool, options))
        }
    }

    fn features(features: u64) -> u64 {
        features
    }

    fn size(&self) -> u16 {
        either!(self, side => side.size())
    }

    fn areas(&self) -> [DriverAddr; 3] {
        either!(self, side => side.areas())
    }

    fn view(&self) -> &DriverView<M> {
        either!(self, side => side.view())
    }

    fn takes_mixed_chains(&self) -> bool {
        either!(self, side => side.takes_mixed_chains())
    }

    fn to_wire(&self, position: u64) -> u16 {
        either!(self, side => side.to_wire(position))
    }

    fn position(&self, wire: u16) -> u64 {
        either!(self, side => side.position(wire))
    }

    fn write(&mut self, position: u64, placed: Placed) -> InFlight {
        either!(self, side => side.write(position, placed))
    }

    fn publish(&mut self, position: u64) {
        either!(self, side => side.publish(position));
    }

    fn advance(&self, chain: &InFlight) -> u64 {
        either!(self, side => side.advance(chain))
    }

    fn used(&self, position: u64, available: u16) -> Result<Option<Used>, DeviceViolation> {
        either!(self, side => side.used(position, available))
    }

    fn used_until(&self, position: u64, in_flight: Vec<&InFlight>) -> u64 {
        either!(self, side => side.used_until(position, in_flight))
    }

    fn advance_of_unknown(&self) -> u64 {
        either!(self, side => side.advance_of_unknown())
    }

    fn free(&mut self, chain: &InFlight) {
        either!(self, side => side.free(chain));
    }

    fn wants_kick(&self, new: Range<u64>) -> bool {
        either!(self, side => side.wants_kick(new))
    }

    fn disable_interrupts(&self, position: u64) {
        either!(self, side => side.disable_interrupts(position));
    }

    fn enable_interrupts(&self, position: u64) {
        either!(self, side => side.enable_interrupts(position));
    }
}
