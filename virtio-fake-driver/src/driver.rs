//! The driver of a virtqueue.

mod notifications;
mod reap;
mod signals;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};

use self::signals::{Interrupts, KickCounts};
use crate::chain::DriverChain;
use crate::error::AddError;
use crate::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::format::{Format, InFlight, Side, Used};
use crate::options::DriverOptions;
use crate::placed::Placed;
use crate::pool::AddressPool;
use crate::traffic::{Traffic, TrafficLimits};
use crate::view::DriverView;

/// A driver of a virtqueue that keeps to the rules, unless a test makes it break them.
///
/// ```text
/// stage:    find room for the elements; write descriptors that the device does not read yet
/// publish:  one store that makes all staged chains visible to the device
/// kick:     full fence; load whether the device asks for a kick
/// reap:     load the part of the report that the device stores last; read the rest; free the chain
/// ```
///
/// It differs from real drivers on purpose. Areas have only the alignment that they need. Buffers can begin at odd
/// addresses. Fields without a meaning have absurd values. With [`DriverOptions::scramble`], descriptors or Buffer IDs
/// come in any order.
///
/// [`SplitDriver`](crate::SplitDriver) and [`PackedDriver`](crate::PackedDriver) have one format.
/// [`AnyDriver`](crate::AnyDriver) has the format that [`DriverOptions::features`] select. `M` is a handle on the
/// memory: [`new`](Self::new) takes memory on the heap, and [`within`](Self::within) takes any memory. If the handle
/// can go to another thread, the driver can run in another thread than the device.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverChain, DriverOptions, SplitDriver};
/// use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x10_0000), 0x1_0000)?);
/// let mut driver = SplitDriver::new(mem, 8, DriverOptions::default());
/// driver.add(&DriverChain::new().readable(b"ping").writable(4))?;
/// assert!(driver.needs_kick());
///
/// // The device runs now. After that:
/// while let Some(used) = driver.reap()? {
///     assert_eq!(used.written(), b"pong");
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Driver<F: Format, M: DriverMem + Clone = Arc<HeapMem>> {
    pub(crate) side: F::Side<M>,
    options: DriverOptions,
    pool: AddressPool,
    /// The number of descriptors of the ring that no chain occupies.
    free: usize,
    /// The chains that were staged and not published.
    staged: Vec<InFlight>,
    /// The chains that were published and not taken back, in the order of publication.
    in_flight: VecDeque<InFlight>,
    /// A report that also covers the chains before its own. Those chains are taken back first.
    batch: Option<Used>,
    /// The position where the next chain is staged; the position up to which the device can see chains; and the
    /// position up to which a kick was decided.
    next_available: u64,
    published: u64,
    announced: u64,
    /// The position of the next report.
    next_used: u64,
    kicks: KickCounts,
    interrupts: Interrupts,
}

impl<F: Format> Driver<F> {
    /// Sets up a queue of `size` descriptors in `mem`. The rest of the memory is for buffers and tables.
    ///
    /// # Panics
    ///
    /// If the format does not allow the size (DRV-CFG-3), or if the memory is too small.
    #[must_use]
    pub fn new(mem: Arc<HeapMem>, size: u16, options: DriverOptions) -> Self {
        let range = mem.range();
        Self::within(mem, range, size, options)
    }
}

/// Constructors over any memory.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Sets up a queue of `size` descriptors in `range` of any memory. The rest of the range is for buffers and tables.
    /// The driver allocates nothing outside the range.
    ///
    /// The memory must have no holes in the range. The driver must be able to read and write all of the range. The
    /// range can contain borders of regions. Then buffers, tables and the areas of the queue can lie across a border. A
    /// border must be at a multiple of 16, so that it does not cut a field of a ring. A buffer that the test places
    /// [itself](DriverChain::at) can be outside the range, in the same memory.
    ///
    /// The memory of a driver never changes. To test a device whose memory grows, give the driver the complete memory
    /// from the start. [`FixtureOptions::build_within`](crate::FixtureOptions::build_within) has an example.
    ///
    /// `mem` is a handle on the memory, as for a queue: an `Arc`, an `Rc` or a reference. The driver can go to another
    /// thread if the handle can.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use virtio_fake_driver::{DriverChain, DriverOptions, SplitDriver};
    /// use virtio_mem_traits::{DriverAddr, DriverRange, HeapMem};
    /// use virtio_util::RegionTable;
    ///
    /// let region = |start| HeapMem::new(DriverAddr(start), 0x1000).map(|mem| (mem.range(), Rc::new(mem)));
    /// let mem = Rc::new(RegionTable::new([region(0x1000)?, region(0x2000)?])?);
    /// let range = DriverRange::new(DriverAddr(0x1800), 0x1000).ok_or("beyond 2^64")?;
    ///
    /// let mut driver = SplitDriver::within(mem, range, 8, DriverOptions::default());
    /// driver.add(&DriverChain::new().writable(0xc00))?; // in both regions
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the format does not allow the size (DRV-CFG-3), if the range is too small, or if the driver cannot access the
    /// areas of the queue in the memory.
    #[must_use]
    pub fn within(mem: M, range: DriverRange, size: u16, mut options: DriverOptions) -> Self {
        let mut pool = AddressPool::new(range);
        options.features = F::Side::<M>::features(options.features);
        Self::from_side(F::Side::<M>::new(DriverView::new(mem), size, &mut pool, &options), pool, options)
    }

    /// Starts a new queue of `size` descriptors in the same memory, as after a reset of the queue.
    ///
    /// The positions are those of a new queue. The driver forgets the chains in flight (FD-11). The new queue can use
    /// the whole range of the [pool](Self::pool), even addresses that a test took out of the pool.
    ///
    /// To suspend and resume a queue, do not call this method: all positions stay the same.
    ///
    /// # Panics
    ///
    /// As for [`new`](Self::new).
    #[must_use]
    pub fn reset(self, size: u16) -> Self {
        let options = DriverOptions { start: None, ..self.options };
        Self::within(self.view().mem().clone(), self.pool.range(), size, options)
    }

    pub(crate) fn from_side(side: F::Side<M>, pool: AddressPool, mut options: DriverOptions) -> Self {
        options.features = F::Side::<M>::features(options.features) | VERSION_1;
        let start = options.start.map_or(0, |wire| side.position(wire));
        let mut driver = Self {
            free: side.size().into(),
            side,
            options,
            pool,
            staged: Vec::new(),
            in_flight: VecDeque::new(),
            batch: None,
            next_available: start,
            published: start,
            announced: start,
            next_used: start,
            kicks: KickCounts::default(),
            interrupts: Interrupts::EveryBuffer,
        };
        driver.rearm();
        driver
    }
}

/// Makes buffers available.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Makes one chain available, and returns its id.
    ///
    /// The device knows the chain by this id. See [`stage`](Self::stage).
    ///
    /// # Errors
    ///
    /// If there is no room for the chain.
    ///
    /// # Panics
    ///
    /// If the chain breaks a rule.
    pub fn add(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        let id = self.stage(chain)?;
        self.publish();
        Ok(id)
    }

    /// Prepares a chain for the next [`publish`](Self::publish), and returns its id.
    ///
    /// The device does not see the chain before that. Stage the chains of a batch one by one, and publish them together
    /// (DRV-MAY-1).
    ///
    /// # Errors
    ///
    /// If there are not enough free descriptors or not enough memory. Then nothing is written.
    ///
    /// # Panics
    ///
    /// If the chain has no elements, or breaks a rule of VIRTIO 1.4 §2.7.4.2 "Driver Requirements: Message Framing",
    /// §2.7.5.2 "Driver Requirements: The Virtqueue Descriptor Table", §2.7.5.3.1 "Driver Requirements: Indirect
    /// Descriptors" or their counterparts §2.8.17 and §2.8.19:
    /// * a readable element after a writable one (DRV-FRM-1, DRV-PSG-2);
    /// * more than 2^32 bytes (DRV-DESC-1);
    /// * an indirect table without the feature (DRV-IND-1, DRV-PIND-1);
    /// * more elements than the queue has descriptors (DRV-IND-3, DRV-PSG-1);
    /// * flags in an indirect table that are not allowed there (DRV-IND-2, DRV-PIND-2);
    /// * on a packed ring, an indirect table after direct elements (DRV-PIND-4).
    pub fn stage(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        self.assert_rules(chain);
        self.stage_unchecked(chain)
    }

    /// Prepares a chain as [`stage`](Self::stage) does, without checking the rules.
    ///
    /// # Errors
    ///
    /// If there is no room for the chain. Then nothing is written.
    ///
    /// # Panics
    ///
    /// If the chain has no elements, or if it has 2^16 elements or more in an indirect table.
    pub fn stage_unchecked(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        assert!(chain.elements() != 0, "a chain has at least one element");
        let (needed, free) = (chain.descriptors(), self.free);
        if needed > free {
            return Err(AddError::NoDescriptors { needed, free });
        }
        let placed = Placed::new(chain, self.side.view(), &mut self.pool)?;
        let chain = self.side.write(self.next_available, placed);
        let id = chain.id;
        self.free -= needed;
        self.next_available += self.side.advance(&chain);
        self.staged.push(chain);
        Ok(id)
    }

    /// Makes all staged chains visible to the device, with one store.
    ///
    /// VIRTIO 1.4 §2.7.13.3.1 "Driver Requirements: Updating idx" (DRV-BAR-1), §2.8.21.1.1 "Driver Requirements:
    /// Updating flags" (DRV-PBAR-1).
    pub fn publish(&mut self) {
        self.in_flight.extend(self.staged.drain(..));
        self.published = self.next_available;
        self.side.publish(self.published);
    }

    fn assert_rules(&self, chain: &DriverChain) {
        let (parts, flags, size) = (chain.parts(), chain.flags_in_table(), self.size());
        let total: u64 = parts.iter().map(|part| part.len()).sum();
        let mixed = chain.has_table() && chain.direct_elements() != 0;
        assert!(
            parts.is_sorted_by_key(|part| part.is_writable()),
            "a readable element is after a writable one: readable elements must come first (DRV-FRM-1, DRV-PSG-2)"
        );
        assert!(total <= 1 << 32, "the chain has {total} bytes: it must have at most 2^32 (DRV-DESC-1)");
        assert!(
            !chain.has_table() || self.has(INDIRECT_DESC),
            "the chain has an indirect table: INDIRECT_DESC must be negotiated for it (DRV-IND-1, DRV-PIND-1)"
        );
        assert!(
            parts.len() <= usize::from(size),
            "the chain has {} elements: it must have at most {size} in this queue (DRV-IND-3, DRV-PSG-1)",
            parts.len()
        );
        assert!(flags == 0, "the indirect table has flags {flags:#x}: they must be 0 (DRV-IND-2, DRV-PIND-2)");
        assert!(
            !mixed || self.side.takes_mixed_chains(),
            "the chain has direct elements and an indirect table: it must have one kind on a packed ring (DRV-PIND-4)"
        );
    }
}

/// Accessors.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Returns the driver's view of the memory.
    #[must_use]
    pub fn view(&self) -> &DriverView<M> {
        self.side.view()
    }

    /// Returns the pool of addresses for buffers and tables. A test can take addresses out of it.
    pub const fn pool(&mut self) -> &mut AddressPool {
        &mut self.pool
    }

    /// Returns the queue size.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.side.size()
    }

    /// Returns the addresses of the Descriptor Area, the Driver Area and the Device Area.
    #[must_use]
    pub fn area_addresses(&self) -> [DriverAddr; 3] {
        self.side.areas()
    }

    /// Returns the features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.options.features
    }

    /// Returns the number of free descriptors.
    #[must_use]
    pub const fn free_descriptors(&self) -> usize {
        self.free
    }

    /// Returns the number of chains that are available to the device and not reaped.
    ///
    /// A queue of the crate virtio-queue-core counts slots instead. In a split ring, a chain takes one slot. In a
    /// packed ring, it takes one slot for each of its descriptors. This method also counts chains that the device has
    /// not fetched yet, and chains that it has used already. The queue does not count these.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.in_flight.len().try_into().unwrap_or(u16::MAX)
    }

    /// Returns the position where the next chain will be made available.
    ///
    /// It is an index on a split ring. On a packed ring, it is a slot with the wrap counter in bit 15.
    #[must_use]
    pub fn available_position(&self) -> u16 {
        self.side.to_wire(self.published)
    }

    /// Returns the position where the device will report the next used buffer.
    ///
    /// It has the form of [`available_position`](Self::available_position). It is after all used buffers, even if they
    /// are not reaped yet.
    ///
    /// If a device dies with chains in flight, a new device can begin at this position, if the old one used all chains
    /// in order. The new device fetches the chains in flight again. The driver does not notice the change.
    ///
    /// ```
    /// use virtio_fake_driver::{DriverChain, SplitFixture};
    ///
    /// let mut fixture = SplitFixture::new(8);
    /// for _ in 0..3 {
    ///     fixture.driver.add(&DriverChain::new().readable(b"1"))?;
    /// }
    /// drop(fixture.queue.next_chain()?); // A chain that is dropped is used.
    /// assert_eq!((fixture.driver.available_position(), fixture.driver.used_position()), (3, 1));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn used_position(&self) -> u16 {
        self.side.to_wire(self.used_until())
    }

    /// Returns an endless supply of random chains for this driver.
    ///
    /// Each chain has at most as many elements as the queue has descriptors, and at most `bytes` bytes.
    #[must_use]
    pub fn traffic(&self, seed: u64, bytes: u32) -> Traffic {
        let limits = TrafficLimits { elements: self.size(), bytes, indirect: self.has(INDIRECT_DESC) };
        let traffic = Traffic::new(seed, limits);
        if self.side.takes_mixed_chains() { traffic } else { traffic.without_mixed_chains() }
    }

    const fn event_idx(&self) -> bool {
        self.has(EVENT_IDX)
    }

    const fn has(&self, feature: u64) -> bool {
        self.options.features & feature != 0
    }
}
