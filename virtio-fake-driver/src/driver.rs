//! The driver of a virtqueue.

mod notifications;
mod reap;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, DriverMem, DriverRange, HeapMem};

use self::notifications::{Interrupts, KickCounts};
use crate::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::format::{Format, InFlight, Side, Used};
use crate::placed::Placed;
use crate::{AddError, AddressPool, DriverChain, DriverView, Traffic, TrafficLimits};

/// A driver of a virtqueue that keeps to the rules, unless it is told otherwise.
///
/// ```text
/// stage:    find room for the elements; write descriptors, where the device does not look yet
/// publish:  one store that lets the device see everything that was staged
/// kick:     full fence; is the device asking for it?
/// reap:     load what the device stores last; read the rest of its report; take the chain apart
/// ```
///
/// It is meant to be unlike the drivers that a device is usually run with: areas are aligned no better than they have
/// to be, buffers begin at odd addresses, fields without a meaning hold something absurd, and with
/// [`DriverOptions::scramble`] descriptors or Buffer IDs come in any order.
///
/// [`SplitDriver`](crate::SplitDriver), [`PackedDriver`](crate::PackedDriver) and [`AnyDriver`](crate::AnyDriver) are
/// the types for the two formats, and for the one that [`DriverOptions::features`] say. `M` is a handle on the memory:
/// [`new`](Self::new) takes one on the heap, and [`within`](Self::within) takes any. With a handle that can go to
/// another thread, the driver can run in another thread than the device.
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
/// // The device has its turn now. Then:
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
    /// How many descriptors of the ring no chain occupies.
    free: usize,
    /// The chains that were staged and not published.
    staged: Vec<InFlight>,
    /// The chains that were published and not taken back, in that order.
    in_flight: VecDeque<InFlight>,
    /// A report that stands for chains before its own, which are taken back first.
    batch: Option<Used>,
    /// Where the next chain is staged, how far the device can see, and for how much of that it was kicked or could have
    /// been.
    next_available: u64,
    published: u64,
    announced: u64,
    /// Where the next report is.
    next_used: u64,
    kicks: KickCounts,
    interrupts: Interrupts,
}

/// How a driver is set up. By default: VERSION_1 alone, from where a new queue begins, in an orderly fashion.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverOptions, SplitDriver, features};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// // A queue that was restored just before its indices wrap.
/// let options = DriverOptions { features: features::EVENT_IDX, start: Some(0xfffe), ..Default::default() };
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x1000), 0x1000)?);
/// let driver = SplitDriver::new(mem, 8, options);
/// assert_eq!(driver.available_position(), 0xfffe);
/// # Ok::<_, virtio_mem_traits::HeapMemError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverOptions {
    /// The features that were negotiated, as in [`features`](crate::features). VERSION_1 is always one of them.
    /// RING_PACKED follows from the format if that is known.
    ///
    /// With IN_ORDER, one report may stand for several buffers (FD-6).
    pub features: u64,
    /// Where both sides begin, for a device that was restored: an index for a split ring; a slot, with the wrap counter
    /// in bit 15, for a packed one.
    pub start: Option<u16>,
    /// The seed by which descriptors or Buffer IDs are handed out in disorder, if they are to be. A split ring with
    /// IN_ORDER has its descriptors in order nonetheless (FD-3).
    pub scramble: Option<u64>,
}

impl<F: Format> Driver<F> {
    /// Sets up a queue of `size` descriptors somewhere in `mem`; the rest of the memory is for buffers and tables.
    ///
    /// # Panics
    ///
    /// If the format has no such size (DRV-CFG-3), or if the memory is too small.
    #[must_use]
    pub fn new(mem: Arc<HeapMem>, size: u16, options: DriverOptions) -> Self {
        let range = mem.range();
        Self::within(mem, range, size, options)
    }
}

/// Over any memory.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Sets up a queue of `size` descriptors somewhere in `range`, in any memory; the rest of the range is for buffers
    /// and tables. The driver takes nothing outside the range.
    ///
    /// The memory must have no holes in the range, and must let all of it be read and written. The range can go over
    /// the borders of regions: buffers, tables and the areas of the queue then come to lie across them. The borders
    /// must be at multiples of 16, so that none cuts a field of a ring. A buffer that is put
    /// [somewhere](DriverChain::at) by the test can lie outside of the range, in the same memory.
    ///
    /// The driver has one memory for good. To test a device whose memory grows, give the driver all memory that there
    /// will be: [`FixtureOptions::build_within`](crate::FixtureOptions::build_within) has an example.
    ///
    /// `mem` is a handle, as for a queue: an `Arc`, an `Rc` or a reference. The driver can go to another thread if the
    /// handle can.
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
    /// If the format has no such size (DRV-CFG-3), if the range is too small, or if the memory does not let the driver
    /// access the areas of the queue.
    #[must_use]
    pub fn within(mem: M, range: DriverRange, size: u16, mut options: DriverOptions) -> Self {
        let mut pool = AddressPool::new(range);
        options.features = F::Side::<M>::features(options.features);
        Self::from_side(F::Side::<M>::new(DriverView::new(mem), size, &mut pool, &options), pool, options)
    }

    /// Begins anew in the same memory with a queue of another size, as after a reset of the queue (FD-11): positions
    /// are where a new queue begins, and what was in flight is forgotten. The new queue may use the whole range of the
    /// [pool](Self::pool), also what a test had taken out of it.
    ///
    /// To suspend and resume a queue, do nothing: all positions stay as they are.
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

/// Making buffers available.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Makes one chain available, and returns its id: what the device will know it by. See [`stage`](Self::stage).
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    ///
    /// # Panics
    ///
    /// If the chain breaks a rule.
    pub fn add(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        let id = self.stage(chain)?;
        self.publish();
        Ok(id)
    }

    /// Prepares a chain that the device will see with the next [`publish`](Self::publish), and returns its id. The
    /// chains of a batch are staged one by one and published together (DRV-MAY-1).
    ///
    /// # Errors
    ///
    /// If there is no room for it: not enough free descriptors or not enough memory. Nothing was written then.
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
    /// * flags in an indirect table that do not belong there (DRV-IND-2, DRV-PIND-2);
    /// * on a packed ring, an indirect table after direct elements (DRV-PIND-4).
    pub fn stage(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        self.assert_rules(chain);
        self.stage_unchecked(chain)
    }

    /// Prepares a chain as [`stage`](Self::stage) does, whatever rules it breaks.
    ///
    /// # Errors
    ///
    /// If there is no room for it. Nothing was written then.
    ///
    /// # Panics
    ///
    /// If the chain has no elements, or 2^16 of them in an indirect table.
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

    /// Lets the device see everything that was staged, by one store.
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
            "a readable element after a writable one: readable elements come first (DRV-FRM-1, DRV-PSG-2)"
        );
        assert!(total <= 1 << 32, "{total} bytes in a chain, which holds 2^32 at most (DRV-DESC-1)");
        assert!(
            !chain.has_table() || self.has(INDIRECT_DESC),
            "an indirect table, and INDIRECT_DESC was not negotiated (DRV-IND-1, DRV-PIND-1)"
        );
        assert!(
            parts.len() <= usize::from(size),
            "{} elements in a chain, which has {size} at most in this queue (DRV-IND-3, DRV-PSG-1)",
            parts.len()
        );
        assert!(flags == 0, "flags {flags:#x} in an indirect table, where they must be 0 (DRV-IND-2, DRV-PIND-2)");
        assert!(
            !mixed || self.side.takes_mixed_chains(),
            "an indirect table after direct elements: a packed ring takes all of them in a table, or none (DRV-PIND-4)"
        );
    }
}

/// What it is and how it is.
impl<F: Format, M: DriverMem + Clone> Driver<F, M> {
    /// Returns the driver's view of the memory.
    #[must_use]
    pub fn view(&self) -> &DriverView<M> {
        self.side.view()
    }

    /// Returns the pool that buffers and tables come from, so that a test can take something for itself.
    pub const fn pool(&mut self) -> &mut AddressPool {
        &mut self.pool
    }

    /// Returns the queue size.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.side.size()
    }

    /// Returns where the Descriptor Area, the Driver Area and the Device Area are.
    #[must_use]
    pub fn area_addresses(&self) -> [DriverAddr; 3] {
        self.side.areas()
    }

    /// Returns the features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.options.features
    }

    /// Returns how many descriptors are free.
    #[must_use]
    pub const fn free_descriptors(&self) -> usize {
        self.free
    }

    /// Returns how many chains are available to the device and not reaped, in either format.
    ///
    /// A queue of the crate virtio-queue-core counts slots instead: in a split ring a chain takes one, in a packed ring
    /// as many as it has descriptors. A chain that the device has not fetched yet, or has used already, is in flight
    /// here and not there.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.in_flight.len().try_into().unwrap_or(u16::MAX)
    }

    /// Returns the position at which the next chain will be made available: an index on a split ring; a slot, with the
    /// wrap counter in bit 15, on a packed one.
    #[must_use]
    pub fn available_position(&self) -> u16 {
        self.side.to_wire(self.published)
    }

    /// Returns the position at which the device will report the next used buffer, in the form of
    /// [`available_position`](Self::available_position). What the device has used counts, whether it was reaped or not.
    ///
    /// A device that has died with chains in flight can be made anew there, if it has used all chains in order until
    /// then: it fetches those in flight once more, and the driver goes on as if nothing had happened.
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

    /// Returns an endless supply of random chains that this driver takes, with up to as many elements as the queue has
    /// descriptors and up to `bytes` bytes.
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
