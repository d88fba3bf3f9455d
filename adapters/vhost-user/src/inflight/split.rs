//! The record of a split queue.
//!
//! ```text
//! fetched       entry.counter = counter; counter += 1; entry.inflight = 1
//! completed     entry.next = last_batch_head; last_batch_head = entry
//! (publish)     the used index of the ring += the number of these
//! published     inflight = 0 for each of these; used_idx = the used index
//! ```
//!
//! Killed before the used index of the ring is stored, the process has returned nothing of the batch. Killed after it,
//! it has returned all of the batch: `used_idx` is behind by as many chains as the list from `last_batch_head` has.
//!
//! The next process puts back what is in flight, if the available ring still has it in its order. Otherwise the
//! recorder lets it be fetched again.

use std::collections::VecDeque;

use virtio_mem_traits::{DriverMem, StableMem};
use virtio_queue_core::split::SplitRing;
use virtio_queue_core::{Head, QueueConfig, Recorder, Ring, SavedQueue};
use virtio_ring::RingFeatures;
use virtio_ring::packed::Descriptor;

use super::layout::{self, Common, QueueLayout, SplitEntry, SplitHeader};
use super::{InflightError, Left, QueueRecord, Recordable, load_ring};

/// Writes the record of a split queue.
#[derive(Debug)]
pub(crate) struct SplitRecorder<M> {
    record: SplitRecord<M>,
    /// That of the next chain.
    counter: u64,
    last_batch_head: u16,
    /// The heads that were returned and not published.
    batch: Vec<u16>,
    /// The heads in flight since an earlier process that were not fetched again, in order.
    earlier: VecDeque<u16>,
    /// How many these are, for others.
    left: Left,
    /// Those that were, and are in flight.
    again: Vec<u16>,
}

impl<M: StableMem> Recordable for SplitRing<M> {
    const LAYOUT: QueueLayout = layout::SPLIT;

    type Recorder<T: StableMem> = SplitRecorder<T>;

    fn resume<T: StableMem>(
        &self,
        config: &QueueConfig,
        record: QueueRecord<T>,
        base: SavedQueue,
    ) -> Result<(SplitRecorder<T>, SavedQueue), InflightError> {
        // In the device area, the used index comes after the flags.
        let used = u16::from_le(load_ring(self.mem(), config.device_area.0.wrapping_add(2))?);
        let was_there = record.is_there(self.size())?;
        let record = SplitRecord(record);
        if was_there {
            record.finish_batch(used, self.size())?;
        } else {
            record.begin(base.next_used().unwrap_or(used));
        }
        let mut in_flight = record.in_flight(self.size())?;
        let counter = in_flight.last().map_or(0, |(counter, _)| counter.wrapping_add(1));
        if was_there && is_next(self.mem(), config, used, &in_flight)? {
            record.put_back(&in_flight);
            in_flight.clear();
        }
        // At most as many as the ring has.
        let count = u16::try_from(in_flight.len()).unwrap_or(u16::MAX);
        let saved = if was_there { at(used.wrapping_add(count), used) } else { base };
        let earlier = in_flight.into_iter().map(|(_, head)| head).collect();
        Ok((SplitRecorder::new(record, counter, earlier)?, saved))
    }
}

/// Returns whether the entries of the available ring from `used` on are what is in flight, in its order: so it is if
/// the other process returned all chains in the order in which it had fetched them.
fn is_next(
    mem: &impl DriverMem,
    config: &QueueConfig,
    used: u16,
    in_flight: &[(u64, u16)],
) -> Result<bool, InflightError> {
    for (index, (_, head)) in (used..=u16::MAX).chain(0..used).zip(in_flight) {
        let slot = u64::from(index.checked_rem(config.size).unwrap_or_default());
        let entry = load_ring(mem, config.driver_area.0.wrapping_add(4 + 2 * slot))?;
        if u16::from_le(entry) != *head {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns a split queue at these positions.
fn at(next_available: u16, next_used: u16) -> SavedQueue {
    SavedQueue::at(next_available, next_used, RingFeatures::VERSION_1)
}

/// The part of the record that is for a split queue.
#[derive(Debug)]
struct SplitRecord<M>(QueueRecord<M>);

impl<M: StableMem> SplitRecord<M> {
    /// Begins a record in which nothing is in flight.
    fn begin(&self, used: u16) {
        (0..self.0.size).for_each(|head| self.set_in_flight(head, false));
        self.0.store(SplitHeader::USED_IDX, used);
        self.0.store(SplitHeader::LAST_BATCH_HEAD, 0_u16);
        self.0.store(Common::FEATURES, 0_u64);
        self.0.store(Common::DESC_NUM, self.0.size);
        self.0.store(Common::VERSION, layout::VERSION);
    }

    /// Takes note of what was published by a process that did not live to do so.
    fn finish_batch(&self, used: u16, size: u16) -> Result<(), InflightError> {
        let SplitHeader { last_batch_head, used_idx, .. } = SplitHeader::of(self.0.load_words(0)?);
        let count = used.wrapping_sub(used_idx);
        if count > size {
            return Err(InflightError::UsedIndex { recorded: used_idx, used, size });
        }
        let mut head = last_batch_head;
        for _ in 0..count {
            if head >= size {
                return Err(InflightError::Entry { entry: head });
            }
            self.set_in_flight(head, false);
            head = self.0.load(SplitEntry::at(head) + SplitEntry::NEXT)?;
        }
        self.0.store(SplitHeader::USED_IDX, used);
        Ok(())
    }

    /// Returns the heads in flight with their counters, in order.
    fn in_flight(&self, size: u16) -> Result<Vec<(u64, u16)>, InflightError> {
        let mut found = Vec::new();
        for head in 0..self.0.size {
            let entry = SplitEntry::of(self.0.load_words(SplitEntry::at(head))?);
            if entry.inflight != 0 {
                if head >= size {
                    return Err(InflightError::Entry { entry: head });
                }
                found.push((entry.counter, head));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Takes note that none of these are in flight: they are available where they were. The last one first: killed at
    /// any moment, the process leaves those behind that are first in the ring.
    fn put_back(&self, in_flight: &[(u64, u16)]) {
        in_flight.iter().rev().for_each(|(_, head)| self.set_in_flight(*head, false));
    }

    fn set_in_flight(&self, head: u16, is_in_flight: bool) {
        self.0.store(SplitEntry::at(head) + SplitEntry::INFLIGHT, layout::inflight(is_in_flight));
    }
}

impl<M: StableMem> SplitRecorder<M> {
    fn new(record: SplitRecord<M>, counter: u64, earlier: VecDeque<u16>) -> Result<Self, InflightError> {
        let last_batch_head = record.0.load(SplitHeader::LAST_BATCH_HEAD)?;
        let (left, batch, again) = (Left::default(), Vec::new(), Vec::new());
        left.set(earlier.len());
        Ok(Self { record, counter, last_batch_head, batch, earlier, left, again })
    }

    /// Returns how many chains are left to be fetched again, from now on.
    pub(super) fn left(&self) -> Left {
        self.left.clone()
    }

    /// Returns whether the chain was fetched again, and forgets that.
    fn take_again(&mut self, head: u16) -> bool {
        let at = self.again.iter().rposition(|other| *other == head);
        at.map(|at| self.again.swap_remove(at)).is_some()
    }
}

impl<M: StableMem> Recorder for SplitRecorder<M> {
    fn fetched(&mut self, head: Head, _descriptors: impl Iterator<Item = Descriptor>) {
        self.record.0.store(SplitEntry::at(head.id()) + SplitEntry::COUNTER, self.counter);
        self.counter = self.counter.wrapping_add(1);
        self.record.set_in_flight(head.id(), true);
    }

    fn unfetched(&mut self, head: Head) {
        self.record.set_in_flight(head.id(), false);
    }

    fn completed(&mut self, head: Head) {
        self.take_again(head.id());
        self.record.0.store(SplitEntry::at(head.id()) + SplitEntry::NEXT, self.last_batch_head);
        self.last_batch_head = head.id();
        self.record.0.store(SplitHeader::LAST_BATCH_HEAD, head.id());
        self.batch.push(head.id());
    }

    /// The used index of the ring says it.
    fn publishing(&mut self, _next_used: u16) {}

    fn published(&mut self, next_used: u16) {
        for head in self.batch.drain(..) {
            self.record.set_in_flight(head, false);
        }
        self.record.0.store(SplitHeader::USED_IDX, next_used);
    }

    fn fetch_again(&mut self) -> Option<Head> {
        let head = self.earlier.pop_front()?;
        self.left.set(self.earlier.len());
        self.again.push(head);
        Some(Head::new(head, 0, 1))
    }

    fn unfetch_again(&mut self, head: Head) -> bool {
        let was_again = self.take_again(head.id());
        if was_again {
            self.earlier.push_front(head.id());
            self.left.set(self.earlier.len());
        }
        was_again
    }

    fn left_to_fetch_again(&self) -> u16 {
        u16::try_from(self.earlier.len()).unwrap_or(u16::MAX)
    }
}

impl<M> Clone for SplitRecorder<M> {
    fn clone(&self) -> Self {
        let Self { record, counter, last_batch_head, batch, earlier, left, again } = self;
        Self {
            record: SplitRecord(record.0.clone()),
            counter: *counter,
            last_batch_head: *last_batch_head,
            batch: batch.clone(),
            earlier: earlier.clone(),
            left: left.clone(),
            again: again.clone(),
        }
    }
}
