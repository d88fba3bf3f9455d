//! A device's queue with everything around it.

use alloc::rc::Rc;
use alloc::sync::Arc;

use virtio_mem_traits::{DriverAddr, HeapMem, StableMem};
use virtio_queue_core::{ConfigError, QueueConfig, QueueLimits, SplitQueue};
use virtio_ring::RingFeatures;
use virtio_util::NotificationCounter;

use crate::{SplitDriver, SplitOptions, TestMem};

/// Where the driver of a fixture has its memory.
const BASE: DriverAddr = DriverAddr(0x1000_0000);

/// A running queue on a split ring, its driver, the memory between them, and a count of the interrupts.
///
/// The parts are separate fields that do not borrow one another: the driver can add and reap while a chain of the queue
/// is held. See the [crate's own](crate) example.
#[derive(Debug)]
pub struct SplitFixture<M: StableMem = Rc<TestMem>> {
    /// The device's side.
    pub queue: SplitQueue<M, Arc<NotificationCounter>>,
    /// The driver's side.
    pub driver: SplitDriver,
    /// What the device has for memory.
    pub mem: M,
    /// How often the device has signalled the driver.
    pub notifications: Arc<NotificationCounter>,
}

impl SplitFixture {
    /// Makes a fixture with a queue of `size` descriptors and a [`TestMem`], and otherwise as by default.
    ///
    /// # Panics
    ///
    /// If `size` is not a power of two up to 32768.
    #[must_use]
    pub fn new(size: u16) -> Self {
        SplitFixtureOptions { size, ..Default::default() }.build().expect("the default options suit every size")
    }
}

/// What a fixture is made like.
///
/// ```
/// use virtio_fake_driver::{SplitFixtureOptions, features};
///
/// let options = SplitFixtureOptions { size: 8, features: features::EVENT_IDX, ..Default::default() };
/// let fixture = options.build()?;
/// assert_eq!(fixture.queue.size(), 8);
/// # Ok::<_, virtio_queue_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitFixtureOptions {
    /// The queue size.
    pub size: u16,
    /// The features that were negotiated, as in [`features`](crate::features). VERSION_1 is always one of them.
    pub features: u64,
    /// What the device allows.
    pub limits: QueueLimits,
    /// The seed by which the driver hands out descriptors in disorder, if it is to.
    pub scramble: Option<u64>,
    /// How many bytes of memory there are, for the rings as well as for buffers and tables.
    pub memory_len: usize,
}

/// 256 descriptors, no features but VERSION_1, no limits, in order, 1 MiB.
impl Default for SplitFixtureOptions {
    fn default() -> Self {
        Self { size: 256, features: 0, limits: QueueLimits::default(), scramble: None, memory_len: 1 << 20 }
    }
}

impl SplitFixtureOptions {
    /// Makes a fixture with a [`TestMem`].
    ///
    /// # Errors
    ///
    /// If there is no queue like that.
    ///
    /// # Panics
    ///
    /// As for [`build_on`](Self::build_on).
    pub fn build(&self) -> Result<SplitFixture, ConfigError> {
        self.build_on(|mem, _| Rc::new(TestMem::new(mem)))
    }

    /// Makes a fixture with plain memory, which can be taken apart and put into two threads.
    ///
    /// # Errors
    ///
    /// If there is no queue like that.
    ///
    /// # Panics
    ///
    /// As for [`build_on`](Self::build_on).
    pub fn build_plain(&self) -> Result<SplitFixture<Arc<HeapMem>>, ConfigError> {
        self.build_on(|mem, _| mem)
    }

    /// Makes a fixture with the memory that `wrap` makes of the driver's: another implementation of
    /// [`DriverMem`](virtio_mem_traits::DriverMem), or a [`TestMem`] that is prepared before the queue gets it.
    ///
    /// # Errors
    ///
    /// If there is no queue like that.
    ///
    /// # Panics
    ///
    /// If the size is not a power of two, if the memory is too small, or if there are features that no device offers.
    pub fn build_on<M: StableMem>(
        &self,
        wrap: impl FnOnce(Arc<HeapMem>, &mut SplitDriver) -> M,
    ) -> Result<SplitFixture<M>, ConfigError> {
        let Self { size, features, limits, scramble, memory_len } = *self;
        let heap = Arc::new(HeapMem::new(BASE, memory_len).expect("there is as much memory"));
        let options = SplitOptions { features, scramble, ..SplitOptions::default() };
        let mut driver = SplitDriver::new(Arc::clone(&heap), size, options);
        let mem = wrap(heap, &mut driver);
        let notifications = Arc::new(NotificationCounter::new());
        let queue = SplitQueue::new(&driver.queue_config(limits), mem.clone(), Arc::clone(&notifications))?;
        Ok(SplitFixture { queue, driver, mem, notifications })
    }
}

impl SplitDriver {
    /// Returns the configuration of a queue that serves this driver, as a transport would have learnt it.
    ///
    /// # Panics
    ///
    /// If there are features that no device offers.
    #[must_use]
    pub fn queue_config(&self, limits: QueueLimits) -> QueueConfig {
        let areas = self.areas();
        QueueConfig {
            size: areas.size,
            descriptor_area: areas.descriptor_area,
            driver_area: areas.driver_area,
            device_area: areas.device_area,
            features: RingFeatures::from_negotiated(self.features()).expect("a device has offered the features"),
            limits,
        }
    }
}
