//! The record of a packed queue.
//!
//! Its entries are on a list of those that are free, or belong to a chain in flight. Each step that takes more than one
//! store ends with one that counts, and until then it can be undone:
//!
//! ```text
//! fetched       the descriptors into free entries, from old_free_head on; of the first: num, counter, inflight = 1
//!               old_free_head = the entry after them: from here on the chain is in flight
//! completed     the entries of the chain go in front of free_head; old_free_head does not know of them
//! publishing    used_idx and used_wrap_counter = where the ring will be
//! (publish)     the flags of the descriptor at old_used_idx: from here on the batch is returned
//! published     inflight = 0 for each chain of it; old_free_head = free_head
//!               old_used_idx and old_used_wrap_counter = used_idx and used_wrap_counter
//! ```
//!
//! Where the text has a store for each field, the fields that belong together lie in one aligned word here, and are
//! stored as one: a process that is killed between a used index and its wrap counter would leave a position behind that
//! never was.

use virtio_mem_traits::{Access, AreaError, DriverAddr, DriverMem, StableMem};
use virtio_queue_core::packed::PackedRing;
use virtio_queue_core::{Head, QueueConfig, Recorder, Ring, SavedQueue};
use virtio_ring::RingFeatures;
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, OffWrap, QueueSize, RingPosition};

use super::layout::{self, PackedEntry, PackedHeader, QueueLayout};
use super::{InflightError, QueueRecord, Recordable, load_ring, part};

/// Writes the record of a packed queue.
#[derive(Debug)]
pub(crate) struct PackedRecorder<M> {
    record: PackedRecord<M>,
    /// That of the next chain.
    counter: u64,
    /// What comes after each entry.
    next: Vec<u16>,
    /// The last entry of the chain that begins with each.
    last: Vec<u16>,
    /// How many entries that chain has. A driver that gives two chains the same Buffer ID has one returned as the
    /// other.
    lens: Vec<u16>,
    /// How many entries can be taken.
    free: u16,
    /// With which entry the chain of each Buffer ID begins, plus one. Zero, if there is none.
    entries: Vec<u16>,
    /// The first entry that can be taken.
    old_free_head: u16,
    /// The entries that were returned and not published are a list from here to `old_free_head`.
    free_head: u16,
    /// The last entry on it, if there is one.
    tail: Option<u16>,
    /// The first entry of each chain on it.
    batch: Vec<u16>,
    /// How many entries that list has.
    returned: u16,
    /// Where the driver has seen the ring.
    used: OffWrap,
}

impl<M: StableMem> Recordable for PackedRing<M> {
    const LAYOUT: QueueLayout = layout::PACKED;

    type Recorder<T: StableMem> = PackedRecorder<T>;

    /// What is in flight is put back: its descriptors are written into the ring once more, from the used position on,
    /// in the order in which they were fetched. The driver does not look at descriptors that it has made available, but
    /// for their flags, and these say what they said. Used descriptors that the other process had written behind one
    /// that it has not published are gone then, too.
    fn resume<T: StableMem>(
        &self,
        config: &QueueConfig,
        record: QueueRecord<T>,
        base: SavedQueue,
    ) -> Result<(PackedRecorder<T>, SavedQueue), InflightError> {
        let was_there = record.is_there(self.size())?;
        let record = PackedRecord(record);
        let saved = if was_there {
            let size = QueueSize::new(self.size()).map_err(|_| record.no_size())?;
            let slots = SlotsOf { mem: self.mem(), addr: config.descriptor_area.0, size };
            let used = record.finish_batch(&slots)?;
            record.put_back(used, &slots)?;
            SavedQueue::at(used.off_wrap().bits(), used.off_wrap().bits(), PACKED)
        } else {
            base
        };
        let used = OffWrap::from_bits(saved.next_used().unwrap_or_default());
        record.begin(used);
        Ok((PackedRecorder::new(record, used), saved))
    }
}

/// The features of a packed queue.
const PACKED: RingFeatures = RingFeatures::RING_PACKED.union(RingFeatures::VERSION_1);

/// The descriptors of a ring.
struct SlotsOf<'m, M> {
    mem: &'m M,
    addr: u64,
    size: QueueSize,
}

impl<M: DriverMem> SlotsOf<'_, M> {
    fn addr(&self, position: RingPosition) -> u64 {
        self.addr.wrapping_add(u64::from(position.slot()) * Descriptor::SIZE as u64)
    }

    /// Returns whether the driver can see a used descriptor at `position`, in the lap of that position. The driver may
    /// have made it available since, for the next lap.
    fn is_used(&self, position: RingPosition) -> Result<bool, AreaError> {
        let flags = load_ring::<u16>(self.mem, self.addr(position).wrapping_add(14))?;
        Ok(DescriptorFlags(u16::from_le(flags)).contains(DescriptorFlags::USED) == position.wrap())
    }

    /// Makes a descriptor available once more.
    fn set(&self, position: RingPosition, entry: &PackedEntry, is_last: bool) -> Result<(), AreaError> {
        let kept = DescriptorFlags::WRITE.union(DescriptorFlags::INDIRECT).0;
        let lap = if position.wrap() { DescriptorFlags::AVAIL } else { DescriptorFlags::USED };
        let next = if is_last { DescriptorFlags(0) } else { DescriptorFlags::NEXT };
        let flags = DescriptorFlags(entry.flags & kept).union(lap).union(next);
        let descriptor = Descriptor::new(DriverAddr(entry.addr), entry.len, BufferId(entry.id), flags);
        let range = part(self.addr(position), Descriptor::SIZE as u64).ok_or(InflightError::BEYOND)?;
        let piece = self.mem.translate_all(range, Access::Write)?;
        // At no moment does one of the two words say that it is used.
        piece.store_relaxed(0, descriptor.addr().0.to_le())?;
        piece.store_release(8, descriptor.word().to_le())?;
        self.mem.written(range);
        Ok(())
    }
}

/// The part of the record that is for a packed queue.
#[derive(Debug)]
struct PackedRecord<M>(QueueRecord<M>);

impl<M: StableMem> PackedRecord<M> {
    fn no_size(&self) -> InflightError {
        InflightError::RingSize { size: 0, room: self.0.size }
    }

    fn entry(&self, index: u16) -> Result<PackedEntry, AreaError> {
        Ok(PackedEntry::of(self.0.load_words(PackedEntry::at(index))?))
    }

    fn set_in_flight(&self, index: u16, is_in_flight: bool) {
        self.0.store(PackedEntry::at(index) + PackedEntry::INFLIGHT, layout::inflight(is_in_flight));
    }

    fn set_lists(&self, free_head: u16, old_free_head: u16) {
        let header = PackedHeader {
            version: layout::VERSION,
            desc_num: self.0.size,
            free_head,
            old_free_head,
            ..PackedHeader::default()
        };
        let [_, lists, ..] = header.words();
        self.0.store(PackedHeader::LISTS, lists);
    }

    fn set_used(&self, used: OffWrap, old: OffWrap) {
        let header = PackedHeader {
            used_idx: used.offset(),
            old_used_idx: old.offset(),
            used_wrap_counter: used.wrap().into(),
            old_used_wrap_counter: old.wrap().into(),
            ..PackedHeader::default()
        };
        let [_, _, used, _] = header.words();
        self.0.store(PackedHeader::USED, used);
    }

    /// Begins a record in which nothing is in flight, of a ring at `used`.
    ///
    /// In one that there was, nothing is in flight either, and killed at any moment it says so: only then its lists are
    /// made anew. What is begun is one when it has a version.
    fn begin(&self, used: OffWrap) {
        self.0.store(PackedHeader::FEATURES, 0_u64);
        for index in 0..self.0.size {
            self.set_in_flight(index, false);
            self.0.store(PackedEntry::at(index) + PackedEntry::NEXT, index + 1);
        }
        self.set_used(used, used);
        self.set_lists(0, 0);
    }

    /// Takes note of what was published by a process that did not live to do so, undoes what was not, and returns where
    /// the driver has seen the ring.
    fn finish_batch(&self, slots: &SlotsOf<'_, impl DriverMem>) -> Result<RingPosition, InflightError> {
        let header = PackedHeader::of(self.0.load_words(0)?);
        let position = |slot, wrap| {
            let position = RingPosition::from_off_wrap(OffWrap::new(slot, wrap != 0), slots.size);
            position
                .filter(|position| position.slot() == slot)
                .ok_or(InflightError::Position { slot, size: slots.size.get() })
        };
        let used = position(header.used_idx, header.used_wrap_counter)?;
        let old = position(header.old_used_idx, header.old_used_wrap_counter)?;
        let (used, free_head) =
            if used != old && slots.is_used(old)? { (used, header.free_head) } else { (old, header.old_free_head) };
        self.clear_free(free_head)?;
        self.set_lists(free_head, free_head);
        self.set_used(used.off_wrap(), used.off_wrap());
        Ok(used)
    }

    /// Takes note that nothing in a free list is in flight. A chain that was being fetched is at its beginning.
    fn clear_free(&self, free_head: u16) -> Result<(), InflightError> {
        let mut index = free_head;
        // A list that is longer goes in circles.
        for _ in 0..self.0.size {
            if index >= self.0.size {
                break;
            }
            self.set_in_flight(index, false);
            index = self.0.load(PackedEntry::at(index) + PackedEntry::NEXT)?;
        }
        Ok(())
    }

    /// Puts all chains in flight back into the ring, from `used` on.
    fn put_back(&self, used: RingPosition, slots: &SlotsOf<'_, impl DriverMem>) -> Result<(), InflightError> {
        let chains = self.in_flight(slots.size.get())?;
        let mut position = used;
        for (_, (_, entries)) in &chains {
            for (at, entry) in entries.iter().enumerate() {
                slots.set(position, entry, at + 1 == entries.len())?;
                position = position.advanced(1, slots.size);
            }
        }
        // The last one first: killed at any moment, the process leaves those behind that are first in the ring.
        for (index, _) in chains.iter().rev() {
            self.set_in_flight(*index, false);
        }
        Ok(())
    }

    /// Returns the chains in flight, in order: where each begins, and its counter and entries.
    fn in_flight(&self, size: u16) -> Result<Vec<Chain>, InflightError> {
        let mut taken = vec![false; self.0.size.into()];
        let (mut chains, mut in_flight) = (Vec::new(), 0_u32);
        for index in 0..self.0.size {
            let first = self.entry(index)?;
            if first.inflight != 0 {
                in_flight += u32::from(first.num);
                if in_flight > size.into() {
                    return Err(InflightError::TooMany { in_flight, size });
                }
                chains.push((index, (first.counter, self.chain(index, &first, &mut taken)?)));
            }
        }
        chains.sort_by_key(|(_, (counter, _))| *counter);
        Ok(chains)
    }

    /// Returns the entries of the chain that begins at `index`, none of which may be `taken`.
    fn chain(&self, index: u16, first: &PackedEntry, taken: &mut [bool]) -> Result<Vec<PackedEntry>, InflightError> {
        let (mut entries, mut entry) = (vec![*first], index);
        loop {
            match taken.get_mut(usize::from(entry)) {
                Some(taken) if !*taken && first.num != 0 => *taken = true,
                _ => return Err(InflightError::Entry { entry: index }),
            }
            if entries.len() >= first.num.into() {
                return Ok(entries);
            }
            // What was read last says where the next one is.
            entry = entries.last().map_or(entry, |last| last.next);
            if entry >= self.0.size {
                return Err(InflightError::Entry { entry: index });
            }
            entries.push(self.entry(entry)?);
        }
    }
}

/// Where a chain begins, and its counter and entries.
type Chain = (u16, (u64, Vec<PackedEntry>));

impl<M: StableMem> PackedRecorder<M> {
    /// Returns what writes a record that was just begun.
    fn new(record: PackedRecord<M>, used: OffWrap) -> Self {
        let size = record.0.size;
        Self {
            counter: 0,
            next: (1..=size).collect(),
            last: vec![0; size.into()],
            lens: vec![0; size.into()],
            free: size,
            entries: vec![0; 1 << 16],
            old_free_head: 0,
            free_head: 0,
            tail: None,
            batch: Vec::new(),
            returned: 0,
            used,
            record,
        }
    }

    fn next(&self, index: u16) -> u16 {
        self.next.get(usize::from(index)).copied().unwrap_or(self.record.0.size)
    }

    fn last(&self, index: u16) -> u16 {
        self.last.get(usize::from(index)).copied().unwrap_or(index)
    }

    fn len(&self, index: u16) -> u16 {
        self.lens.get(usize::from(index)).copied().unwrap_or_default()
    }

    fn set_next(&mut self, index: u16, next: u16) {
        if let Some(own) = self.next.get_mut(usize::from(index)) {
            *own = next;
            self.record.0.store(PackedEntry::at(index) + PackedEntry::NEXT, next);
        }
    }

    /// Returns where the entry of a chain is kept, by its Buffer ID.
    fn kept(&mut self, head: Head) -> Option<&mut u16> {
        self.entries.get_mut(usize::from(head.id()))
    }

    /// Returns the first entry of a chain, and forgets it. A driver that gives two chains the same Buffer ID has one of
    /// them recorded for good.
    fn take(&mut self, head: Head) -> Option<u16> {
        core::mem::take(self.kept(head)?).checked_sub(1)
    }

    /// Stores a descriptor in an entry.
    fn store_descriptor(&self, index: u16, descriptor: &Descriptor) {
        let (id, flags) = (descriptor.id().0, descriptor.flags().0);
        let entry = PackedEntry { id, flags, len: descriptor.len(), ..PackedEntry::default() };
        let [_, _, word, _] = entry.words();
        self.record.0.store(PackedEntry::at(index) + PackedEntry::DESCRIPTOR, word);
        self.record.0.store(PackedEntry::at(index) + PackedEntry::ADDR, descriptor.addr().0);
    }

    /// Stores what makes an entry the first of a chain.
    fn store_first(&self, index: u16, last: u16, num: u16) {
        let entry = PackedEntry { inflight: 1, next: self.next(index), last, num, ..PackedEntry::default() };
        let [word, ..] = entry.words();
        self.record.0.store(PackedEntry::at(index) + PackedEntry::COUNTER, self.counter);
        self.record.0.store(PackedEntry::at(index), word);
    }

    /// Makes `index` the first entry that can be taken.
    fn set_free(&mut self, index: u16) {
        match self.tail {
            Some(tail) => self.set_next(tail, index),
            None => self.free_head = index,
        }
        self.old_free_head = index;
        self.record.set_lists(self.free_head, self.old_free_head);
    }
}

impl<M: StableMem> Recorder for PackedRecorder<M> {
    fn fetched(&mut self, head: Head, descriptors: impl Iterator<Item = Descriptor>) {
        let (first, slots) = (self.old_free_head, head.slots());
        // There are as many entries as slots, unless the driver has given two chains the same Buffer ID.
        if slots > self.free {
            return;
        }
        let (mut last, mut next, mut num) = (first, first, 0);
        for descriptor in descriptors {
            self.store_descriptor(next, &descriptor);
            (last, next, num) = (next, self.next(next), num + 1);
        }
        // If the ring cannot be read any more, the queue breaks.
        if num != slots {
            return;
        }
        self.store_first(first, last, slots);
        self.counter = self.counter.wrapping_add(1);
        if let Some(own) = self.last.get_mut(usize::from(first)) {
            *own = last;
        }
        if let Some(own) = self.lens.get_mut(usize::from(first)) {
            *own = slots;
        }
        if let Some(entry) = self.kept(head) {
            *entry = first + 1;
        }
        self.free -= slots;
        self.set_free(next);
    }

    fn unfetched(&mut self, head: Head) {
        let Some(first) = self.take(head) else { return };
        self.set_next(self.last(first), self.old_free_head);
        self.set_free(first);
        self.record.set_in_flight(first, false);
        self.free += self.len(first);
    }

    fn completed(&mut self, head: Head) {
        let Some(first) = self.take(head) else { return };
        let last = self.last(first);
        self.set_next(last, self.free_head);
        self.tail = self.tail.or(Some(last));
        self.free_head = first;
        self.record.set_lists(self.free_head, self.old_free_head);
        self.batch.push(first);
        self.returned += self.len(first);
    }

    fn publishing(&mut self, next_used: u16) {
        self.record.set_used(OffWrap::from_bits(next_used), self.used);
    }

    fn published(&mut self, next_used: u16) {
        for first in self.batch.drain(..) {
            self.record.set_in_flight(first, false);
        }
        self.used = OffWrap::from_bits(next_used);
        self.old_free_head = self.free_head;
        self.tail = None;
        self.free += core::mem::take(&mut self.returned);
        self.record.set_lists(self.free_head, self.old_free_head);
        self.record.set_used(self.used, self.used);
    }
}

impl<M> Clone for PackedRecorder<M> {
    fn clone(&self) -> Self {
        Self {
            record: PackedRecord(self.record.0.clone()),
            counter: self.counter,
            next: self.next.clone(),
            last: self.last.clone(),
            lens: self.lens.clone(),
            free: self.free,
            returned: self.returned,
            entries: self.entries.clone(),
            old_free_head: self.old_free_head,
            free_head: self.free_head,
            tail: self.tail,
            batch: self.batch.clone(),
            used: self.used,
        }
    }
}
