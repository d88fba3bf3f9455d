//! The driver of a split virtqueue.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::{DriverAddr, HeapMem};

use super::free_list::FreeList;
use super::notifications::{Interrupts, KickCounts};
use super::{Descriptor, RawSplit, SplitAreas, UsedElement};
use crate::features::{EVENT_IDX, INDIRECT_DESC, VERSION_1};
use crate::placed::{Element, Placed};
use crate::{AddError, AddressPool, DeviceViolation, DriverChain, DriverView, UsedBuffer};

/// A driver of a split virtqueue that keeps to the rules, unless it is told otherwise.
///
/// ```text
/// stage:    find room for the elements; write descriptors; write the head into the next available entry
/// publish:  store the available index, once for everything that was staged
/// kick:     full fence; is the device asking for it?
/// reap:     load the used index; read the element; take the chain apart
/// ```
///
/// It is meant to be unlike the drivers that a device is usually run with: areas are aligned no better than they have
/// to be, buffers begin at odd addresses, the last descriptor of a chain names an absurd successor, and with
/// [`SplitOptions::scramble`] descriptors come in any order.
///
/// It may run in another thread than the device.
///
/// ```
/// use std::sync::Arc;
/// use virtio_fake_driver::{DriverChain, SplitDriver, SplitOptions};
/// use virtio_mem_traits::{DriverAddr, HeapMem};
///
/// let mem = Arc::new(HeapMem::new(DriverAddr(0x10_0000), 0x1_0000)?);
/// let mut driver = SplitDriver::new(mem, 8, SplitOptions::default());
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
pub struct SplitDriver {
    pub(super) raw: RawSplit,
    features: u64,
    pool: AddressPool,
    free: FreeList,
    /// The chains that were staged and not published, with their heads.
    staged: Vec<(u16, InFlight)>,
    /// The chains that were published and not taken back, by their heads.
    in_flight: BTreeMap<u16, InFlight>,
    /// The available index that the next chain is staged for, and that which the device can see.
    next_available: u16,
    published: u16,
    /// The used index of the element that is reaped next.
    pub(super) next_used: u16,
    /// The available indices that became visible since the device was last kicked, or could have been.
    pub(super) unannounced: BTreeSet<u16>,
    pub(super) kicks: KickCounts,
    pub(super) interrupts: Interrupts,
}

/// How a driver of a split virtqueue is set up. By default: VERSION_1 alone, from index 0, in an orderly fashion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitOptions {
    /// The features that were negotiated, as in [`features`](crate::features). VERSION_1 is always one of them.
    pub features: u64,
    /// The index that both rings begin with: 0 after a reset, anything for a device that was restored.
    pub start_index: u16,
    /// The seed by which descriptors are handed out in disorder, if they are to be.
    pub scramble: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    descriptors: Vec<u16>,
    placed: Placed,
}

impl SplitDriver {
    /// Sets up a queue of `size` descriptors somewhere in `mem`; the rest of the memory is for buffers and tables.
    ///
    /// # Panics
    ///
    /// If `size` is not a power of two up to 32768 (DRV-CFG-3), or if the memory is too small.
    #[must_use]
    pub fn new(mem: Arc<HeapMem>, size: u16, options: SplitOptions) -> Self {
        let mut pool = AddressPool::new(mem.range());
        let areas = SplitAreas::alloc(size, &mut pool).expect("the memory has room for the queue");
        Self::with_areas(mem, areas, pool, options)
    }

    /// Sets up a queue at a place of the test's choice; buffers and tables come from `pool`.
    ///
    /// Everything is zero at first (DRV-ANOT-1), but for the indices if they are to begin elsewhere.
    ///
    /// # Panics
    ///
    /// If the size is not a power of two up to 32768 (DRV-CFG-3), or if an area is not in `mem`.
    #[must_use]
    pub fn with_areas(mem: Arc<HeapMem>, areas: SplitAreas, pool: AddressPool, options: SplitOptions) -> Self {
        let SplitOptions { features, start_index, scramble } = options;
        assert!(areas.size.is_power_of_two(), "a queue size of {} is no power of two (DRV-CFG-3)", areas.size);
        let raw = RawSplit::new(DriverView::new(mem), areas);
        for area in [areas.descriptors(), areas.available_ring(), areas.used_ring()] {
            let len = usize::try_from(area.len()).expect("an area is in memory");
            raw.view().poke(area.start(), &vec![0; len]);
        }
        raw.view().poke(areas.used_index().start(), &start_index.to_le_bytes());
        raw.set_available_index(start_index);
        let mut driver = Self {
            raw,
            features: features | VERSION_1,
            pool,
            free: FreeList::new(areas.size, scramble),
            staged: Vec::new(),
            in_flight: BTreeMap::new(),
            next_available: start_index,
            published: start_index,
            next_used: start_index,
            unannounced: BTreeSet::new(),
            kicks: KickCounts::default(),
            interrupts: Interrupts::EveryBuffer,
        };
        driver.rearm();
        driver
    }
}

/// Making buffers available.
impl SplitDriver {
    /// Makes one chain available, and returns its id: the index of its head. See [`stage`](Self::stage).
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
    /// §2.7.5.2 "Driver Requirements: The Virtqueue Descriptor Table" or §2.7.5.3.1 "Driver Requirements: Indirect
    /// Descriptors":
    /// * a readable element after a writable one (DRV-FRM-1);
    /// * more than 2^32 bytes (DRV-DESC-1);
    /// * an indirect table without the feature (DRV-IND-1);
    /// * more elements than the queue has descriptors (DRV-IND-3).
    pub fn stage(&mut self, chain: &DriverChain) -> Result<u16, AddError> {
        let parts = chain.parts();
        let total: u64 = parts.iter().map(|part| part.len()).sum();
        assert!(parts.is_sorted_by_key(|part| part.is_writable()), "readable after writable elements (DRV-FRM-1)");
        assert!(total <= 1 << 32, "{total} bytes are more than 2^32 (DRV-DESC-1)");
        assert!(!chain.has_table() || self.has(INDIRECT_DESC), "INDIRECT_DESC was not negotiated (DRV-IND-1)");
        assert!(parts.len() <= usize::from(self.size()), "the chain is longer than the queue (DRV-IND-3)");
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
        let (needed, free) = (chain.descriptors(), self.free.len());
        if needed > free {
            return Err(AddError::NoDescriptors { needed, free });
        }
        let placed = Placed::new(chain, Descriptor::SIZE, self.raw.view(), &mut self.pool)?;
        let descriptors = self.free.take(needed);
        self.write_descriptors(&placed, chain.direct_elements(), &descriptors);
        let head = *descriptors.first().expect("a chain has at least one descriptor");
        self.raw.set_available_entry(self.slot(self.next_available), head);
        self.next_available = self.next_available.wrapping_add(1);
        self.staged.push((head, InFlight { descriptors, placed }));
        Ok(head)
    }

    /// Writes the first `direct` elements to `descriptors` of the queue's table, and the others to an indirect one, to
    /// which the last of `descriptors` refers then.
    fn write_descriptors(&mut self, placed: &Placed, direct: usize, descriptors: &[u16]) {
        let descriptor = |element: &Element| Descriptor {
            addr: element.addr,
            len: element.len,
            flags: if element.writable { Descriptor::WRITE } else { 0 },
            next: 0,
        };
        let mut own: Vec<Descriptor> = placed.elements.iter().take(direct).map(descriptor).collect();
        if let Some(addr) = placed.table {
            let mut table: Vec<Descriptor> = placed.elements.iter().skip(direct).map(descriptor).collect();
            let entries = u16::try_from(table.len()).expect("an index of a table has 16 bits");
            let order = self.free.table_order(entries);
            Descriptor::link(&mut table, &order);
            for (descriptor, index) in table.into_iter().zip(order) {
                let offset = Descriptor::SIZE * u64::from(index);
                self.raw.set_descriptor_at(DriverAddr(addr.0 + offset), descriptor);
            }
            own.push(Descriptor { addr, len: 16 * u32::from(entries), flags: Descriptor::INDIRECT, next: 0 });
        }
        Descriptor::link(&mut own, descriptors);
        for (descriptor, index) in own.into_iter().zip(descriptors) {
            self.raw.set_descriptor(*index, descriptor);
        }
    }

    /// Lets the device see everything that was staged, by one store of the available index.
    ///
    /// VIRTIO 1.4 §2.7.13.3.1 "Driver Requirements: Updating idx" (DRV-BAR-1).
    pub fn publish(&mut self) {
        for (head, in_flight) in self.staged.drain(..) {
            self.in_flight.insert(head, in_flight);
            self.unannounced.insert(self.published);
            self.published = self.published.wrapping_add(1);
        }
        self.raw.set_available_index(self.published);
    }
}

/// Taking buffers back.
impl SplitDriver {
    /// Takes the next used buffer back, if there is one: its descriptors and its memory are free then.
    ///
    /// # Errors
    ///
    /// If the device has broken a rule.
    pub fn reap(&mut self) -> Result<Option<UsedBuffer>, DeviceViolation> {
        let used = self.used();
        let available = self.in_flight();
        if used == 0 {
            return Ok(None);
        }
        if used > available {
            return Err(DeviceViolation::TooManyUsed { used, available });
        }
        let element = self.raw.used_element(self.slot(self.next_used));
        self.next_used = self.next_used.wrapping_add(1);
        self.rearm();
        self.take_back(element).map(Some)
    }

    /// Takes all used buffers back, in the order in which they were used.
    ///
    /// # Errors
    ///
    /// If the device has broken a rule. What was taken back before that is lost.
    pub fn reap_all(&mut self) -> Result<Vec<UsedBuffer>, DeviceViolation> {
        core::iter::from_fn(|| self.reap().transpose()).collect()
    }

    fn take_back(&mut self, UsedElement { id, len }: UsedElement) -> Result<UsedBuffer, DeviceViolation> {
        let unknown = DeviceViolation::UnknownId { id };
        let id = u16::try_from(id).map_err(|_| unknown)?;
        let InFlight { descriptors, placed } = self.in_flight.remove(&id).ok_or(unknown)?;
        let writable = placed.writable_bytes(self.raw.view());
        self.free.give_back(&descriptors);
        placed.give_back(&mut self.pool);
        if u64::from(len) > writable.len() as u64 {
            return Err(DeviceViolation::TooLong { id, len, writable: writable.len() as u64 });
        }
        Ok(UsedBuffer::new(id, len, writable))
    }

    /// Returns how many elements the device has used that were not reaped.
    pub(super) fn used(&self) -> u16 {
        self.raw.used_index().wrapping_sub(self.next_used)
    }
}

/// What it is and how it is.
impl SplitDriver {
    /// Returns the queue as bytes, to spoil it or to look at it.
    #[must_use]
    pub const fn raw(&self) -> &RawSplit {
        &self.raw
    }

    /// Returns where the queue is.
    #[must_use]
    pub const fn areas(&self) -> &SplitAreas {
        self.raw.areas()
    }

    /// Returns the pool that buffers and tables come from, so that a test can take something for itself.
    pub const fn pool(&mut self) -> &mut AddressPool {
        &mut self.pool
    }

    /// Returns the queue size.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.areas().size
    }

    /// Returns the features that were negotiated.
    #[must_use]
    pub const fn features(&self) -> u64 {
        self.features
    }

    /// Returns how many descriptors are free.
    #[must_use]
    pub fn free_descriptors(&self) -> usize {
        self.free.len()
    }

    /// Returns how many chains are available to the device and not reaped.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.published.wrapping_sub(self.next_used)
    }

    pub(super) const fn event_idx(&self) -> bool {
        self.has(EVENT_IDX)
    }

    const fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// Returns the slot of a ring that an index stands for (SPLIT-AVAIL-2).
    const fn slot(&self, index: u16) -> u16 {
        index % self.size()
    }
}
