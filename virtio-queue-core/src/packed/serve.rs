//! Serving and gathering many lists of a packed ring.

use core::sync::atomic::Ordering;

use virtio_mem_traits::{Access, DeviceArray, DeviceRange, DriverAddr, DriverMem, StableMem, fence};
use virtio_ring::packed::{BufferId, DescriptorFlags, NotificationMode, RingPosition, Slots, UsedDescriptor};

use super::positions::PackedPositions;
use super::ring::PackedRing;
use super::walk::PackedWalk;
use crate::error::FatalError;
use crate::head::Head;
use crate::ring::{Ring, ServeChain};

/// Serving: each list is completed as soon as the device has seen it.
impl<M: StableMem> PackedRing<M> {
    /// Does what [`Ring::serve`](crate::Ring::serve) does.
    #[inline(always)]
    pub(super) fn serve_chains(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        limit: usize,
        mut work: impl ServeChain,
    ) -> Result<usize, FatalError> {
        let mut room = self.room(positions, in_flight);
        let mut served = 0;
        while served < limit {
            let run = self.serve_run(positions, room, limit - served, &mut work);
            (served, room) = (served + run.0, room - run.1);
            if served < limit {
                let Some(slots) = self.serve_slowly(positions, room, work.again())? else { break };
                (served, room) = (served + 1, room - slots);
            }
        }
        Ok(served)
    }

    /// Serves at most `limit` available lists in at most `room` slots.
    ///
    /// It stops at the end of the ring, and at a list that is not [quick](next_quick_list).
    ///
    /// PERF: values that do not change during a run are looked up once (`direct-1-burst-32`).
    #[inline(always)]
    fn serve_run(
        &self,
        positions: &mut PackedPositions,
        room: u16,
        limit: usize,
        work: &mut impl ServeChain,
    ) -> (usize, u16) {
        let (available, used) = (positions.next_available, positions.next_used);
        let most = self.descriptors.limits.elements();
        let [lists, places] = [available, used].map(|start| self.descriptors.area.slots(start.slot(), room));
        let (lists, places) = (lists.prefix(places.len()), places.prefix(lists.len()));
        let walk = PackedWalk::new(&self.descriptors, BufferId(0), available.slot(), 0);
        // The first used descriptor is held back, because it publishes the batch.
        let held_back = if positions.unpublished.is_none() { 0 } else { usize::MAX };
        let (mut served, mut slots) = (0, 0);
        while served < limit {
            let Some((id, list)) = next_quick_list(lists, slots, available.wrap(), most) else { break };
            let written = work.serve(walk.of(id, list));
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
        positions.next_available = available.advanced(slots, self.descriptors.size);
        positions.next_used = used.advanced(slots, self.descriptors.size);
        positions.unpublished_slots += slots;
        (served, slots)
    }

    /// Does what [`Ring::serve_one`](crate::Ring::serve_one) does.
    ///
    /// PERF: of the usual list, nothing is held back, and no side comes to the end of the ring (`direct-1-burst-1`).
    #[inline(always)]
    pub(super) fn serve_one_list(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        mut work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        let (available, used) = (positions.next_available, positions.next_used);
        let lists = self.descriptors.area.slots(available.slot(), self.descriptors.size.get());
        let next = next_quick_list(lists, 0, available.wrap(), self.descriptors.limits.elements());
        let Some((id, list)) = next.filter(|(_, list)| self.is_usual(positions, in_flight, narrow(list.len()))) else {
            return self.serve_one_slowly(positions, in_flight, work);
        };
        let slots = narrow(list.len());
        let next_used = used.advanced(slots, self.descriptors.size);
        positions.next_available = available.advanced(slots, self.descriptors.size);
        let walk = PackedWalk::new(&self.descriptors, id, available.slot(), 0);
        let written = work.serve(walk.of(id, list));
        self.descriptors.area.set_used(used, UsedDescriptor::new(id, written, used.wrap()))?;
        positions.next_used = next_used;
        // As in `publish`: the flags are stored before the driver's wish is loaded (BAR-7).
        fence(Ordering::SeqCst);
        Ok(Some(match self.driver_area.event_suppression()?.mode(self.event_idx()) {
            NotificationMode::Enable => true,
            NotificationMode::Disable => false,
            // A usual list does not go over the end, so that all it crosses has one wrap counter (PACK-EVT-2).
            NotificationMode::Descriptor(event) => event.bits().wrapping_sub(used.off_wrap().bits()) < slots,
        }))
    }

    /// Returns whether a list of so many slots can be available, while no used descriptor is held back, and whether
    /// both sides have the end of the ring before them after it.
    #[inline(always)]
    fn is_usual(&self, positions: &PackedPositions, in_flight: u16, slots: u16) -> bool {
        let (slots, size) = (u32::from(slots), u32::from(self.descriptors.size.get()));
        let before_end = |position: RingPosition| u32::from(position.slot()) + slots < size;
        positions.unpublished.is_none()
            && u32::from(in_flight) + u32::from(positions.lost) + slots <= size
            && before_end(positions.next_available)
            && before_end(positions.next_used)
    }

    /// Serves and publishes the next list, wherever it is and whatever there is to be said of it.
    #[cold]
    #[inline(never)]
    fn serve_one_slowly(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        work: impl ServeChain,
    ) -> Result<Option<bool>, FatalError> {
        let room = self.room(positions, in_flight);
        if self.serve_next(positions, room, work)?.is_none() {
            return Ok(None);
        }
        self.publish(positions).map(Some)
    }

    /// Serves the next list, and returns the number of its slots, if there is one.
    #[inline(always)]
    fn serve_next(
        &self,
        positions: &mut PackedPositions,
        room: u16,
        mut work: impl ServeChain,
    ) -> Result<Option<u16>, FatalError> {
        let first = positions.next_available.slot();
        let Some((id, slots)) = self.next_list(positions, room)? else { return Ok(None) };
        let written = work.serve(PackedWalk::new(&self.descriptors, id, first, slots));
        self.complete_list(positions, id, slots, written)?;
        Ok(Some(slots))
    }

    /// Serves the next list, of any kind and at any position.
    #[cold]
    #[inline(never)]
    fn serve_slowly(
        &self,
        positions: &mut PackedPositions,
        room: u16,
        work: impl ServeChain,
    ) -> Result<Option<u16>, FatalError> {
        self.serve_next(positions, room, work)
    }
}

/// Gathering: lists of one element.
impl<M: StableMem> PackedRing<M> {
    /// Does what [`Ring::gather`](crate::Ring::gather) does.
    #[inline(always)]
    pub(super) fn gather_chains<'m, P: DriverMem + ?Sized>(
        &self,
        positions: &mut PackedPositions,
        in_flight: u16,
        limit: usize,
        mem: &'m P,
        access: Access,
        mut take: impl FnMut(Head, DriverAddr, DeviceRange<'m>),
    ) -> Result<u16, FatalError> {
        let first = positions.next_available;
        let Some(only) = self.descriptors.limits.only_available(access, first.wrap()) else { return Ok(0) };
        let slots = self.descriptors.area.slots(first.slot(), self.room(positions, in_flight)).prefix(limit);
        let mut done = 0;
        while let Some(word) = slots.first(done) {
            if !only.accepts(word) {
                break;
            }
            let Some(addr) = slots.addr(done) else { break };
            let Some(memory) = only.find(mem, (addr, word)) else { break };
            take(Head::new(id(word).0, first.off_wrap().bits() + narrow(done), 1), addr, memory);
            done += 1;
        }
        positions.next_available = first.advanced(narrow(done), self.descriptors.size);
        Ok(narrow(done))
    }

    /// Does what [`Ring::complete_all`](crate::Ring::complete_all) does.
    #[inline(always)]
    pub(super) fn complete_chains(
        &self,
        positions: &mut PackedPositions,
        mut heads: impl Iterator<Item = (Head, u32)>,
    ) -> Result<(), FatalError> {
        // The first used descriptor is held back, because it publishes the batch.
        if positions.unpublished.is_none() {
            let Some((head, written)) = heads.next() else { return Ok(()) };
            self.complete_list(positions, BufferId(head.id()), head.slots(), written)?;
        }
        let places = |used: RingPosition| self.descriptors.area.slots(used.slot(), self.descriptors.size.get());
        let (mut used, mut done) = (positions.next_used, 0);
        let mut slots = places(used);
        for (head, written) in heads {
            let id = BufferId(head.id());
            if !slots.set_used(done, UsedDescriptor::new(id, written, used.wrap())) {
                self.count_used(positions, done);
                self.complete_list(positions, id, head.slots(), written)?;
                (used, done) = (positions.next_used, 0);
                slots = places(used);
                continue;
            }
            done += usize::from(head.slots());
        }
        self.count_used(positions, done);
        Ok(())
    }

    /// Moves the used position behind the slots of lists whose used descriptors were written.
    #[inline(always)]
    fn count_used(&self, positions: &mut PackedPositions, slots: usize) {
        positions.next_used = positions.next_used.advanced(narrow(slots), self.descriptors.size);
        positions.unpublished_slots += narrow(slots);
    }
}

/// Returns the Buffer ID and the descriptors of the list that begins in a slot, if the list is quick.
///
/// A list is quick if it is available, ends before the end of `slots`, and has at most `most` descriptors.
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
    let list = slots.after(first);
    if !flags(word).contains(DescriptorFlags::NEXT) {
        return Some((id(word), list.descriptors(1)));
    }
    let mut len = 1;
    loop {
        let (id, flags) = list.later(len)?;
        len += 1;
        if !flags.contains(DescriptorFlags::NEXT) {
            return if len <= most { Some((id, list.descriptors(len))) } else { None };
        }
    }
}

/// Converts a number of slots into the type that a ring counts with.
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
