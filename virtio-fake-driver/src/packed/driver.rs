//! The driver of a packed virtqueue.

use alloc::sync::Arc;

use virtio_mem_traits::{DriverMem, HeapMem};

use super::areas::PackedAreas;
use super::raw::RawPacked;
use super::side::PackedSide;
use crate::driver::Driver;
use crate::format::Format;
use crate::options::DriverOptions;
use crate::pool::AddressPool;
use crate::view::DriverView;

/// The format of packed virtqueues.
///
/// ```
/// use virtio_fake_driver::{Driver, Fixture, Packed};
///
/// let driver: Driver<Packed> = Fixture::<Packed>::new(8).driver;
/// assert_eq!(driver.size(), 8);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed;

impl Format for Packed {
    type Side<M: DriverMem + Clone> = PackedSide<M>;
}

/// A driver of a packed virtqueue.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverOptions, PackedDriver};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let driver: PackedDriver = PackedDriver::new(mem, 8, DriverOptions::default());
/// assert_eq!(driver.free_descriptors(), 8);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
pub type PackedDriver<M = Arc<HeapMem>> = Driver<Packed, M>;

/// The options of a driver of a packed virtqueue.
///
/// ```
/// use virtio_fake_driver::{features, PackedOptions};
///
/// let options = PackedOptions { features: features::IN_ORDER, ..Default::default() };
/// assert_eq!(options.start, None);
/// ```
pub type PackedOptions = DriverOptions;

impl<M: DriverMem + Clone> PackedDriver<M> {
    /// Sets up a queue in areas that the test chooses. Buffers and tables come from `pool`.
    ///
    /// All fields are zero at first (LAY-10), except flags of descriptors if
    /// [`PackedOptions::start`](DriverOptions::start) is not the start of a new queue. Then all descriptors are used.
    /// Those before the start are used one lap later than the others.
    ///
    /// # Panics
    ///
    /// If the size is not from 1 to 32768 (DRV-CFG-3), if the ring does not have the slot to start at, or if an area is
    /// not in `mem`.
    #[must_use]
    pub fn with_areas(mem: M, areas: PackedAreas, pool: AddressPool, options: PackedOptions) -> Self {
        Self::from_side(PackedSide::with_areas(DriverView::new(mem), areas, &options), pool, options)
    }

    /// Returns the fields of the queue, to read them or to spoil them.
    #[must_use]
    pub const fn raw(&self) -> &RawPacked<M> {
        self.side.raw()
    }

    /// Returns the places of the queue's areas.
    #[must_use]
    pub const fn areas(&self) -> &PackedAreas {
        self.raw().areas()
    }
}
