//! The driver of a split virtqueue.

use alloc::sync::Arc;

use virtio_mem_traits::{DriverMem, HeapMem};

use super::areas::SplitAreas;
use super::raw::RawSplit;
use super::side::SplitSide;
use crate::driver::Driver;
use crate::format::Format;
use crate::options::DriverOptions;
use crate::pool::AddressPool;
use crate::view::DriverView;

/// The format of split virtqueues.
///
/// ```
/// use virtio_fake_driver::{Driver, Fixture, Split};
///
/// let driver: Driver<Split> = Fixture::<Split>::new(8).driver;
/// assert_eq!(driver.size(), 8);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split;

impl Format for Split {
    type Side<M: DriverMem + Clone> = SplitSide<M>;
}

/// A driver of a split virtqueue.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverOptions, SplitDriver};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let driver: SplitDriver = SplitDriver::new(mem, 8, DriverOptions::default());
/// assert_eq!(driver.free_descriptors(), 8);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
pub type SplitDriver<M = Arc<HeapMem>> = Driver<Split, M>;

/// The options of a driver of a split virtqueue.
///
/// ```
/// use virtio_fake_driver::{features, SplitOptions};
///
/// let options = SplitOptions { features: features::IN_ORDER, ..Default::default() };
/// assert_eq!(options.start, None);
/// ```
pub type SplitOptions = DriverOptions;

impl<M: DriverMem + Clone> SplitDriver<M> {
    /// Sets up a queue in areas that the test chooses. Buffers and tables come from `pool`.
    ///
    /// All fields are zero at first (DRV-ANOT-1), except the indices if [`SplitOptions::start`](DriverOptions::start)
    /// is not 0.
    ///
    /// # Panics
    ///
    /// If the size is not a power of two up to 32768 (DRV-CFG-3), or if an area is not in `mem`.
    #[must_use]
    pub fn with_areas(mem: M, areas: SplitAreas, pool: AddressPool, options: SplitOptions) -> Self {
        Self::from_side(SplitSide::with_areas(DriverView::new(mem), areas, &options), pool, options)
    }

    /// Returns the fields of the queue, to read them or to spoil them.
    #[must_use]
    pub const fn raw(&self) -> &RawSplit<M> {
        self.side.raw()
    }

    /// Returns the places of the queue's areas.
    #[must_use]
    pub const fn areas(&self) -> &SplitAreas {
        self.raw().areas()
    }
}
