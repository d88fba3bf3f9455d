//! Rings that use buffers in the order in which the driver made them available.

use core::marker::PhantomData;
use core::{fmt, mem};

use virtio_mem_traits::{Access, DeviceRange, DriverAddr, DriverMem};
use virtio_ring::RingFeatures;
use virtio_ring::packed::Descriptor;

use crate::config::{ConfigError, QueueConfig};
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::notify::Armed;
use crate::ring::{FromConfig, KeepsDescriptors, Ring};
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::walk::Element;

/// A ring that uses buffers in the order in which the driver made them available, if IN_ORDER was negotiated.
///
/// VIRTIO 1.4 §2.7.9 "In-order use of descriptors", §2.8.8 for packed rings. The device can return chains in any order.
/// The ring holds back chains that are out of order, in a storage `S` (FEAT-14, SPLIT-ORD-1, PACK-INO-1). The order is
/// that of the available ring, or of the slots of a packed ring, whatever the heads and links are (HOST-26). It
/// publishes batches: one used element stands for all buffers of its batch. The driver treats all buffers of a batch
/// except the last as completely used. So a buffer that was not completely written ends its batch (SPLIT-ORD-5,
/// PACK-INO-3).
///
/// ```text
/// fetched      A B C D E
/// returned     C A B E           C was held back, E still is
/// published    one element in A's slot, with C's id and length
/// ```
///
/// If IN_ORDER was not negotiated, this ring costs one branch for each chain. A device that never offers IN_ORDER
/// should use the ring `R` directly.
#[derive(Debug)]
pub struct InOrderRing<R, S, const ALWAYS: bool = false> {
    ring: R,
    /// Whether the ring keeps the order.
    ordered: bool,
    /// Whether the driver accepted IN_ORDER, so that the ring can publish batches.
    negotiated: bool,
    _storage: PhantomData<fn() -> S>,
}

/// A ring that always keeps the order, even if IN_ORDER was not negotiated.
///
/// It publishes batches only if IN_ORDER was negotiated. The chains in flight in a packed ring can be walked at any
/// time, because the used descriptors are written over the descriptors of returned chains only: see
/// [`KeepsDescriptors`].
pub type OrderedRing<R, S> = InOrderRing<R, S, true>;

impl<R: Ring, S: OrderStorage> KeepsDescriptors for InOrderRing<R, S, true> {}

impl<R: KeepsDescriptors, S: OrderStorage> KeepsDescriptors for InOrderRing<R, S, false> {}

/// The storage in which chains wait for their turn: an array, or a `Vec` with the feature `alloc`.
pub trait OrderStorage: AsMut<[OrderSlot]> {
    /// The size of the largest queue that the storage has room for.
    const CAPACITY: u16;

    /// Makes a storage for at least `len` chains. `len` is at most [`CAPACITY`](Self::CAPACITY).
    fn with_len(len: u16) -> Self;
}

/// Stores the chains of a queue of up to `N` descriptors.
impl<const N: usize> OrderStorage for [OrderSlot; N] {
    #[expect(clippy::cast_possible_truncation, reason = "only what fits is cast")]
    const CAPACITY: u16 = if N < u16::MAX as usize { N as u16 } else { u16::MAX };

    fn with_len(_len: u16) -> Self {
        [OrderSlot::default(); N]
    }
}

/// Stores the chains of a queue of any size. The `Vec` is allocated when the queue is made.
#[cfg(feature = "alloc")]
impl OrderStorage for alloc::vec::Vec<OrderSlot> {
    const CAPACITY: u16 = u16::MAX;

    fn with_len(len: u16) -> Self {
        alloc::vec![OrderSlot::default(); len.into()]
    }
}

/// A place in an [`OrderStorage`], in which one chain waits for its turn.
///
/// ```
/// use virtio_queue_core::{InOrderRing, OrderSlot};
/// use virtio_queue_core::split::SplitRing;
///
/// /// A ring of up to 256 descriptors that keeps the order without allocating.
/// type Ring<M> = InOrderRing<SplitRing<M>, [OrderSlot; 256]>;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderSlot {
    head: Head,
    written: Option<u32>,
    /// The number of writable bytes, if it was counted when the chain was fetched.
    writable: Option<u32>,
    /// The place of the chain that was fetched from the slot of the ring with the number of this place.
    begins_here: u16,
}

/// The positions of an [`InOrderRing`], and its chains in flight in the order of their fetching.
pub struct InOrderPositions<P, S> {
    positions: P,
    order: Order<S>,
}

/// The chains in flight, in the order of their fetching.
struct Order<S> {
    /// A ring buffer of `len` chains from `first` on. It is empty if the order is not kept.
    storage: S,
    /// The number of places that are used. INVARIANT: `first < room`, or `room` is 0; `len <= room`.
    room: usize,
    first: usize,
    len: usize,
    /// The number of slots that were returned and are held back.
    held: u16,
}

impl<S: OrderStorage> Order<S> {
    /// Makes one without chains, for as many as `storage` has places, or as the largest queue has descriptors.
    fn new(mut storage: S) -> Self {
        let room = storage.as_mut().len().min(1 << 15);
        Self { storage, room, first: 0, len: 0, held: 0 }
    }

    /// Returns the place of a chain. `index` 0 is the oldest chain in flight.
    #[inline]
    fn place(&mut self, index: usize) -> Option<&mut OrderSlot> {
        let place = self.first + index;
        let place = if place < self.room { place } else { place - self.room };
        self.storage.as_mut().get_mut(place)
    }

    /// Returns the number of free places.
    const fn free(&self) -> usize {
        self.room - self.len
    }

    #[inline]
    fn chain(&mut self, index: usize) -> Option<OrderSlot> {
        if index < self.len { self.place(index).copied() } else { None }
    }

    /// Stores a chain that was fetched, and returns whether there was room for it.
    fn push(&mut self, head: Head, size: u16, writable: Option<u32>) -> bool {
        if self.free() == 0 {
            return false;
        }
        let end = self.first + self.len;
        let place = if end < self.room { end } else { end - self.room };
        let storage = self.storage.as_mut();
        if let Some(chain) = storage.get_mut(place) {
            (chain.head, chain.written, chain.writable) = (head, None, writable);
        }
        let slot = slot_of(head, size);
        if let (Some(slot), Ok(place)) = (storage.get_mut(slot), u16::try_from(place)) {
            slot.begins_here = place;
        }
        self.len += 1;
        true
    }

    /// Marks a chain as returned, and tells whether it was in flight.
    ///
    /// The position where the chain was fetched identifies its place. Two chains can have the same head or Buffer ID
    /// (HOST-6, HOST-19). But in a ring that keeps the order, two chains in flight cannot have the same position.
    fn hold(&mut self, head: Head, size: u16, written: u32) -> bool {
        let (room, first) = (self.room, self.first);
        let place = self.storage.as_mut().get(slot_of(head, size)).map_or(0, |slot| usize::from(slot.begins_here));
        let index = if place < first { place + room - first } else { place - first };
        let waits = |chain: &OrderSlot| chain.head == head && chain.written.is_none();
        let Some(chain) = self.chain(index).filter(waits) else { return false };
        if let Some(place) = self.place(index) {
            *place = OrderSlot { written: Some(written), ..chain };
        }
        self.held += head.slots();
        true
    }

    /// Returns the number of writable bytes of the chain at `index`, if that was counted, and if the chain is the one
    /// of `head` and was not returned.
    #[inline]
    fn writable_at(&mut self, index: usize, head: Head) -> Option<u32> {
        let chain = self.chain(index)?;
        if chain.head == head && chain.written.is_none() { chain.writable } else { None }
    }

    /// Removes the `count` oldest chains.
    fn pop(&mut self, count: usize) {
        self.first += count;
        if self.first >= self.room {
            self.first -= self.room;
        }
        self.len -= count;
    }
}

/// Chains that one used element stands for.
#[derive(Default)]
struct Batch {
    count: usize,
    slots: u16,
    last: Head,
    written: u32,
}

impl Batch {
    #[inline]
    fn push(&mut self, head: Head, written: u32) {
        (self.last, self.written) = (head, written);
        self.count += 1;
        self.slots += head.slots();
    }
}

/// Returns the slot of a ring of `size` that a chain was fetched from, in either format.
///
/// The position in a split ring counts up without end, and the size is a power of two. The position in a packed ring is
/// a slot, with a wrap counter in the highest bit.
fn slot_of(head: Head, size: u16) -> usize {
    let position = head.first() & 0x7fff;
    usize::from(if position < size { position } else { position & size.wrapping_sub(1) })
}

impl<R: Ring, S: OrderStorage, const ALWAYS: bool> InOrderRing<R, S, ALWAYS> {
    /// Makes a ring around `ring`. `negotiated` tells whether IN_ORDER was negotiated.
    ///
    /// # Errors
    ///
    /// If the ring is larger than the capacity of `S`.
    pub fn new(ring: R, negotiated: bool) -> Result<Self, ConfigError> {
        let (size, limit, ordered) = (ring.size(), S::CAPACITY, ALWAYS || negotiated);
        if ordered && size > limit {
            return Err(ConfigError::SizeOverLimit { size, limit });
        }
        Ok(Self { ring, ordered, negotiated, _storage: PhantomData })
    }

    fn begin(&self, positions: R::Positions) -> InOrderPositions<R::Positions, S> {
        let storage = S::with_len(if self.ordered { self.ring.size() } else { 0 });
        InOrderPositions { positions, order: Order::new(storage) }
    }

    /// Completes one batch if the oldest chain was returned. Returns whether it did.
    fn put_batch(&self, positions: &mut InOrderPositions<R::Positions, S>) -> Result<bool, FatalError> {
        let mut batch = Batch::default();
        while let Some(OrderSlot { head, written: Some(written), writable, .. }) = positions.order.chain(batch.count) {
            batch.push(head, written);
            // The batch can continue only if the driver can skip this chain.
            let next = positions.order.chain(batch.count).is_some_and(|chain| chain.written.is_some());
            if !next || !self.negotiated || !self.is_whole(head, written, writable) {
                break;
            }
        }
        positions.order.held -= batch.slots;
        let done = batch.count != 0;
        self.put(positions, batch)?;
        Ok(done)
    }

    /// Completes the chains of a batch, which are the oldest ones, if it has any.
    #[inline(always)]
    fn put(&self, positions: &mut InOrderPositions<R::Positions, S>, batch: Batch) -> Result<(), FatalError> {
        let Batch { count, slots, last, written } = batch;
        if count != 0 {
            self.ring.complete(&mut positions.positions, Head::new(last.id(), last.first(), slots), written)?;
            positions.order.pop(count);
        }
        Ok(())
    }

    /// Returns whether all writable bytes of a chain were written.
    fn is_whole(&self, head: Head, written: u32, writable: Option<u32>) -> bool {
        if let Some(writable) = writable {
            return written == writable;
        }
        let mut writable = 0;
        for element in self.ring.walk(head) {
            match element {
                Ok(element) if element.access.writes() => writable += element.range.len(),
                Ok(_) => {}
                // The length of a malformed chain is not known, so the chain ends its batch.
                Err(_) => return false,
            }
        }
        u64::from(written) == writable
    }
}

impl<R: FromConfig, S: OrderStorage, const ALWAYS: bool> FromConfig for InOrderRing<R, S, ALWAYS> {
    fn from_config(config: &QueueConfig, mem: R::Mem) -> Result<Self, ConfigError> {
        let negotiated = config.features.contains(RingFeatures::IN_ORDER);
        let features = config.features.difference(RingFeatures::IN_ORDER);
        Self::new(R::from_config(&QueueConfig { features, ..*config }, mem)?, negotiated)
    }
}

impl<R: Ring, S: OrderStorage, const ALWAYS: bool> Ring for InOrderRing<R, S, ALWAYS> {
    type Mem = R::Mem;
    type Positions = InOrderPositions<R::Positions, S>;
    type Walk<'r>
        = R::Walk<'r>
    where
        Self: 'r;
    type Place = R::Place;

    #[inline]
    fn mem(&self) -> &R::Mem {
        self.ring.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.ring.size()
    }

    fn activate(&self) -> Result<Self::Positions, FatalError> {
        self.ring.activate().map(|positions| self.begin(positions))
    }

    #[inline]
    fn fetch(&self, positions: &mut Self::Positions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        // For the driver, chains that are held back are in flight.
        let fetched = self.ring.fetch(&mut positions.positions, in_flight + positions.order.held)?;
        if let (true, Some(head)) = (self.ordered, fetched) {
            if !positions.order.push(head, self.ring.size(), None) {
                let (available, size) = (head.slots(), self.ring.size());
                return Err(FatalError::Oversubscribed { available, in_flight, size });
            }
        }
        Ok(fetched)
    }

    fn unfetch(&self, positions: &mut Self::Positions, head: Head) -> Result<bool, FatalError> {
        let is_last = self.ring.unfetch(&mut positions.positions, head)?;
        if is_last && self.ordered {
            positions.order.len = positions.order.len.saturating_sub(1);
        }
        Ok(is_last)
    }

    #[inline]
    fn walk(&self, head: Head) -> Self::Walk<'_> {
        self.ring.walk(head)
    }

    #[inline]
    fn start(&self, head: Head) -> R::Place {
        self.ring.start(head)
    }

    #[inline]
    fn next_element(&self, place: &mut R::Place) -> Option<Result<Element, ChainError>> {
        self.ring.next_element(place)
    }

    #[inline]
    fn complete(&self, positions: &mut Self::Positions, head: Head, written: u32) -> Result<bool, FatalError> {
        if !self.ordered {
            return self.ring.complete(&mut positions.positions, head, written);
        }
        Ok(positions.order.hold(head, self.ring.size(), written))
    }

    /// The limit is lowered to the number of free places.
    #[inline]
    fn gather<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut Self::Positions,
        in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        mut take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        let (held, size) = (positions.order.held, self.ring.size());
        if !self.ordered {
            return self.ring.gather(&mut positions.positions, in_flight, limit, mem, access, take);
        }
        let limit = limit.min(positions.order.free());
        let InOrderPositions { positions, order } = positions;
        self.ring.gather(positions, in_flight + held, limit, mem, access, |head, addr, memory| {
            let writable = if access.writes() { memory.len() } else { 0 };
            order.push(head, size, u32::try_from(writable).ok());
            take(head, addr, memory);
        })
    }

    #[inline]
    fn complete_all(
        &self,
        positions: &mut Self::Positions,
        heads: impl Iterator<Item = (Head, u32)>,
        mut refuse: impl FnMut(Head),
    ) -> Result<(), FatalError> {
        if !self.ordered {
            return self.ring.complete_all(&mut positions.positions, heads, refuse);
        }
        // PERF: chains whose turn it is are not held back first (`direct-1-burst-32` of the bulk queues in order).
        let mut batch = Batch::default();
        for (head, written) in heads {
            let turn = positions.order.writable_at(batch.count, head);
            if let Some(writable) = turn {
                batch.push(head, written);
                if self.negotiated && written == writable {
                    continue;
                }
            }
            self.put(positions, mem::take(&mut batch))?;
            if turn.is_none() && !positions.order.hold(head, self.ring.size(), written) {
                refuse(head);
            }
        }
        self.put(positions, batch)
    }

    #[inline]
    fn publish(&self, positions: &mut Self::Positions) -> Result<bool, FatalError> {
        if self.ordered {
            while self.put_batch(positions)? {}
        }
        self.ring.publish(&mut positions.positions)
    }

    fn suppress_notifications(&self, positions: &mut Self::Positions) -> Result<(), FatalError> {
        self.ring.suppress_notifications(&mut positions.positions)
    }

    fn enable_notifications(&self, positions: &mut Self::Positions) -> Result<Armed, FatalError> {
        self.ring.enable_notifications(&mut positions.positions)
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut Self::Positions,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        self.ring.enable_notifications_of_more(&mut positions.positions, unfetched)
    }
}

impl<R: Restorable, S: OrderStorage, const ALWAYS: bool> Restorable for InOrderRing<R, S, ALWAYS> {
    fn in_memory(&self, mem: R::Mem) -> Result<Self, ConfigError> {
        let ring = self.ring.in_memory(mem)?;
        Ok(Self { ring, ..*self })
    }

    fn save(&self, positions: &Self::Positions) -> SavedQueue {
        self.ring.save(&positions.positions)
    }

    fn restore(&self, saved: &SavedQueue) -> Result<Self::Positions, RestoreError> {
        self.ring.restore(saved).map(|positions| self.begin(positions))
    }

    fn adopt(&self, positions: &mut Self::Positions, head: Head, in_flight: u16) -> Option<Head> {
        let head = self.ring.adopt(&mut positions.positions, head, in_flight + positions.order.held)?;
        let kept = !self.ordered || positions.order.push(head, self.ring.size(), None);
        kept.then_some(head)
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        self.ring.walk_stored(head, stored)
    }
}

impl<P: fmt::Debug, S> fmt::Debug for InOrderPositions<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { positions, order: Order { len, held, .. } } = self;
        f.debug_struct("InOrderPositions")
            .field("positions", positions)
            .field("in_flight", len)
            .field("held", held)
            .finish_non_exhaustive()
    }
}
