//! Saving and restoring a packed ring.

use virtio_mem_traits::{AreaError, StableMem};
use virtio_ring::packed::{BufferId, Descriptor, DescriptorFlags, DescriptorIndex, OffWrap, RingPosition, TableError};

use super::positions::PackedPositions;
use super::ring::PackedRing;
use super::stored::StoredList;
use crate::config::ConfigError;
use crate::error::{ChainError, FatalError};
use crate::head::Head;
use crate::recorded::Record;
use crate::ring::FromConfig;
use crate::saved::Saved;
use crate::saved::{Restorable, RestoreError, SavedQueue};
use crate::walk::Element;

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
        let place = |bits| RingPosition::from_off_wrap(OffWrap::from_bits(bits), self.descriptors.size);
        let (Some(available), Some(used)) = (place(next_available), place(next_used)) else {
            return Err(RestoreError::Position { saved: *saved, size: self.descriptors.size.get() });
        };
        let size = self.descriptors.size.get();
        let apart = u16::try_from(self.distance(used, available)).ok().filter(|slots| *slots <= size);
        let lost = apart.ok_or(RestoreError::Lost { available: next_available, used: next_used, size })?;
        Ok(PackedPositions { next_used: used, lost, ..self.at(available) })
    }

    fn adopt(&self, positions: &mut PackedPositions, head: Head, in_flight: u16) -> Option<Head> {
        positions.lost = positions.lost.checked_sub(head.slots()).filter(|_| head.slots() != 0)?;
        let first = positions.next_used.advanced(in_flight, self.descriptors.size).off_wrap().bits();
        Some(Head::new(head.id(), first, head.slots()))
    }

    fn walk_stored<'r>(
        &'r self,
        head: Head,
        stored: &'r [Descriptor],
    ) -> impl Iterator<Item = Result<Element, ChainError>> {
        StoredList::new(&self.descriptors, BufferId(head.id()), stored)
    }
}

impl<M: StableMem> PackedRing<M> {
    /// Returns whether the ring was never used: no descriptor has the flag USED.
    ///
    /// This decides what a base of 0 means. In a ring that was used once from end to end, both wrap counters are 0, and
    /// so is the base. In such a ring, the device has set USED in each list of the last round, and the driver sets USED
    /// in each descriptor that it has made available since. But some front ends send 0 for a new ring, as for a split
    /// one.
    fn is_new(&self) -> Result<bool, FatalError> {
        for slot in 0..self.descriptors.size.get() {
            let (_, flags) = self.descriptors.area.later(slot)?;
            if flags.contains(DescriptorFlags::USED) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the number of slots that `later` is ahead of `earlier`, modulo two laps of the ring.
    fn distance(&self, earlier: RingPosition, later: RingPosition) -> u32 {
        let size = u32::from(self.descriptors.size.get());
        let linear = |position: RingPosition| u32::from(position.slot()) + if position.wrap() { 0 } else { size };
        (linear(later) + 2 * size - linear(earlier)) % (2 * size)
    }
}

impl<M: StableMem> Record for PackedRing<M> {
    fn stored(&self, head: Head) -> impl Iterator<Item = Result<Descriptor, FatalError>> {
        let first = RingPosition::from_off_wrap(OffWrap::from_bits(head.first()), self.descriptors.size);
        let slots = first.into_iter().flat_map(move |first| {
            (0..head.slots()).map(move |count| first.advanced(count, self.descriptors.size).slot())
        });
        slots.map(|slot| self.descriptors.table().get(DescriptorIndex(slot)).map_err(lost))
    }

    fn disown(&self, positions: &mut PackedPositions, head: Head) {
        positions.lost = positions.lost.saturating_add(head.slots());
    }

    fn next_used(&self, positions: &PackedPositions) -> u16 {
        positions.next_used.off_wrap().bits()
    }
}

/// Converts the error of a descriptor that cannot be read into the error of the queue.
fn lost(error: TableError) -> FatalError {
    match error {
        TableError::Translate(error) => AreaError::from(error).into(),
        TableError::NoEntry { index, len } => {
            let (offset, size) = (usize::from(index.0) * Descriptor::SIZE, Descriptor::SIZE);
            AreaError::OutOfRange { offset, size, len: u64::from(len) * size as u64 }.into()
        }
    }
}
