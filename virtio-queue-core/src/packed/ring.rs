//! The operations on a packed ring.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{AreaError, DeviceArray, StableMem, fence};
use virtio_ring::RingFeatures;
use virtio_ring::event::packed_crossed;
use virtio_ring::packed::{
    BufferId, Descriptor, DescriptorArea, DescriptorFlags, DescriptorIndex, DescriptorTable, DeviceArea, DriverArea,
    EventSuppression, Layout, NotificationMode, OffWrap, QueueSize, RingPosition, Slots, TableError, UsedDescriptor,
};

use super::positions::{PackedPositions, Wanted};
use super::walk::{PackedPlace, PackedWalk, StoredList};
use crate::rules::PackedLimits;
use crate::saved::Saved;
use crate::{
    Armed, ChainError, ConfigError, Element, FatalError, FromConfig, Head, QueueArea, QueueConfig, Record, Restorable,
    RestoreError, Ring, SavedQueue,
};

/// A packed ring: three proved areas, and what was negotiated.
#[derive(Debug)]
pub struct PackedRing<M> {
    descriptor_area: DescriptorArea<M>,
    driver_area: DriverArea<M>,
    device_area: DeviceArea<M>,
    size: QueueSize,
    features: RingFeatures,
    limits: PackedLimits,
    config: QueueConfig,
}

impl<M: StableMem> PackedRing<M> {
    #[inline(always)]
    pub(super) fn table(&self) -> DescriptorTable<'_, M> {
        self.descriptor_area.table()
    }

    #[inline(always)]
    pub(super) const fn limits(&self) -> &PackedLimits {
        &self.limits
    }

    fn event_idx(&self) -> bool {
        self.features.contains(RingFeatures::EVENT_IDX)
    }

    /// Looks at the descriptor that would be fetched next, and returns its Buffer ID and flags if it is available.
    ///
    /// No other one is looked at (PACK-WRAP-6): the driver makes descriptors available in the order of the ring. With
    /// lists that were put back, `next` is the one behind those.
    #[inline]
    fn look(&self, next: RingPosition) -> Result<Option<First>, FatalError> {
        let first = self.descriptor_area.first(next)?;
        Ok(Some(first).filter(|(_, flags)| flags.is_available(next.wrap())))
    }

    /// Asks for a notification of the descriptor at `position`, then looks once more for it.
    ///
    /// The request is stored before the flags are loaded, and the driver stores the flags before it loads the request.
    /// With a full fence between the two on either side, one of them sees what the other stored (BAR-6). Release and
    /// acquire would not do: they let a load pass an earlier store.
    fn arm(&self, positions: &mut PackedPositions, position: RingPosition) -> Result<Option<First>, FatalError> {
        let wanted = self.everything_from(position);
        self.ask_for(wanted)?;
        positions.wanted = wanted;
        fence(Ordering::SeqCst);
        self.look(position)
    }

    /// Returns the positions of a ring where both sides are at `position`, as they are once the driver was asked to
    /// notify.
    fn at(&self, position: RingPosition) -> PackedPositions {
        PackedPositions {
            next_available: position,
            next_used: position,
            unpublished: None,
            unpublished_slots: 0,
            lost: 0,
            wanted: self.everything_from(position),
        }
    }

    /// Returns what to ask for in order not to miss the descriptor at `position`, nor what comes later.
    fn everything_from(&self, position: RingPosition) -> Wanted {
        if self.event_idx() { Wanted::Descriptor(position) } else { Wanted::Everything }
    }

    /// Tells the driver which notifications are wanted.
    fn ask_for(&self, wanted: Wanted) -> Result<(), AreaError> {
        self.device_area.set_event_suppression(EventSuppression::new(match wanted {
            Wanted::Descriptor(position) => NotificationMode::Descriptor(position.off_wrap()),
            Wanted::Everything => NotificationMode::Enable,
            Wanted::Nothing => NotificationMode::Disable,
        }))
    }

    /// Looks for the next descriptor, and if it is not available makes sure that the driver notifies of it if it was
    /// asked to notify at all. It was asked for a descriptor that has been fetched since.
    #[inline(never)]
    fn look_and_arm(&self, mut positions: PackedPositions) -> Result<(PackedPositions, Option<First>), FatalError> {
        let first = match positions.wanted {
            Wanted::Descriptor(position) if position != positions.next_available => {
                let next = positions.next_available;
                self.arm(&mut positions, next)?
            }
            _ => None,
        };
        Ok((positions, first))
    }

    /// Returns how many slots the driver can have made available: those that are not in flight. What was completed and
    /// not published is in flight for the driver: it has nothing yet to make available instead.
    #[inline]
    fn room(&self, positions: &PackedPositions, in_flight: u16) -> u16 {
        self.size.get().saturating_sub(in_flight).saturating_sub(positions.unpublished_slots + positions.lost)
    }

    /// Returns the Buffer ID of the next available list and how many slots it takes, if there is one.
    #[inline(always)]
    fn next_list(&self, positions: &mut PackedPositions, room: u16) -> Result<Option<(BufferId, u16)>, FatalError> {
        let start = positions.next_available;
        let mut first = self.look(start)?;
        if first.is_none() {
            (*positions, first) = self.look_and_arm(*positions)?;
        }
        let Some(first) = first else { return Ok(None) };
        let (id, slots) = self.list(start, first)?;
        if slots > room {
            let size = self.size.get();
            return Err(FatalError::Oversubscribed { available: slots, in_flight: size - room, size });
        }
        positions.next_available = start.advanced(slots, self.size);
        Ok(Some((id, slots)))
    }

    /// Returns the Buffer ID of the list that begins at `start` with `first`, and how many slots it takes.
    #[inline(always)]
    fn list(&self, start: RingPosition, (id, flags): First) -> Result<(BufferId, u16), FatalError> {
        if flags.contains(DescriptorFlags::NEXT) { self.measure(start) } else { Ok((id, 1)) }
    }

    /// Writes that a list was used.
    #[inline(always)]
    fn complete_list(
        &self,
        positions: &mut PackedPositions,
        id: BufferId,
        slots: u16,
        written: u32,
    ) -> Result<(), AreaError> {
        let position = positions.next_used;
        let used = UsedDescriptor::new(id, written, position.wrap());
        if positions.unpublished.is_some() {
            self.descriptor_area.set_used(position, used)?;
        } else {
            positions.unpublished = Some((position, used));
        }
        positions.next_used = position.advanced(slots, self.size);
        positions.unpublished_slots += slots;
        Ok(())
    }

    /// Serves at most `limit` available lists in at most `room` slots, as far as neither side comes to the end of the
    /// ring and nothing has to be said of them.
    ///
    /// PERF: what does not change in a run is looked up once (`direct-1-burst-32`).
    #[inline(always)]
    fn serve_run<'r>(
        &'r self,
        positions: &mut PackedPositions,
        room: u16,
        limit: usize,
        work: &mut impl FnMut(PackedWalk<'r, M>) -> u32,
    ) -> (usize, u16) {
        let (available, used) = (positions.next_available, positions.next_used);
        let to_end = |position: RingPosition| self.size.get() - position.slot();
        let most = self.limits.elements();
        let count = if most == 0 { 0 } else { room.min(to_end(available)).min(to_end(used)) };
        let lists = self.descriptor_area.slots(available.slot(), count);
        let places = self.descriptor_area.slots(used.slot(), count);
        let (lists, places) = (lists.prefix(places.len()), places.prefix(lists.len()));
        let walk = PackedWalk::new(self, BufferId(0), available.slot(), 0);
        // What publishes a batch is held back.
        let held_back = if positions.unpublished.is_none() { 0 } else { usize::MAX };
        let (mut served, mut slots) = (0, 0);
        while served < limit {
            let Some((id, list)) = next_quick_list(lists, slots, available.wrap(), most) else { break };
            let written = work(walk.of(id, available.slot() + narrow(slots), list));
            let descriptor = UsedDescriptor::new(id, written, used.wrap());
            if slots == held_back {
                positions.unpublished = Some((used, descriptor));
            } else {
                places.set_used(slots, descriptor);
            }
            slots += list.len();
            served += 1;
        }
        let slots = narrow(slots);
        positions.next_available = available.advanced(slots, self.size);
        positions.next_used = used.advanced(slots, self.size);
        positions.unpublished_slots += slots;
        (served, slots)
    }

    /// Serves the next list, wherever it is and whatever there is to be said of it, and returns how many slots it has,
    /// if there is one.
    #[cold]
    #[inline(never)]
    fn serve_list<'r>(
        &'r self,
        positions: &mut PackedPositions,
        room: u16,
        work: &mut impl FnMut(PackedWalk<'r, M>) -> u32,
    ) -> Result<Option<u16>, FatalError> {
        let first = positions.next_available.slot();
        let Some((id, slots)) = self.next_list(positions, room)? else { return Ok(None) };
        let written = work(PackedWalk::new(self, id, first, slots));
        self.complete_list(positions, id, slots, written)?;
        Ok(Some(slots))
    }

    /// Follows the list that begins at `start` to its end, and returns its Buffer ID and how many slots it takes.
    ///
    /// The driver makes the first descriptor available last, so the others are complete (PACK-SG-6); their own wrap
    /// bits do not matter to where the list ends, and are not looked at.
    fn measure(&self, start: RingPosition) -> Result<(BufferId, u16), FatalError> {
        let (size, start) = (self.size.get(), start.slot());
        for slot in start + 1..size {
            let (id, flags) = self.descriptor_area.later(slot)?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok((id, slot - start + 1));
            }
        }
        for slot in 0..start {
            let (id, flags) = self.descriptor_area.later(slot)?;
            if !flags.contains(DescriptorFlags::NEXT) {
                return Ok((id, size - start + slot + 1));
            }
        }
        Err(FatalError::EndlessList { size })
    }
}

/// Returns the Buffer ID of the list that begins in a slot, and its descriptors, if it is available, all there, and no
/// longer than `most`, which is at least 1.
#[inline(always)]
fn next_quick_list(
    slots: Slots<'_>,
    first: usize,
    wrap: bool,
    most: usize,
) -> Option<(BufferId, DeviceArray<'_, [u64; 2]>)> {
    let word = slots.first(first)?;
    if !flags(word).is_available(wrap) {
        return None;
    }
    if !flags(word).contains(DescriptorFlags::NEXT) {
        return Some((id(word), slots.descriptors(first, first)?));
    }
    let mut last = first;
    loop {
        last += 1;
        let word = slots.later(last)?;
        if !flags(word).contains(DescriptorFlags::NEXT) {
            return if last - first < most { Some((id(word), slots.descriptors(first, last)?)) } else { None };
        }
    }
}

/// Returns a number of slots as a ring counts them.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a ring has at most 2^15 slots")]
const fn narrow(slots: usize) -> u16 {
    slots as u16
}

/// Returns the Buffer ID in the second word of a descriptor.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "takes the word apart")]
const fn id(word: u64) -> BufferId {
    BufferId((word >> 32) as u16)
}

/// Returns the flags in the second word of a descriptor.
#[inline(always)]
const fn flags(word: u64) -> DescriptorFlags {
    DescriptorFlags((word >> 48) as u16)
}

/// Returns what it means for the queue that a descriptor of its ring cannot be read.
fn lost(error: TableError) -> FatalError {
    match error {
        TableError::Translate(error) => AreaError::from(error).into(),
        TableError::NoEntry { index, len } => {
            let (offset, size) = (usize::from(index.0) * Descriptor::SIZE, Descriptor::SIZE);
            AreaError::OutOfRange { offset, size, len: u64::from(len) * size as u64 }.into()
        }
    }
}

/// What matters to a queue of the first descriptor of a list.
type First = (BufferId, DescriptorFlags);

impl<M: StableMem> FromConfig for PackedRing<M> {
    fn from_config(config: &QueueConfig, mem: M) -> Result<Self, ConfigError> {
        config.check()?;
        if !config.features.contains(RingFeatures::RING_PACKED) {
            return Err(ConfigError::Format { packed: false });
        }
        QueueSize::new(config.limits.queue_size).map_err(ConfigError::Limit)?;
        let size = QueueSize::new(config.size).map_err(ConfigError::Size)?;
        let layout = Layout::new(size);
        let failed = |area| move |error| ConfigError::Area { area, error };
        let descriptor_area = DescriptorArea::new(mem.clone(), layout, config.descriptor_area);
        let driver_area = DriverArea::new(mem.clone(), layout, config.driver_area);
        let device_area = DeviceArea::new(mem, layout, config.device_area);
        Ok(Self {
            descriptor_area: descriptor_area.map_err(failed(QueueArea::Descriptor))?,
            driver_area: driver_area.map_err(failed(QueueArea::Driver))?,
            device_area: device_area.map_err(failed(QueueArea::Device))?,
            size,
            features: config.features,
            limits: PackedLimits::new(config),
            config: *config,
        })
    }
}

impl<M: StableMem> Ring for PackedRing<M> {
    type Mem = M;
    type Positions = PackedPositions;
    type Walk<'r>
        = PackedWalk<'r, M>
    where
        M: 'r;
    type Place = PackedPlace;

    #[inline]
    fn mem(&self) -> &M {
        self.descriptor_area.mem()
    }

    #[inline]
    fn size(&self) -> u16 {
        self.size.get()
    }

    fn activate(&self) -> Result<PackedPositions, FatalError> {
        let positions = self.at(RingPosition::START);
        self.ask_for(positions.wanted)?;
        // As in `arm`: the first look at the ring comes after what was asked for.
        fence(Ordering::SeqCst);
        Ok(positions)
    }

    #[inline(always)]
    fn fetch(&self, positions: &mut PackedPositions, in_flight: u16) -> Result<Option<Head>, FatalError> {
        let start = positions.next_available;
        let list = self.next_list(positions, self.room(positions, in_flight))?;
        Ok(list.map(|(id, slots)| Head::new(id.0, start.off_wrap().bits(), slots)))
    }

    fn unfetch(&self, positions: &mut PackedPositions, head: Head) -> Result<bool, FatalError> {
        let start = RingPosition::from_off_wrap(OffWrap::from_bits(head.first()), self.size);
        let last = start.filter(|start| start.advanced(head.slots(), self.size) == positions.next_available);
        let Some(start) = last else { return Ok(false) };
        // Over a chain that another process had fetched, a used descriptor can have been written.
        let Some(first) = self.look(start)? else { return Ok(false) };
        let is_there = self.list(start, first)? == (BufferId(head.id()), head.slots());
        if is_there {
            positions.next_available = start;
        }
        Ok(is_there)
    }

    #[inline(always)]
    fn walk(&self, head: Head) -> PackedWalk<'_, M> {
        PackedWalk::new(self, BufferId(head.id()), OffWrap::from_bits(head.first()).offset(), head.slots())
    }

    #[inline(always)]
    fn start(&self, head: Head) -> PackedPlace {
        let first = OffWrap::from_bits(head.first()).offset();
        PackedPlace::new(&self.limits, BufferId(head.id()), first, head.slots())
    }

    #[inline(always)]
    fn next_element(&self, place: &mut PackedPlace) -> Option<Result<Element, ChainError>> {
        place.step(self)
    }

    /// The driver looks at used descriptors in order, and stops at the first that is not there. So all but the first
    /// are written at once, and the first is what publishes them all (PACK-MB-1).
    #[inline(always)]
    fn complete(&self, positions: &mut PackedPositions, head: Head, written: u32) -> Result<bool, FatalError> {
        self.complete_list(positions, BufferId(head.id()), head.slots(), written)?;
        Ok(true)
    }

    #[inline(always)]
    fn serve<'r>(
        &'r self,
        positions: &mut PackedPositions,
        in_flight: u16,
        limit: usize,
        mut work: impl FnMut(PackedWalk<'r, M>) -> u32,
    ) -> Result<usize, FatalError> {
        let mut room = self.room(positions, in_flight);
        let mut served = 0;
        while served < limit {
            let run = self.serve_run(positions, room, limit - served, &mut work);
            (served, room) = (served + run.0, room - run.1);
            if served < limit {
                let Some(slots) = self.serve_list(positions, room, &mut work)? else { break };
                (served, room) = (served + 1, room - slots);
            }
        }
        Ok(served)
    }

    #[inline(always)]
    fn publish(&self, positions: &mut PackedPositions) -> Result<bool, FatalError> {
        let count = core::mem::take(&mut positions.unpublished_slots);
        let Some((position, used)) = positions.unpublished.take() else { return Ok(false) };
        self.descriptor_area.set_used(position, used)?;
        // The flags are stored before the driver's wish is loaded, and the driver stores its wish before it looks at
        // the ring once more. With a full fence between the two on either side, one of them sees what the other stored
        // (BAR-7).
        fence(Ordering::SeqCst);
        Ok(match self.driver_area.event_suppression()?.mode(self.event_idx()) {
            NotificationMode::Enable => true,
            NotificationMode::Disable => false,
            NotificationMode::Descriptor(event) => {
                packed_crossed(self.size, event, positions.next_used.off_wrap(), count.into())
            }
        })
    }

    fn suppress_notifications(&self, positions: &mut PackedPositions) -> Result<(), FatalError> {
        self.ask_for(Wanted::Nothing)?;
        positions.wanted = Wanted::Nothing;
        Ok(())
    }

    fn enable_notifications(&self, positions: &mut PackedPositions, in_flight: u16) -> Result<Armed, FatalError> {
        self.enable_notifications_of_more(positions, in_flight, 0)
    }

    fn enable_notifications_of_more(
        &self,
        positions: &mut PackedPositions,
        _in_flight: u16,
        unfetched: u16,
    ) -> Result<Armed, FatalError> {
        let next = positions.next_available.advanced(unfetched, self.size);
        Ok(if self.arm(positions, next)?.is_some() { Armed::MoreAvailable } else { Armed::Waiting })
    }
}

impl<M: StableMem> Restorable for PackedRing<M> {
    fn in_memory(&self, mem: M) -> Result<Self, ConfigError> {
        Self::from_config(&self.config, mem)
    }

    fn save(&self, positions: &PackedPositions) -> SavedQueue {
        let used = positions.unpublished.map_or(positions.next_used, |(first, _)| first);
        SavedQueue::packed(positions.next_available.off_wrap().bits(), used.off_wrap().bits())
    }

    fn restore(&self, saved: &SavedQueue) -> Result<PackedPositions, RestoreError> {
        let Saved::Packed { next_available, next_used } = saved.checked()? else {
            return Err(RestoreError::Format(*saved));
        };
        if (next_available, next_used) == (0, 0) && self.is_new()? {
            return Ok(self.at(RingPosition::START));
        }
        let place = |bits| RingPosition::from_off_wrap(OffWrap::from_bits(bits), self.size);
        let (Some(available), Some(used)) = (place(next_available), place(next_used)) else {
            return Err(RestoreError::Position { saved: *saved, size: self.size.get() });
        };
        let size = self.size.get();
        let apart = u16::try_from(self.distance(used, available)).ok().filter(|slots| *slots <= size);
        let lost = apart.ok_or(RestoreError::Lost { available: next_available, used: next_used, size })?;
        Ok(PackedPositions { next_used: used, lost, ..self.at(available) })
    }

    fn adopt(&self, positions: &mut PackedPositions, head: Head, in_flight: u16) -> Option<Head> {
        positions.lost = positions.lost.checked_sub(head.slots()).filter(|_| head.slots() != 0)?;
        let first = positions.next_used.advanced(in_flight, self.size).off_wrap().bits();
        Some(Head::new(head.id(), first, head.slots()))
    }

    fn disown(&self, positions: &mut PackedPositions, head: Head) {
        positions.lost = positions.lost.saturating_add(head.slots());
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        StoredList::new(self, BufferId(head.id()), stored)
    }
}

impl<M: StableMem> PackedRing<M> {
    /// Returns whether the ring was never used: in no descriptor is the flag USED set.
    ///
    /// This decides what a base of 0 means. It is the position of a ring that was used from end to end, when both wrap
    /// counters are 0. There, the device has set USED in each list of the last round, and the driver where it has made
    /// something available since. But some front ends say 0 of a new ring, as if it were a split one.
    fn is_new(&self) -> Result<bool, FatalError> {
        for slot in 0..self.size.get() {
            let (_, flags) = self.descriptor_area.later(slot)?;
            if flags.contains(DescriptorFlags::USED) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns how many slots `later` is ahead of `earlier`, in two laps of the ring.
    fn distance(&self, earlier: RingPosition, later: RingPosition) -> u32 {
        let size = u32::from(self.size.get());
        let linear = |position: RingPosition| u32::from(position.slot()) + if position.wrap() { 0 } else { size };
        (linear(later) + 2 * size - linear(earlier)) % (2 * size)
    }
}

impl<M: StableMem> Record for PackedRing<M> {
    fn stored(&self, head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>> {
        let first = RingPosition::from_off_wrap(OffWrap::from_bits(head.first()), self.size);
        let slots = first
            .into_iter()
            .flat_map(move |first| (0..head.slots()).map(move |count| first.advanced(count, self.size).slot()));
        slots.map(|slot| self.table().get(DescriptorIndex(slot)).map_err(lost))
    }

    fn next_used(&self, positions: &PackedPositions) -> u16 {
        positions.next_used.off_wrap().bits()
    }
}
