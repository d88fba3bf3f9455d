//! A device's queue, with its driver and its memory.

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::fmt;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem, StableMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{AnyRing, ConfigError, FromConfig, Queue, QueueConfig, QueueLimits, Restorable, Ring};
use virtio_ring::RingFeatures;
use virtio_util::NotificationCounter;

use crate::any::Any;
use crate::driver::Driver;
use crate::format::Format;
use crate::memory::TestMem;
use crate::options::DriverOptions;
use crate::packed::Packed;
use crate::split::Split;

/// The first address of the memory of a fixture's driver.
const BASE: DriverAddr = DriverAddr(0x1000_0000);

/// A running queue, its driver, the memory between them, and a count of the interrupts.
///
/// The parts are separate fields that do not borrow each other. So the driver can add and reap while the test holds a
/// chain of the queue. [`SplitFixture`] and [`PackedFixture`] have a ring of one format. [`AnyFixture`] has a ring of
/// the format that the features select. The [crate](crate) documentation has an example.
///
/// A test that runs with every format is generic over the format:
///
/// ```
/// use virtio_fake_driver::{Any, DriverChain, Fixture, Packed, QueueFormat, Split};
///
/// fn device_returns_what_it_drops<F: QueueFormat>() {
///     let Fixture { mut queue, mut driver, .. } = Fixture::<F>::new(8);
///     let id = driver.add(&DriverChain::new().readable(b"1")).unwrap();
///     drop(queue.next_chain().unwrap().unwrap());
///     assert_eq!(driver.reap().unwrap().unwrap().id, id);
/// }
///
/// device_returns_what_it_drops::<Split>();
/// device_returns_what_it_drops::<Packed>();
/// device_returns_what_it_drops::<Any>();
/// ```
///
/// `M` is the memory of the device. `D` is the memory of the driver: the same memory, or the memory inside it.
pub struct Fixture<F: QueueFormat, M: StableMem = Rc<TestMem>, D: DriverMem + Clone = Arc<HeapMem>> {
    /// The device's side.
    pub queue: Queue<F::Ring<M>, Arc<NotificationCounter>>,
    /// The driver's side.
    pub driver: Driver<F, D>,
    /// The memory of the device.
    pub mem: M,
    /// Counts the notifications of the device to the driver.
    pub notifications: Arc<NotificationCounter>,
}

/// A fixture with a split ring.
///
/// ```
/// use virtio_fake_driver::SplitFixture;
///
/// let mut fixture = SplitFixture::new(8);
/// assert!(fixture.queue.next_chain()?.is_none());
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
pub type SplitFixture<M = Rc<TestMem>, D = Arc<HeapMem>> = Fixture<Split, M, D>;

/// A fixture with a packed ring.
///
/// ```
/// use virtio_fake_driver::PackedFixture;
///
/// let mut fixture = PackedFixture::new(8);
/// assert!(fixture.queue.next_chain()?.is_none());
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
pub type PackedFixture<M = Rc<TestMem>, D = Arc<HeapMem>> = Fixture<Packed, M, D>;

/// A fixture with a ring of the format that the features select.
///
/// ```
/// use virtio_fake_driver::AnyFixture;
///
/// let mut fixture = AnyFixture::new(8);
/// assert!(fixture.queue.next_chain()?.is_none());
/// # Ok::<_, virtio_queue_core::FatalError>(())
/// ```
pub type AnyFixture<M = Rc<TestMem>, D = Arc<HeapMem>> = Fixture<Any, M, D>;

/// A format, with the device's ring type of this format.
///
/// ```
/// use virtio_fake_driver::{Any, FixtureOptions, Packed, QueueFormat, Split, features::EVENT_IDX};
///
/// fn device_works_with_event_idx<F: QueueFormat>() {
///     let fixture = FixtureOptions::<F> { features: EVENT_IDX, ..Default::default() }.build().unwrap();
///     assert_eq!(fixture.queue.size(), 256);
/// }
///
/// device_works_with_event_idx::<Split>();
/// device_works_with_event_idx::<Packed>();
/// device_works_with_event_idx::<Any>();
/// ```
pub trait QueueFormat: Format {
    /// The device's side of a ring.
    type Ring<M: StableMem>: FromConfig + Restorable + Ring<Mem = M>;
}

impl QueueFormat for Split {
    type Ring<M: StableMem> = SplitRing<M>;
}

impl QueueFormat for Packed {
    type Ring<M: StableMem> = PackedRing<M>;
}

impl QueueFormat for Any {
    type Ring<M: StableMem> = AnyRing<M>;
}

impl<F: QueueFormat> Fixture<F> {
    /// Makes a fixture with a queue of `size` descriptors, a [`TestMem`] and default options.
    ///
    /// # Panics
    ///
    /// If the format does not allow the size.
    #[must_use]
    pub fn new(size: u16) -> Self {
        FixtureOptions { size, ..Default::default() }.build().expect("the default options are valid for every size")
    }
}

impl<F: QueueFormat, M: StableMem + fmt::Debug, D: DriverMem + Clone> fmt::Debug for Fixture<F, M, D>
where
    Driver<F, D>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("driver", &self.driver).field("mem", &self.mem).finish_non_exhaustive()
    }
}

/// The options of a fixture.
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
pub struct FixtureOptions<F> {
    /// The format of the ring. It follows from the type.
    pub format: F,
    /// The queue size.
    pub size: u16,
    /// The features that were negotiated, as for [`DriverOptions::features`].
    pub features: u64,
    /// The limits of the device.
    pub limits: QueueLimits,
    /// The seed of a random order of descriptors or Buffer IDs, as for [`DriverOptions::scramble`].
    pub scramble: Option<u64>,
    /// The size of the memory in bytes, for the ring, buffers and tables. [`build_within`](Self::build_within) ignores
    /// it.
    pub memory_len: usize,
}

/// The options of a fixture with a split ring.
///
/// ```
/// use virtio_fake_driver::{SplitFixtureOptions, features};
///
/// let options = SplitFixtureOptions { size: 4, features: features::EVENT_IDX, ..Default::default() };
/// assert_eq!(options.build()?.driver.free_descriptors(), 4);
/// # Ok::<_, virtio_queue_core::ConfigError>(())
/// ```
pub type SplitFixtureOptions = FixtureOptions<Split>;

/// The options of a fixture with a packed ring.
///
/// ```
/// use virtio_fake_driver::{PackedFixtureOptions, features};
///
/// let options = PackedFixtureOptions { size: 4, features: features::EVENT_IDX, ..Default::default() };
/// assert_eq!(options.build()?.driver.free_descriptors(), 4);
/// # Ok::<_, virtio_queue_core::ConfigError>(())
/// ```
pub type PackedFixtureOptions = FixtureOptions<Packed>;

/// The options of a fixture with a ring of the format that the features select.
///
/// ```
/// use virtio_fake_driver::{AnyFixtureOptions, features};
///
/// let options = AnyFixtureOptions { size: 4, features: features::RING_PACKED, ..Default::default() };
/// assert_eq!(options.build()?.driver.free_descriptors(), 4);
/// # Ok::<_, virtio_queue_core::ConfigError>(())
/// ```
pub type AnyFixtureOptions = FixtureOptions<Any>;

/// The defaults: 256 descriptors, only the feature VERSION_1, default limits, no random order, 1 MiB of memory.
impl<F: Default> Default for FixtureOptions<F> {
    fn default() -> Self {
        let limits = QueueLimits::default();
        Self { format: F::default(), size: 256, features: 0, limits, scramble: None, memory_len: 1 << 20 }
    }
}

impl<F: QueueFormat> FixtureOptions<F> {
    /// Makes a fixture with a [`TestMem`].
    ///
    /// # Errors
    ///
    /// If a queue cannot have this configuration.
    ///
    /// # Panics
    ///
    /// As for [`build_on`](Self::build_on).
    pub fn build(&self) -> Result<Fixture<F>, ConfigError> {
        self.build_on(|mem, _| Rc::new(TestMem::new(mem)))
    }

    /// Makes a fixture with plain memory.
    ///
    /// Its parts can be moved into two threads.
    ///
    /// # Errors
    ///
    /// If a queue cannot have this configuration.
    ///
    /// # Panics
    ///
    /// As for [`build_on`](Self::build_on).
    pub fn build_plain(&self) -> Result<Fixture<F, Arc<HeapMem>>, ConfigError> {
        self.build_on(|mem, _| mem)
    }

    /// Makes a fixture whose device has the memory that `wrap` returns.
    ///
    /// `wrap` gets the driver's memory. It can return another implementation of [`DriverMem`], or a [`TestMem`] that it
    /// has prepared.
    ///
    /// # Errors
    ///
    /// If a queue cannot have this configuration.
    ///
    /// # Panics
    ///
    /// If the format does not allow the size, if the memory is too small, or if the negotiated features are not valid.
    pub fn build_on<M: StableMem>(
        &self,
        wrap: impl FnOnce(Arc<HeapMem>, &mut Driver<F>) -> M,
    ) -> Result<Fixture<F, M>, ConfigError> {
        let heap = Arc::new(HeapMem::new(BASE, self.memory_len).expect("the host has enough memory"));
        let range = heap.range();
        self.build_within(heap, range, wrap)
    }

    /// Makes a fixture over a memory of the test, with the ring, buffers and tables in `range`.
    ///
    /// [`Driver::within`] has the details. The device has the memory that `wrap` returns, which can be the same memory.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use virtio_fake_driver::{PackedFixtureOptions, TestMem};
    /// use virtio_mem_traits::{DriverAddr, DriverRange, HeapMem};
    /// use virtio_util::RegionTable;
    ///
    /// let region = |start| HeapMem::new(DriverAddr(start), 0x1000).map(|mem| (mem.range(), Rc::new(mem)));
    /// let mem = Rc::new(RegionTable::new([region(0x1000)?, region(0x2000)?])?);
    /// let range = DriverRange::new(DriverAddr(0x1000), 0x2000).ok_or("beyond 2^64")?;
    /// let options = PackedFixtureOptions { size: 8, ..Default::default() };
    ///
    /// // First, both sides have the same memory. Then, the device has a memory with a log.
    /// let fixture = options.build_within(mem.clone(), range, |mem, _| mem)?;
    /// let logged = options.build_within(mem, range, |mem, _| Rc::new(TestMem::new(mem)))?;
    /// logged.mem.start_log();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The device can have less memory than the driver, until more memory is plugged in. Give the driver the complete
    /// memory, and place a buffer in the part that the device does not have yet:
    ///
    /// ```
    /// use std::rc::Rc;
    /// use std::sync::Arc;
    /// use virtio_fake_driver::{AnyFixtureOptions, DriverChain};
    /// use virtio_mem_traits::{DriverAddr, DriverMem, HeapMem};
    /// use virtio_util::RegionTable;
    ///
    /// let region = |start| HeapMem::new(DriverAddr(start), 0x1000).map(|mem| (mem.range(), Arc::new(mem)));
    /// let (low, high) = (region(0x1000)?, region(0x8000)?);
    /// let range = low.0;
    /// // The tables share the regions.
    /// let less = Rc::new(RegionTable::new([low.clone()])?);
    /// let all = Rc::new(RegionTable::new([low, high])?);
    ///
    /// let options = AnyFixtureOptions { size: 8, ..Default::default() };
    /// let mut fixture = options.build_within(Rc::clone(&all), range, |_, _| less)?;
    /// let request = DriverChain::new().writable(4).at(DriverAddr(0x8000));
    ///
    /// for there in [false, true] {
    ///     if there {
    ///         fixture.queue.replace_mem(Rc::clone(&all))?;
    ///     }
    ///     fixture.driver.add(&request)?;
    ///     let chain = fixture.queue.next_chain()?.ok_or("nothing is available")?;
    ///     let element = chain.walk().next().ok_or("no elements")??;
    ///     assert_eq!(chain.mem().translate(element.range, element.access).is_ok(), there);
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a queue cannot have this configuration.
    ///
    /// # Panics
    ///
    /// As for [`Driver::within`], or if the negotiated features are not valid.
    pub fn build_within<D: DriverMem + Clone, M: StableMem>(
        &self,
        mem: D,
        range: DriverRange,
        wrap: impl FnOnce(D, &mut Driver<F, D>) -> M,
    ) -> Result<Fixture<F, M, D>, ConfigError> {
        let Self { size, features, limits, scramble, .. } = *self;
        let options = DriverOptions { features, start: None, scramble };
        let mut driver = Driver::within(mem.clone(), range, size, options);
        let mem = wrap(mem, &mut driver);
        let notifications = Arc::new(NotificationCounter::new());
        let queue = Queue::new(&driver.queue_config(limits), mem.clone(), Arc::clone(&notifications))?;
        Ok(Fixture { queue, driver, mem, notifications })
    }
}

impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Returns the configuration of a queue for this driver, as a transport gives it to the device.
    ///
    /// # Panics
    ///
    /// If the negotiated features are not valid.
    #[must_use]
    pub fn queue_config(&self, limits: QueueLimits) -> QueueConfig {
        let [descriptor_area, driver_area, device_area] = self.area_addresses();
        let features = RingFeatures::from_negotiated(self.features()).expect("the negotiated features must be valid");
        let mut config = QueueConfig::new(self.size(), features, descriptor_area, driver_area, device_area);
        config.limits = limits;
        config
    }
}
